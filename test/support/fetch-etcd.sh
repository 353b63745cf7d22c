#!/usr/bin/env bash
# Finds or fetches the real etcd servers the tests run against, into .cache/etcd/<version>/.
#
#   ETCD_BIN_DIRS=/dir:/dir   directories that hold etcd and etcdctl (and etcdutl): used as they are
#
# Otherwise Debian's packages are unpacked, not installed: bookworm's are 3.4 (they still serve v2),
# trixie's 3.5. Mirror and key are those of this machine's own apt configuration; only the suite differs.
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

command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "this machine has no apt"

# The machine's own Debian mirror and keyring, as apt would use them for the base suite.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(SUITE) $(COMPONENT) $(CREATED_BY)' 2>/dev/null |
  awk '$4 == "Packages" && $3 == "main" && $2 !~ /[-\/]/ && $1 ~ /debian\/?$/ { print $1; exit }')
[ -n "$mirror" ] || give_up "apt has no Debian mirror configured"
keyring=
for file in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do [ -f "$file" ] && keyring=$file; done
[ -n "$keyring" ] || give_up "Debian's archive keyring is missing (package debian-archive-keyring)"

fetch_suite() { # fetch_suite SUITE PACKAGE...: download and unpack packages of a suite into $cache/unpack-SUITE
  local suite=$1 root=$cache/apt-$1 out=$cache/unpack-$1
  shift
  rm -rf "$root" "$out"
  mkdir -p "$root/lists/partial" "$root/archives/partial" "$root/debs" "$out"
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$root/sources.list"
  : >"$root/status"
  local options=(-qq -o Dir::Etc::SourceList="$root/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o Dir::State::Lists="$root/lists" -o Dir::State::status="$root/status"
    -o Dir::Cache="$root" -o Dir::Cache::archives="$root/archives" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update || give_up "apt could not read the lists of $suite"
  (cd "$root/debs" && apt-get "${options[@]}" download "$@") || give_up "apt could not download $* of $suite"
  local deb
  for deb in "$root"/debs/*.deb; do dpkg -x "$deb" "$out"; done
  rm -rf "$root"
}

for suite in bookworm trixie; do
  fetch_suite "$suite" etcd-server etcd-client
  adopt "$cache/unpack-$suite/usr/bin"
done
