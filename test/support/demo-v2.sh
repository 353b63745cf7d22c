# Part 2 of the demo; to be sourced. A v2 tree moves on to v3: the tree of the article this project
# grew from, and a registry as Kubernetes 1.5 kept it, JSON in v2.
title "A v2 tree (etcd $(version_of "$with_v2") --enable-v2)"
start_etcd tree "$with_v2" --enable-v2
start_etcd moved "$newest"

set_v2() { ETCDCTL_API=2 "$with_v2/etcdctl" --endpoints "$tree" set "$@" >/dev/null; }
object() { # object KIND NAMESPACE NAME REST: the JSON of Kubernetes 1.5
  local namespace=${2:+"\"namespace\":\"$2\","}
  printf '{"kind":"%s","apiVersion":"v1","metadata":{"name":"%s",%s"creationTimestamp":"2017-03-01T12:00:00Z"},%s}\n' "$1" "$3" "$namespace" "$4"
}
set_v2 /foo bar
set_v2 /bar/this that
set_v2 /bar/that other
for name in default kube-system; do
  set_v2 /registry/namespaces/$name "$(object Namespace '' $name '"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}')"
done
for name in web-1 web-2; do
  set_v2 /registry/pods/default/$name "$(object Pod default $name '"spec":{"containers":[{"name":"web","image":"nginx:1.11"}]},"status":{"phase":"Running"}')"
done
set_v2 /registry/services/specs/default/kubernetes "$(object Service default kubernetes '"spec":{"clusterIP":"10.0.0.1","ports":[{"port":443}]}')"
set_v2 /registry/secrets/default/token "$(object Secret default token '"data":{"token":"c2VjcmV0"},"type":"Opaque"')"
set_v2 /registry/configmaps/default/motd "$(object ConfigMap default motd '"data":{"motd":"Grüße"}')"
set_v2 /registry/events/default/web-1.started "$(object Event default web-1.started '"reason":"Started","count":1')" --ttl 3600

show etcdferry backup --api v2 --from "$tree" --to tree.tar
show etcdferry verify tree.tar
show etcdferry ls tree.tar
show etcdferry migrate --from tree.tar --to "$moved" --dry-run
show etcdferry migrate --from tree.tar --to "$moved"
show etcdferry migrate --from "$tree" --to "$moved" # a second time, live: nothing is left to do
show etcdctl --endpoints "$moved" get --prefix /
show etcdctl --endpoints "$moved" lease list # the event still goes when its TTL is over
tree_of "$tree" >tree.keys
keys_of "$moved" >moved.keys
compare tree.keys moved.keys
