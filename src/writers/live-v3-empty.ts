import type { V3Cluster } from '../cluster/v3.js';
import { type KeyMapping, SAME_KEYS } from '../convert/key-mapping.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type KeySelection } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { spansOf } from './live-v3-extras.js';
import { type KeySpan, TargetReader } from './live-v3-target.js';

/**
 * Whether the target has no key where those of a source would come to lie. Only counts are asked
 * for.
 *
 * @param selection of the source's keys, by their names there
 * @returns false also where the credentials do not allow to count
 * @throws FerryError `unreachable` and the like
 */
export function holdsNothing(
  cluster: V3Cluster,
  selection: KeySelection = EVERYTHING,
  mapping: KeyMapping = SAME_KEYS,
  { signal }: RunContext,
): Promise<boolean> {
  return spansAreEmpty(spansOf(mapping.mapSet(KeySet.of(selection))), new TargetReader(cluster, signal));
}

/** The same for spans of keys. */
export async function spansAreEmpty(spans: readonly KeySpan[], target: TargetReader): Promise<boolean> {
  try {
    for (const span of spans) if ((await target.count(span)) > 0n) return false;
    return true;
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'unauthorized') throw thrown;
    return false;
  }
}
