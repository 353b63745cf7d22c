#!/usr/bin/env bash
# What needs no server at all: the v2 tree of a member that stopped for good becomes a snapshot file
# for today's etcd, and an archive; both are proven whole, and looked into.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset "${!ETCD@}"
mkdir "$work/bin" && ln -s "$root/bin/etcdferry.js" "$work/bin/etcdferry"
export PATH=$work/bin:$PATH
tar xzf "$root/testdata/etcd-v2/v238.data-dir.tar.gz" -C "$work"
mv "$work/data" "$work/old-member"
cd "$work"

show() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
# A v3 keyspace has no empty directories, so migrate names those it left out, and says so by status 3.
migrate() {
  local status=0
  show etcdferry migrate "$@" || status=$?
  [ "$status" -eq 3 ] || [ "$status" -eq 0 ] || exit "$status"
}

echo 'The data dir of a member of etcd 2.3, stopped for good; no etcd is running:'
show du -a old-member
migrate --from old-member --to new.db
migrate --from old-member --to new.tar
show etcdferry verify old-member new.db new.tar
show etcdferry inspect new.db
printf '\n\033[1m$ etcdferry ls new.tar | head -5\033[0m\n'
etcdferry ls new.tar | head -5
printf '\n\033[1m$ etcdferry ls new.db | head -5\033[0m\n'
etcdferry ls new.db | head -5

etcdferry ls --json new.db | grep -v summary >db.keys
etcdferry ls --json new.tar | grep -v summary >tar.keys
cmp db.keys tar.keys
echo
echo "Both hold the same $(wc -l <db.keys) keys. To serve them from new.db: etcdutl snapshot restore new.db"
