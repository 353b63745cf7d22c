import type { V3Cluster } from '../cluster/v3.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import { mapRecords } from '../convert/map-records.js';
import { FerryError } from '../errors.js';
import { COMPACTION_CLOCK, masterLeasePrefixes } from '../kubernetes/runtime.js';
import type { KeyValue } from '../model/keyvalue.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type Source } from '../model/source.js';
import { selectRecords } from '../selection/select.js';
import { decodeKeyValue, keyOf } from '../wire/keyvalue.js';
import { spanOf } from '../writers/live-v3-extras.js';
import type { RestoreV3Options } from '../writers/live-v3-options.js';
import { TargetReader } from '../writers/live-v3-target.js';

/** How a source is to be written, as far as it tells which of the target's keys an earlier run may have written. */
type Writing = Pick<RestoreV3Options, 'selection' | 'mapping' | 'memory'> & { readonly etcdPrefixes?: readonly string[] };

/**
 * Whether a Kubernetes runs on a cluster: its API servers' compaction clock is there, or the lease of
 * one of them, which is there from its start on, while the clock comes after five minutes. A lease that
 * an earlier run of the same restore has written does not count. What the user may not read tells nothing.
 *
 * @throws FerryError as the cluster does
 */
export async function kubernetesRuns(source: Source, cluster: V3Cluster, writing: Writing, { signal }: RunContext): Promise<boolean> {
  const target = new TargetReader(cluster, signal);
  const clock = await ifAllowed(target.readPoints([COMPACTION_CLOCK]));
  if (clock.length > 0) return true;
  const leases: KeyValue[] = [];
  for (const prefix of masterLeasePrefixes(writing.etcdPrefixes)) {
    const found = await ifAllowed(target.read(spanOf(prefix), 'all'));
    leases.push(...found.filter(({ lease, modRevision }) => lease !== 0n && writing.memory?.isOurs(modRevision) !== true));
  }
  return leases.length > 0 && !(await allWrittenByUs(leases, source, writing));
}

/** The first page of keys; none where the user may not read them. */
async function ifAllowed(pages: AsyncIterable<KeyValue[]>): Promise<KeyValue[]> {
  try {
    for await (const page of pages) return page;
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'unauthorized') throw thrown;
  }
  return [];
}

/**
 * Whether each of these keys has the value and the lease of the source's record that becomes it, as after
 * a run that was cut short: an API server changes the value every ten seconds. The very key that the source
 * was read from, which has the same revisions too, was not written by us.
 */
async function allWrittenByUs(keys: readonly KeyValue[], source: Source, { selection, mapping }: Writing): Promise<boolean> {
  if (source.info.order !== 'key') return false;
  const left = new Map(keys.map((kv) => [kv.key.toString('latin1'), kv]));
  const records = mapRecords(selectRecords(source.records(), selection ?? EVERYTHING), mapping ?? SAME_KEYS);
  for await (const batch of records) {
    for (let i = 0; i < batch.count; i++) {
      const [start, end] = [batch.starts[i] as number, batch.ends[i] as number];
      const there = left.get(keyOf(batch.bytes, start, end).toString('latin1'));
      if (there === undefined) continue;
      const ours = decodeKeyValue(batch.bytes, start, end);
      if (!ours.value.equals(there.value) || ours.lease !== there.lease || ours.modRevision === there.modRevision) return false;
      left.delete(there.key.toString('latin1'));
    }
    if (left.size === 0) return true;
  }
  return false;
}
