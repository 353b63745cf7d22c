import { DEFAULT_PREFIXES, withSlash } from './storage-path.js';

/**
 * What the API servers of a running cluster keep for themselves, or what will be made anew: to be left
 * alone when another cluster's records are restored beside it.
 */
const RESOURCES: readonly string[] = ['masterleases', 'peerserverleases', 'events', 'leases'];

/** The API servers' compaction clock, which stands beside their prefix (apiserver storage/etcd3/compact.go). */
export const COMPACTION_CLOCK: Buffer = Buffer.from('compact_rev_key');

/** Tells keys by their bytes: those of `bytes` from `start` up to, not including, `end`. */
export type KeyTest = (bytes: Buffer, start: number, end: number) => boolean;

/** Whether a key is the compaction clock. */
export const isCompactionClock: KeyTest = (bytes, start, end) =>
  end - start === COMPACTION_CLOCK.length && bytes.compare(COMPACTION_CLOCK, 0, COMPACTION_CLOCK.length, start, end) === 0;

/**
 * Makes a test for what should not be restored into a running Kubernetes' etcd, unless it is asked for:
 * `compact_rev_key`, and below each `--etcd-prefix` `masterleases`, `peerserverleases`, `events` and `leases`.
 *
 * @param etcdPrefixes values of `--etcd-prefix`, beside the usual ones
 */
export function runtimeKeys(etcdPrefixes: readonly string[] = []): KeyTest {
  const prefixes = storagePrefixes(etcdPrefixes).flatMap((prefix) => RESOURCES.map((resource) => Buffer.from(`${prefix}/${resource}/`)));
  const isUnder = (prefix: Buffer, bytes: Buffer, start: number, end: number): boolean =>
    end - start >= prefix.length && bytes.compare(prefix, 0, prefix.length, start, start + prefix.length) === 0;
  return (bytes, start, end) => isCompactionClock(bytes, start, end) || prefixes.some((prefix) => isUnder(prefix, bytes, start, end));
}

/**
 * Where API servers keep the leases by which they tell each other that they run (kubernetes
 * pkg/controlplane/reconcilers/lease.go): 15 seconds long, from their start on.
 *
 * @param etcdPrefixes values of `--etcd-prefix`, beside the usual ones
 */
export function masterLeasePrefixes(etcdPrefixes: readonly string[] = []): Buffer[] {
  return storagePrefixes(etcdPrefixes).map((prefix) => Buffer.from(`${prefix}/masterleases/`));
}

function storagePrefixes(etcdPrefixes: readonly string[]): string[] {
  return [...new Set([...DEFAULT_PREFIXES, ...etcdPrefixes.map(withSlash)])];
}
