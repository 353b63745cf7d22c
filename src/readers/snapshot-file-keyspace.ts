import type { RunContext } from '../model/run.js';
import type { RecordSorter } from '../sort/sorter.js';
import type { BackendView } from '../wire/backend.js';
import { leaseOf } from '../wire/keyvalue.js';
import type { UsedLeases } from './snapshot-file-leases.js';
import { type LogOptions, readLog } from './snapshot-file-log.js';

/**
 * Sorts the log into the keyspace, and finds the leases that its keys refer to.
 *
 * @param sorter is finished by this
 */
export async function keyspaceInto(
  backend: BackendView,
  log: LogOptions,
  sorter: RecordSorter,
  used: UsedLeases,
  run: RunContext,
): Promise<void> {
  let anyLease = false;
  for await (const { bytes, count, values, ends, leases } of readLog(backend, { ...log, noBumps: true }, run)) {
    for (let i = 0; i < count && !anyLease; i++) anyLease = leases[i] !== 0n;
    await sorter.addSlices(bytes, values, ends, count);
  }
  await sorter.finish();
  if (!anyLease) return;
  // Which records are the last of their keys is known only now.
  for await (const batch of sorter.lentBatches()) {
    for (let i = 0; i < batch.count; i++) {
      const lease = leaseOf(batch.bytes, batch.starts[i], batch.ends[i]);
      if (lease !== 0n) await used.add(lease);
    }
  }
}

/** Finds all leases that the log ever refers to. */
export async function usedLeasesOf(backend: BackendView, log: LogOptions, used: UsedLeases, run: RunContext): Promise<void> {
  for await (const { count, leases } of readLog(backend, log, run)) {
    for (let i = 0; i < count; i++) {
      const lease = leases[i] as bigint;
      if (lease !== 0n) await used.add(lease);
    }
  }
}
