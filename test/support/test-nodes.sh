#!/usr/bin/env bash
# Runs the tests on every Node release line etcdferry supports, with the binaries that npm's package
# "node" brings. What the tests start as processes of their own runs on the same Node.
#
#   test-nodes.sh [VITEST ARGUMENT...]    NODES="20.19 24" chooses the versions
set -euo pipefail
cd "$(dirname "$0")/../.."
versions=${NODES:-20.19 22 24}
failed=

for version in $versions; do
  prefix=$PWD/.cache/nodes/$version
  bin=$prefix/node_modules/node/bin
  [ -x "$bin/node" ] ||
    npm install --no-save --no-package-lock --no-fund --no-audit --loglevel=error --prefix "$prefix" "node@$version"
  [ -x "$bin/node" ] || { echo "npm's package node@$version brought no binary for this machine" >&2; exit 1; }
  printf '\n== Node %s\n' "$("$bin/node" --version)"
  PATH=$bin:$PATH node node_modules/vitest/vitest.mjs run --config test/vitest.config.ts "$@" || failed+=" $version"
done

[ -z "$failed" ] || { echo "The tests failed on Node$failed" >&2; exit 1; }
