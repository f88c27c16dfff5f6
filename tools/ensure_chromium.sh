#!/bin/sh
# Finds Chromium and its driver for the tests of the review page; installs them where apt is usable, else says what to
# install. Without a browser those tests are skipped, so this never fails.
set -u

found() {
    browser=""
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null 2>&1 && browser=$name
    done
    [ -n "$browser" ] || return 1
    command -v chromedriver >/dev/null 2>&1 || [ -x /usr/lib/chromium/chromedriver ] ||
        [ -x /usr/lib/chromium-browser/chromedriver ]
}

if found; then exit 0; fi

if command -v apt-get >/dev/null 2>&1; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    {
        # Short patience: a machine without a network should not wait for a browser that it can do without.
        quick="-qq -o Acquire::http::Timeout=20 -o Acquire::Retries=0"
        $sudo apt-get $quick update
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get $quick -y install --no-install-recommends chromium chromium-driver
    } >/dev/null 2>&1
    if found; then exit 0; fi
fi

echo "No Chromium with chromedriver was found: the tests of the review page in a browser will be skipped." >&2
echo "To run them too, install both, then run make again:" >&2
echo "  Debian:  sudo apt-get install --no-install-recommends chromium chromium-driver" >&2
echo "  Fedora:  sudo dnf install chromium chromedriver" >&2
echo "  macOS:   brew install chromium chromedriver" >&2
exit 0
