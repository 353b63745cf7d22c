import type { V3Cluster } from '../cluster/v3.js';
import { distinctKeys } from '../convert/distinct-keys.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import { showKey } from '../convert/key-text.js';
import { convertTree } from '../convert/v2-to-v3.js';
import { batchOf } from '../model/batch.js';
import type { KeyValue } from '../model/keyvalue.js';
import type { TreeNode } from '../model/node.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { delegate, type Source, type SourceInfo } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { sortRecords } from '../sort/sorter.js';
import { findKeyValueKey } from '../wire/keyvalue-scan.js';
import { encodeNode } from '../wire/node.js';
import type { WriteMemory } from '../writers/live-v3.js';
import { removeWithin, spansOf } from '../writers/live-v3-extras.js';
import { emptyTally } from '../writers/live-v3-options.js';
import { afterKey, TargetReader } from '../writers/live-v3-target.js';
import type { Changes } from './follow-changes.js';
import { asProtobuf } from './kubernetes-protobuf.js';
import { leaseTtlFor, type MigrateOptions } from './migrate.js';
import type { MigrateState } from './migrate-state.js';
import { intoV3 } from './write-live.js';

/** Where changes are carried to. */
export interface FollowTarget {
  readonly cluster: V3Cluster;
  readonly state: MigrateState;
  readonly options: MigrateOptions;
  readonly source: SourceInfo;
  /** See Source. */
  readonly clockOffset: () => bigint;
  readonly notes: NoteBook;
}

/** What carrying changes over came to. */
export interface Carried {
  readonly written: number;
  readonly deleted: number;
  /** Keys left alone because somebody else has written them. */
  readonly skipped: number;
}

const FOREIGN = 'keys left alone because somebody else has written them in the target';

/**
 * Carries changes over to the target: what went is deleted, what is there is written, both only where
 * the target is as this migration left it.
 */
export async function carryChanges(changes: Changes, target: FollowTarget, run: RunContext): Promise<Carried> {
  const nodes = changes.nodes();
  const deleted = await remove(changes, nodes, target, run);
  if (nodes.length === 0) return { written: 0, deleted, skipped: 0 };
  const { options, cluster, state, notes } = target;
  const { mapping: _, selection: __, remember: ___, ...write } = options.write;
  const onConflict = write.onConflict === 'overwrite' ? 'overwrite' : 'skip';
  const source = await asSource(nodes, target, run);
  // Of these keys alone: what else there is of earlier runs stays.
  const memory: WriteMemory = { ...remembered(state), hasEarlier: false };
  const report = await intoV3(source, cluster, { ...write, onConflict, memory, dryRun: false, leaseTtl: leaseTtlFor(options) }, run);
  if (report.skipped > 0) notes.add('changed-by-others', FOREIGN, { lossy: true, count: report.skipped });
  return { written: report.written + report.overwritten, deleted, skipped: report.skipped };
}

function remembered(state: MigrateState): WriteMemory {
  return {
    within: state.within,
    hasEarlier: state.hasEarlier,
    isOurs: (revision) => state.isOurs(revision),
    sends: (records) => state.sends(records),
    grants: (lease) => state.grants(lease),
    refused: (lease) => state.refused(lease),
  };
}

/** Deletes the keys of files and directories that went, if they are ours and not there again. */
async function remove(changes: Changes, nodes: readonly TreeNode[], target: FollowTarget, run: RunContext): Promise<number> {
  const mapping = target.options.write.mapping ?? SAME_KEYS;
  const gone = changes.gone().map((path) => mapping.mapKey(path));
  const under = changes.directories.flatMap((path) => mapping.mapPrefix(Buffer.concat([path, Buffer.from('/')])));
  if (gone.length === 0 && under.length === 0) return 0;
  const staying = new Set(nodes.map(({ path, dir }) => (dir ? '' : mapping.mapKey(path).toString('latin1'))));
  const { cluster, state, notes } = target;
  const mayGo = ({ key, createRevision, modRevision }: KeyValue): boolean => {
    if (staying.has(key.toString('latin1'))) return false;
    const ours = state.isOurs(modRevision);
    if (!ours && state.isOurs(createRevision)) notes.add('changed-by-others', FOREIGN, { lossy: true, example: showKey(key) });
    return ours;
  };
  const tally = emptyTally();
  const reader = new TargetReader(cluster, run.signal);
  const spans = [...gone.map((key) => ({ from: key, to: afterKey(key) })), ...spansOf(KeySet.under(under))];
  await removeWithin(spans, { cluster, target: reader, tally, notes, dryRun: false, onExtra: () => {}, run, mayGo });
  return tally.deleted;
}

/** The nodes as a source of keys, as the whole tree was. */
async function asSource(
  nodes: readonly TreeNode[],
  { options, source: info, clockOffset }: FollowTarget,
  run: RunContext,
): Promise<Source> {
  const { from, write, rules } = options;
  const tree: Source = {
    info,
    notes: new NoteBook(),
    leases: async function* () {},
    clockOffset,
    auth: async () => undefined,
    records: async function* () {
      yield batchOf(nodes.map(encodeNode));
    },
    close: async () => {},
  };
  const converted = await convertTree(tree, { ...rules, selection: from.selection, mapping: write.mapping ?? SAME_KEYS });
  const stored = options.kubernetesProtobuf === true ? asProtobuf(converted) : converted;
  const sorting = { findKey: findKeyValueKey, tmpDir: write.tmpDir, budget: 1 << 20 };
  return {
    ...delegate(stored),
    info: { ...stored.info, order: 'key' },
    records: () => distinctKeys(sortRecords(stored.records(), sorting, run)),
  };
}
