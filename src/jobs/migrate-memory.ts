import type { V3Cluster } from '../cluster/v3.js';
import type { KeyMapping } from '../convert/key-mapping.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection, SourceInfo } from '../model/source.js';
import { withoutCovered } from '../selection/prefix.js';
import { type MigrateState, openState, type StatePlace } from './migrate-state.js';
import type { Remember } from './write-live.js';

/** What a migration is to remember of its writes, and where. */
export interface MemoryOptions {
  readonly place: StatePlace;
  readonly source: SourceInfo;
  readonly selection: KeySelection;
  readonly mapping: KeyMapping;
  readonly dryRun: boolean;
}

/**
 * Has a writer remember in a state file what it writes, and tidies up when it is done: leases that an
 * earlier run was killed over are revoked. Where the file was not asked for and cannot be made, the
 * user is warned, and nothing is remembered.
 */
export function remembering(options: MemoryOptions): Remember {
  return async (cluster, run, write) => {
    const state = await opened(options, cluster, run);
    if (state === undefined) return write(undefined);
    try {
      const report = await write(state);
      if (!options.dryRun) await state.finish(options.source.revision, cluster, run);
      return report;
    } finally {
      state.close();
    }
  };
}

/** @returns undefined where the state has no place that can be written */
export async function opened(options: MemoryOptions, cluster: V3Cluster, run: RunContext): Promise<MigrateState | undefined> {
  const { place, source, selection, mapping, dryRun } = options;
  const prefixes = selection.prefixes.length === 0 ? [Buffer.alloc(0)] : selection.prefixes;
  const within = withoutCovered(prefixes.flatMap((prefix) => mapping.mapPrefix(prefix)));
  try {
    return await openState(place, { source, cluster, within }, { dryRun }, run);
  } catch (thrown) {
    const error = FerryError.from(thrown);
    if (place.path !== undefined || (error.code !== 'not-writable' && error.code !== 'no-space')) throw error;
    run.warn(`${error.message}; without it, a run after a changed source takes its own keys for those of others (--state FILE)`);
    return undefined;
  }
}
