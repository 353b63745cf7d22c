# Part 1 of the demo; to be sourced. Back up a live etcd full of Kubernetes' objects, prove the archive
# whole, look into it, restore it into a second etcd.
title "A cluster that holds Kubernetes' objects (etcd $(version_of "$newest"))"
gzip -dc "$root/testdata/kubernetes/1.20/plain.db.gz" >plain.db
"$(command -v etcdutl || command -v etcdctl)" snapshot restore plain.db --data-dir "$work/cluster.etcd" >/dev/null 2>&1
start_etcd cluster "$newest"
start_etcd copy "$newest"

show etcdferry backup --from "$cluster" --to etcd.tar
keys_of "$cluster" >cluster.keys # now: some of its keys have short leases
show etcdferry verify etcd.tar
show etcdferry inspect etcd.tar
show etcdferry restore --from etcd.tar --to "$copy"
keys_of "$copy" >copy.keys
compare cluster.keys copy.keys
