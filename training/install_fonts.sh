#!/bin/sh
# Installs the Debian packages that the registry of fonts names; `--list` only prints them, one a line.
set -eu
registry="$(dirname "$0")/../lib/cleanplate/evaluation/overlays/fonts.yaml"
packages="$(sed -n 's/^ *package: *//p' "$registry" | LC_ALL=C sort -u)"
if [ "${1:-}" = "--list" ]; then
    echo "$packages"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
# One word for each package.
# shellcheck disable=SC2086
apt-get install -y --no-install-recommends $packages
