#!/bin/sh
# Finds Java 17 or 21 for Spark; installs the headless JRE where apt is usable, else says what to install.
set -u

major() {
    "$1" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

usable() {
    case "$(major "$1")" in 17 | 21) return 0 ;; *) return 1 ;; esac
}

found() {
    if [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ]; then
        usable "$JAVA_HOME/bin/java"
        return
    fi
    command -v java >/dev/null 2>&1 && usable java
}

if found; then exit 0; fi

if command -v apt-get >/dev/null 2>&1; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    for package in openjdk-17-jre-headless openjdk-21-jre-headless; do
        if $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"; then
            found && exit 0
        fi
    done 2>/dev/null
fi

echo "Cleanplate needs Java 17 or 21 (Spark 4), and found ${JAVA_HOME:-none on the PATH}." >&2
echo "Install one, then run make again:" >&2
echo "  Debian or Ubuntu: sudo apt-get install openjdk-17-jre-headless" >&2
echo "  Fedora:           sudo dnf install java-21-openjdk-headless" >&2
echo "  macOS:            brew install openjdk@17" >&2
echo "or point JAVA_HOME at one." >&2
exit 2
