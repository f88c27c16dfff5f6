#!/bin/sh
# Installs the Debian packages that the registry of fonts names, and that of the pictographs whose outlines objects have;
# `--list` only prints them, one a line.
set -eu
registry="$(dirname "$0")/../lib/cleanplate/evaluation/overlays/fonts.yaml"
objects="$(dirname "$0")/../lib/cleanplate/evaluation/objects.py"
packages="$({ sed -n 's/^ *package: *//p' "$registry"; sed -n 's/^PACKAGE = "\(.*\)"$/\1/p' "$objects"; } | LC_ALL=C sort -u)"
if [ "${1:-}" = "--list" ]; then
    echo "$packages"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
# One word for each package.
# shellcheck disable=SC2086
apt-get install -y --no-install-recommends $packages
