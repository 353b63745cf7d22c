import { tmpdir } from 'node:os';
import type { V2Cluster } from '../cluster/v2.js';
import { mappedSelection, SAME_KEYS } from '../convert/key-mapping.js';
import { mapNodes } from '../convert/v2-map.js';
import { directoriesOf, selectWithEnds } from '../convert/v2-select.js';
import { FerryError } from '../errors.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type Source } from '../model/source.js';
import { selectsAll } from '../selection/select.js';
import { emptyV2Tally, type RestoreV2Options, type RestoreV2Report } from './live-v2-options.js';
import { planTree } from './live-v2-plan.js';
import { writeTree } from './live-v2-write.js';

export type { RestoreV2Options, RestoreV2Report, SeenTree } from './live-v2-options.js';

const DEFAULT_IN_FLIGHT = 32;

/**
 * Writes a tree into a live v2 cluster. What is in the way is found before the first write, and
 * every write is refused by etcd if its node was changed since. A run that was cut short is run
 * again and ends in the same state; one that finds everything in place writes nothing.
 *
 * Expirations are kept to within a second, by this machine's clock. Hidden nodes are written like
 * any other. Directories that are there already stay, with what is in them. A directory with a TTL above
 * what is selected is not written itself: what lies under it is given its end.
 *
 * @param source v2 nodes in tree order; read once
 * @throws FerryError `in-the-way` under the rule `fail` when the target has a node that is not the
 *   same, or when a node was changed meanwhile; `usage` for a source or mapping that cannot be;
 *   `unauthorized`, `unreachable` as the cluster says; the signal's reason when it is aborted
 */
export async function restoreLiveV2(
  source: Source,
  cluster: V2Cluster,
  options: RestoreV2Options,
  run: RunContext,
): Promise<RestoreV2Report> {
  const { api, order } = source.info;
  if (api !== 'v2' || order !== 'tree') throw new FerryError('usage', `only a v2 tree can be written, found ${api} in ${order} order`);
  const { mapping = SAME_KEYS, selection = EVERYTHING, onConflict = 'fail', dryRun = false, now = Date.now } = options;
  const [tally, notes] = [emptyV2Tally(), new NoteBook()];
  const directory = options.tmpDir ?? tmpdir();
  const records = mapNodes(selectWithEnds(source.records(), selection), mapping, directory, run);
  const { counted, onTarget, onDifference, tolerance } = options;
  const chosen = selectsAll(selection) ? source.info.selection : selection;
  const within = directoriesOf(mappedSelection(chosen, mapping));
  const actions = await planTree(records, {
    cluster,
    within,
    onConflict,
    tmpDir: directory,
    now: now(),
    counted,
    onTarget,
    onDifference,
    tolerance,
    tally,
    notes,
    run,
  });
  try {
    const inFlight = options.inFlight ?? DEFAULT_IN_FLIGHT;
    if (!dryRun) await writeTree(actions.batches(), { cluster, inFlight, now, tally, notes, run });
  } finally {
    await actions.close();
  }
  return { ...tally, dryRun, notes: notes.list() };
}
