import type { AuthData } from '../model/auth.js';
import type { EtcdBackend } from '../wire/backend.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import { newScan, scanKeyValue } from '../wire/keyvalue-scan.js';
import { TOMBSTONE_KEY_BYTES } from '../wire/revision-key.js';
import type { Alarm } from './v3-alarms.js';
import { V3Keyspace } from './v3-keyspace.js';
import type { TailBase, TailLease } from './v3-tail.js';
import type { V3Wants } from './v3-wants.js';

/**
 * Reads from the file what a tail looks at, in one pass over its log of changes: the last state of
 * every key wanted, and of every key attached to a lease wanted.
 *
 * @param maxMemory most bytes of memory it may take
 * @throws FerryError `failed` when it takes more; `damaged`
 */
export async function readTailBase(backend: EtcdBackend, wants: V3Wants, maxMemory: number, signal: AbortSignal): Promise<TailBase> {
  const keyspace = new V3Keyspace(maxMemory);
  await loadKeys(backend, wants, keyspace, signal);
  const leases = await readLeases(backend, wants, keyspace);
  const small = await readSmallBuckets(backend);
  return {
    revision: backend.revision,
    compacted: backend.compacted,
    keyspace,
    leases,
    ...small,
  };
}

/** The wanted ones, and those of keys that a put keeps the lease of. */
async function readLeases(backend: EtcdBackend, wants: V3Wants, keyspace: V3Keyspace): Promise<Map<bigint, TailLease>> {
  const kept = new Set<bigint>();
  for (const key of wants.keptLeases) kept.add(keyspace.get(key)?.lease ?? 0n);
  const leases = new Map<bigint, TailLease>();
  for await (const { id, ttl, remainingTtl } of backend.leases()) {
    if (wants.leases.has(id) || kept.has(id)) leases.set(id, { ttl, remainingTtl });
  }
  return leases;
}

async function loadKeys(backend: EtcdBackend, wants: V3Wants, keyspace: V3Keyspace, signal: AbortSignal): Promise<void> {
  const scan = newScan();
  for await (const { bytes, keys, values, ends, count } of backend.log()) {
    signal.throwIfAborted();
    for (let i = 0; i < count; i++) {
      const [at, value, end] = [keys[i] as number, values[i] as number, ends[i] as number];
      scanKeyValue(bytes, value, end, scan);
      // What --bump-revision leaves behind is no key.
      if (scan.keyStart === scan.keyEnd) continue;
      const key = bytes.toString('latin1', scan.keyStart, scan.keyEnd);
      if (value - at === TOMBSTONE_KEY_BYTES) keyspace.delete(key);
      else if (wants.keys.has(key) || wants.leases.has(scan.lease)) {
        const kv = decodeKeyValue(bytes, value, end);
        keyspace.load(key, { ...kv, value: wants.values.has(key) ? Buffer.from(kv.value) : undefined });
        // It was wanted for a lease that it has no more.
      } else keyspace.delete(key);
    }
  }
  keyspace.sort();
}

interface SmallBuckets {
  readonly auth: AuthData | undefined;
  readonly authRevision: bigint;
  readonly alarms: readonly Alarm[];
}

async function readSmallBuckets(backend: EtcdBackend): Promise<SmallBuckets> {
  const { bolt } = backend;
  const buckets = await bolt.buckets();
  let authRevision = 0n;
  const auth = buckets.get('auth');
  if (auth !== undefined) {
    for await (const [key, value] of bolt.entries(auth, 'auth')) {
      if (key.toString('latin1') === 'authRevision' && value.length === 8) authRevision = value.readBigUInt64BE();
    }
  }
  return { auth: await backend.auth(), authRevision, alarms: await backend.alarms() };
}
