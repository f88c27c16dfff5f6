#!/bin/sh
# Runs a command that downloads; where it fails, again after 20 s, 1, 2 and 4 minutes: a large file whose download broke
# off often comes whole a little later, and what has come is in the tool's cache.
for pause in 20 60 120 240; do
    "$@" && exit 0
    echo "$1 failed; trying again in $pause s (Ctrl-C: do not)." >&2
    sleep "$pause"
done
exec "$@"
