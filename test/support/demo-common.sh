# What the parts of the demo share; to be sourced. Everything runs in a directory that goes at the end.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/bin" && ln -s "$root/bin/etcdferry.js" "$work/bin/etcdferry"
newest=$(printf '%s\n' "$root"/.cache/etcd/3.* | sort -V | tail -1)
with_v2=$(printf '%s\n' "$root"/.cache/etcd/3.4* | sort -V | tail -1)
unset "${!ETCD@}"
export PATH=$work/bin:$newest:$PATH ETCDCTL_API=3
cd "$work"

title() { printf '\n\033[1;4m%s\033[0m\n' "$*"; }
show() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
version_of() { "$1/etcd" --version | sed -n 's/^etcd Version: //p'; }
free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }

start_etcd() { # start_etcd NAME BINARIES [FLAG...]: a one-member cluster on loopback; sets NAME to its endpoint
  local name=$1 binaries=$2 port peer
  shift 2
  port=$(free_port) peer=$(free_port)
  "$binaries/etcd" --name default --data-dir "$work/$name.etcd" --log-level error \
    --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "default=http://127.0.0.1:$peer" "$@" >"$work/$name.log" 2>&1 &
  for _ in $(seq 100); do
    etcdctl --endpoints "http://127.0.0.1:$port" get x >/dev/null 2>&1 && break
    sleep 0.1
  done
  printf -v "$name" 'http://127.0.0.1:%s' "$port"
}

keys_of() { # keys_of ENDPOINT: every key and value of v3, a line each
  etcdctl --endpoints "$1" get '' --from-key -w json |
    node -e 'for (const {key, value} of JSON.parse(require("fs").readFileSync(0)).kvs) console.log(key, value)' | sort
}

tree_of() { # tree_of ENDPOINT: every value of a v2 tree by its path, in the same form
  node --input-type=module - "$1" <<'JS' | sort
const base64 = (text) => Buffer.from(text).toString('base64');
const print = ({ key, value, nodes }) => (nodes ? nodes.forEach(print) : value !== undefined && console.log(base64(key), base64(value)));
print((await (await fetch(`${process.argv[2]}/v2/keys/?recursive=true`)).json()).node);
JS
}

compare() { # compare OLD NEW: two such lists; ends the demo when they differ
  cmp -s "$1" "$2" || { echo "$1 and $2 DIFFER:"; diff "$1" "$2" | head; exit 1; }
}
