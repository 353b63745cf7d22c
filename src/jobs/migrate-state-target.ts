import { createHash } from 'node:crypto';
import type { V3Cluster } from '../cluster/v3.js';
import { FerryError } from '../errors.js';
import { recordAt } from '../model/batch.js';
import type { KeyValue } from '../model/keyvalue.js';
import type { RunContext } from '../model/run.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import { decodeRangeResponse } from '../wire/rpc.js';
import { encodeRange, type RangeRequest } from '../wire/rpc-request.js';
import type { SentRecord } from '../writers/live-v3-memory.js';
import { afterKey } from '../writers/live-v3-target.js';
import type { Doubt, StateContents, Witness } from './migrate-state-file.js';

/** Witnesses asked; each is a key of another transaction. */
const WITNESSES_ASKED = 8;
/** A transaction has no more keys than this unless the server was told to take more. */
const MOST_KEYS = 10_000;

/**
 * Whether the target is the one the state tells of, and not another that was made in its place: a new
 * cluster on the same addresses has the same cluster id (etcd server/etcdserver/api/membership,
 * Member: an id follows from peer URLs and token). One key that has the revision we gave it, now or in
 * the past, proves it; one that had another at that revision proves the contrary.
 */
export async function isSameTarget({ revisions, witnesses }: StateContents, revision: bigint, cluster: V3Cluster): Promise<boolean> {
  if (revisions.last > revision) return false;
  if (revisions.isEmpty) return true;
  let proven = false;
  for (const witness of sample(witnesses)) {
    const said = await ask(witness, cluster);
    if (said === false) return false;
    proven ||= said === true;
  }
  // If nobody can tell: what cannot be shown to be ours is not.
  return proven;
}

/** @returns undefined when nobody can tell any more */
async function ask({ key, revision }: Witness, cluster: V3Cluster): Promise<boolean | undefined> {
  const [now] = await read(cluster, { key, keysOnly: true });
  if (now?.modRevision === revision) return true;
  try {
    const [then] = await read(cluster, { key, keysOnly: true, revision });
    return then?.modRevision === revision;
  } catch (thrown) {
    if (thrown instanceof FerryError && thrown.code === 'compacted') return undefined;
    throw thrown;
  }
}

/** Newest first, and some of all ages. */
export function sample(witnesses: readonly Witness[]): Witness[] {
  const step = Math.max(1, Math.floor(witnesses.length / WITNESSES_ASKED));
  return witnesses
    .filter((_, i) => (witnesses.length - 1 - i) % step === 0)
    .slice(-WITNESSES_ASKED)
    .reverse();
}

/**
 * Finds out which transactions in doubt were carried out: one whose keys are all there with their
 * values, at one revision, that of a transaction. What somebody else has changed since stays in doubt,
 * and counts as not ours.
 *
 * @returns the revisions of those that were
 */
export async function settleDoubts(doubts: readonly Doubt[], cluster: V3Cluster, run: RunContext): Promise<Witness[]> {
  const settled: Witness[] = [];
  for (const doubt of doubts) {
    run.signal.throwIfAborted();
    const [first] = await read(cluster, { key: doubt.first, keysOnly: true });
    const revision = first?.modRevision ?? 0n;
    if (revision <= doubt.above) continue;
    const span = { key: doubt.first, rangeEnd: afterKey(doubt.last), limit: MOST_KEYS };
    const found = await read(cluster, { ...span, minModRevision: revision, maxModRevision: revision });
    if (digestOf(found) === doubt.digest) settled.push({ key: doubt.first, revision });
  }
  return settled;
}

/** A digest of keys and values, whatever their order. */
export function digestOf(records: readonly SentRecord[]): string {
  const hash = createHash('sha256');
  const length = Buffer.alloc(8);
  for (const { key, value } of inOrder(records)) {
    length.writeUInt32LE(key.length, 0);
    length.writeUInt32LE(value.length, 4);
    hash.update(length).update(key).update(value);
  }
  return hash.digest('hex').slice(0, 32);
}

/** Sorted by key; the same array when it is so already. */
export function inOrder<T extends SentRecord>(records: readonly T[]): readonly T[] {
  const isSorted = records.every((record, i) => i === 0 || Buffer.compare((records[i - 1] as T).key, record.key) <= 0);
  return isSorted ? records : [...records].sort((a, b) => Buffer.compare(a.key, b.key));
}

const REVOKED_AT_ONCE = 32;

/**
 * Revokes those leases that no key is attached to.
 *
 * @returns the ids of those that are gone now, revoked or ended
 */
export async function revokeUnused(leases: readonly bigint[], cluster: V3Cluster, run: RunContext): Promise<bigint[]> {
  const gone: bigint[] = [];
  for (let at = 0; at < leases.length; at += REVOKED_AT_ONCE) {
    run.signal.throwIfAborted();
    await Promise.all(
      leases.slice(at, at + REVOKED_AT_ONCE).map(async (id) => {
        const keys = await cluster.leaseKeys(id);
        if (keys !== undefined && keys.length > 0) return;
        if (keys !== undefined) await cluster.leaseRevoke(id);
        gone.push(id);
      }),
    );
  }
  return gone;
}

async function read(cluster: V3Cluster, request: RangeRequest): Promise<KeyValue[]> {
  const { records } = decodeRangeResponse(await cluster.call('KV/Range', encodeRange(request)));
  return Array.from({ length: records.count }, (_, i) => decodeKeyValue(recordAt(records, i)));
}
