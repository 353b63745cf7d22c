import type { V3Cluster } from '../cluster/v3.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type Source } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { tryAgain } from '../writers/live-v3-again.js';
import { spansOf } from '../writers/live-v3-extras.js';
import type { RestoreV3Options } from '../writers/live-v3-options.js';
import { TargetReader } from '../writers/live-v3-target.js';

/** What a live target is and holds before anything is written to it; what the user may not ask is left out. */
export interface TargetInfo {
  readonly clusterId?: bigint;
  readonly version?: string;
  /** Of v3 keys, of v2 files, at names that the source's selected keys can get. */
  readonly keys?: number;
}

/** The names that keys can get in the target which are chosen and which the source was taken with. */
export function targetNames(
  source: Source,
  { selection = EVERYTHING, mapping = SAME_KEYS }: Pick<RestoreV3Options, 'selection' | 'mapping'>,
): KeySet {
  return mapping.mapSet(KeySet.of(selection).intersect(KeySet.of(source.info.selection)));
}

/**
 * Asks a v3 cluster what it is, and how many of these keys it holds.
 *
 * @throws FerryError as the cluster does, but `unauthorized`
 */
export async function v3TargetInfo(cluster: V3Cluster, names: KeySet, { signal }: RunContext): Promise<TargetInfo> {
  const target = new TargetReader(cluster, signal);
  const status = await ifAllowed(tryAgain(() => cluster.status(signal), signal));
  const keys = await ifAllowed(countOf(target, names));
  return {
    ...(status === undefined ? {} : { clusterId: status.clusterId, version: status.version }),
    ...(keys === undefined ? {} : { keys }),
  };
}

async function countOf(target: TargetReader, names: KeySet): Promise<number> {
  let keys = 0n;
  for (const span of spansOf(names)) keys += await target.count(span);
  return Number(keys);
}

async function ifAllowed<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'unauthorized') throw thrown;
    return undefined;
  }
}
