#!/usr/bin/env bash
# Finds or fetches the programs of others that tests compare with, into .cache/tools/: age and
# age-keygen (Debian's package age), promtool (Debian's package prometheus).
#
#   TOOLS_BIN_DIR=/dir   a directory that holds all three: used as it is
#
# Otherwise Debian's packages are unpacked, not installed.
set -euo pipefail
cache=$(cd "$(dirname "$0")/../.." && pwd)/.cache
tools=$cache/tools
programs=(age age-keygen promtool)

give_up() {
  cat >&2 <<MSG
No age and promtool for the tests: $1
Set TOOLS_BIN_DIR to a directory holding ${programs[*]}, or run on a Debian machine whose apt can reach its mirror.
MSG
  exit 1
}

mkdir -p "$tools"
if [ -n "${TOOLS_BIN_DIR:-}" ]; then
  for program in "${programs[@]}"; do
    [ -x "$TOOLS_BIN_DIR/$program" ] || give_up "$TOOLS_BIN_DIR does not hold $program"
    ln -sfn "$(cd "$TOOLS_BIN_DIR" && pwd)/$program" "$tools/$program"
  done
  exit 0
fi

. "$(dirname "$0")/debian.sh"
debian_mirror
debian_packages bookworm "$cache/apt-tools" "$cache/unpack-tools" age prometheus
for program in "${programs[@]}"; do mv -f "$cache/unpack-tools/usr/bin/$program" "$tools/$program"; done
rm -rf "$cache/apt-tools" "$cache/unpack-tools"
"$tools/age" --version
"$tools/promtool" --version 2>&1 | head -1
