#!/bin/sh
# Checks Kvasir on this machine's GPU. It needs a driver, and nothing else: Node is in the folder.
#   run.sh [SECONDS] [OUT]   300: to the 1B shape; 540: all. Results: OUT/gpu-kit.json and .md (default: results/ here)
# What is measured is said line by line; the report is written after each part. Exit status 1 where anything failed.
set -u
case "$0" in */*) here="${0%/*}" ;; *) here=. ;; esac
here="$(cd "$here" && pwd)" || exit 1
seconds="${1:-540}"
place="$here"
if [ ! -w "$here" ]; then
  place="${TMPDIR:-/tmp}/kvasir-kit-$$"
  mkdir -p "$place" && cp -R "$here/app" "$place/app" || exit 1
fi
mkdir -p "$place/bin" || exit 1
node="$place/bin/node"
# unpack FROM TO: nothing where it is there already.
unpack() {
  [ -x "$2" ] && return
  gzip -dc "$1" > "$2.part" && chmod 755 "$2.part" && mv "$2.part" "$2" && return
  echo "$1 cannot be unpacked into $place: it needs gzip and 150 MB."
  exit 1
}
unpack "$here/node.gz" "$node"
for packed in "$place"/app/build/Release/*.gz; do unpack "$packed" "${packed%.gz}"; done
# A machine without libstdc++ or libgcc_s uses those of this folder.
if ! "$node" --version > "$place/bin/version" 2>&1; then
  mkdir -p "$place/lib"
  for packed in "$here"/lib/*.gz; do
    library="${packed##*/}"
    unpack "$packed" "$place/lib/${library%.gz}"
  done
  export LD_LIBRARY_PATH="$place/lib"
  "$node" --version > "$place/bin/version" 2>&1 || {
    echo "Node does not start here:"
    cat "$place/bin/version"
    exit 1
  }
fi
exec "$node" "$place/app/scripts/kit/check.mjs" "$seconds" "${2:-$place/results}"
