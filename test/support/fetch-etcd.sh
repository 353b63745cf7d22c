#!/usr/bin/env bash
# Finds or fetches the real etcd servers the tests run against, into .cache/etcd/<version>/.
#
#   ETCD_BIN_DIRS=/dir:/dir   directories that hold etcd and etcdctl (and etcdutl): used as they are
#
# Otherwise Debian's packages are unpacked, not installed: bookworm's are 3.4 (they still serve v2),
# trixie's 3.5.
set -euo pipefail
cache=$(cd "$(dirname "$0")/../.." && pwd)/.cache/etcd
mkdir -p "$cache"

give_up() {
  cat >&2 <<MSG
No etcd server for the tests: $1
Set ETCD_BIN_DIRS to one or more directories (separated by :) holding etcd and etcdctl,
or run on a Debian machine whose apt can reach its mirror.
MSG
  exit 1
}

version_in() { "$1/etcd" --version 2>/dev/null | sed -n 's/^etcd Version: //p'; }

adopt() { # adopt DIR: link the binaries in DIR under their version
  local version
  version=$(version_in "$1")
  [ -n "$version" ] && [ -x "$1/etcdctl" ] || give_up "$1 does not hold a working etcd and etcdctl"
  ln -sfn "$(cd "$1" && pwd)" "$cache/$version"
  echo "etcd $version: $1"
}

if [ -n "${ETCD_BIN_DIRS:-}" ]; then
  find "$cache" -maxdepth 1 -type l -delete
  IFS=: read -ra dirs <<<"$ETCD_BIN_DIRS"
  for dir in "${dirs[@]}"; do adopt "$dir"; done
  exit 0
fi

. "$(dirname "$0")/debian.sh"
debian_mirror
for suite in bookworm trixie; do
  debian_packages "$suite" "$cache/apt-$suite" "$cache/unpack-$suite" etcd-server etcd-client
  rm -rf "$cache/apt-$suite"
  adopt "$cache/unpack-$suite/usr/bin"
done
