#!/usr/bin/env bash
# Fetches the Go sources of Kubernetes' API types into .cache/kubernetes/, for `make kubernetes-schema`
# and `make kubernetes-golden`. From Debian's packages, unpacked and not installed.
#
#   KUBERNETES_GIT=/dir   holds clones of kubernetes/api and kubernetes/apimachinery (/dir/api,
#                         /dir/apimachinery): the releases Debian does not have are read from their
#                         tags too. Without it the schema keeps what it has of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../../.cache/kubernetes
. "$here/debian.sh"

give_up() {
  echo "No sources of Kubernetes: $1" >&2
  exit 1
}

debian_mirror
mkdir -p "$cache"
: >"$cache/versions.new"

packages() { # packages SUITE PACKAGE...
  local suite=$1 deb names= release
  shift
  debian_packages "$suite" "$cache/apt" "$cache/$suite" "$@"
  for deb in "$cache"/apt/downloads/*.deb; do names+=", $(dpkg-deb -f "$deb" Package) $(dpkg-deb -f "$deb" Version)"; done
  release=$(sed -n 's/.*golang-k8s-api-dev 0\.\([0-9]*\)\..*/1.\1/p' <<<"$names")
  echo "$release $suite Debian: ${names#, }" >>"$cache/versions.new"
}

packages sid golang-k8s-api-dev golang-k8s-apimachinery-dev golang-k8s-apiextensions-apiserver-dev golang-k8s-apiserver-dev
packages trixie golang-k8s-api-dev golang-k8s-apimachinery-dev
debian_source bookworm "$cache/apt" "$cache/bookworm" kubernetes
echo "1.20 bookworm Debian: source of kubernetes $(sed -n 's/^Version: //p' "$cache"/apt/downloads/*.dsc | head -1)" >>"$cache/versions.new"
rm -rf "$cache/apt"

if [ -n "${KUBERNETES_GIT:-}" ]; then
  for minor in $(seq 8 35); do
    grep -q "^1\.$minor " "$cache/versions.new" && continue
    for module in api apimachinery; do
      out=$cache/1.$minor/staging/src/k8s.io/$module
      mkdir -p "$out"
      git -C "$KUBERNETES_GIT/$module" archive "kubernetes-1.$minor.0" | tar x -C "$out" --exclude=testdata
    done
    echo "1.$minor 1.$minor kubernetes/api and kubernetes/apimachinery, tag kubernetes-1.$minor.0" >>"$cache/versions.new"
  done
fi
mv "$cache/versions.new" "$cache/versions"
