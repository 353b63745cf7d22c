#!/usr/bin/env bash
# The main job, as a user would do it: back up a live etcd full of Kubernetes' objects, prove the
# archive whole, look into it, restore it into a second etcd, and compare the two key by key.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bins=$(printf '%s\n' "$root"/.cache/etcd/3.* | sort -V | tail -1)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
export PATH=$work/bin:$bins:$PATH
unset "${!ETCD@}"
mkdir "$work/bin" && ln -s "$root/bin/etcdferry.js" "$work/bin/etcdferry"
cd "$work"

show() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }

start_etcd() { # start_etcd NAME: a one-member cluster on loopback; sets NAME to its endpoint
  local port peer
  port=$(free_port) peer=$(free_port)
  etcd --name default --data-dir "$work/$1.etcd" --log-level error \
    --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "default=http://127.0.0.1:$peer" >"$work/$1.log" 2>&1 &
  for _ in $(seq 100); do
    etcdctl --endpoints "http://127.0.0.1:$port" get x >/dev/null 2>&1 && break
    sleep 0.1
  done
  printf -v "$1" 'http://127.0.0.1:%s' "$port"
}

echo "A cluster that holds Kubernetes' objects (etcd $(etcd --version | sed -n 's/^etcd Version: //p')):"
gzip -dc "$root/testdata/kubernetes-1.20/plain.db.gz" >plain.db
restore=$(command -v etcdutl || command -v etcdctl)
ETCDCTL_API=3 "$restore" snapshot restore plain.db --data-dir "$work/old.etcd" >/dev/null 2>&1
export ETCDCTL_API=3
start_etcd old
start_etcd new

show etcdferry backup --from "$old" --to etcd.tar
etcdctl --endpoints "$old" get '' --from-key -w json >old.json # now: some of its keys have short leases
show etcdferry verify etcd.tar
show etcdferry inspect etcd.tar
show etcdferry restore --from etcd.tar --to "$new"
etcdctl --endpoints "$new" get '' --from-key -w json >new.json
echo
node --input-type=module - <<'JS'
import { readFileSync } from 'node:fs';
const [old, copy] = ['old', 'new'].map((name) => JSON.parse(readFileSync(`${name}.json`, 'utf8')).kvs.map(({ key, value }) => `${key} ${value}`));
const same = old.length === copy.length && old.every((entry, i) => entry === copy[i]);
console.log(same ? `All ${old.length} keys and values in the second etcd are equal to the first's.` : 'The two etcds DIFFER.');
process.exitCode = same ? 0 : 1;
JS
