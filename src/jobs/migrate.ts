import type { ArchiveAccount } from '../archive/account.js';
import { distinctKeys } from '../convert/distinct-keys.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import type { TreeCounts } from '../convert/v2-counts.js';
import { FingerprintTaker, type TreeFingerprint } from '../convert/v2-fingerprint.js';
import { type ConvertedTree, type ConvertTreeOptions, convertStream, convertTree } from '../convert/v2-to-v3.js';
import { FerryError } from '../errors.js';
import type { KeyTest } from '../kubernetes/runtime.js';
import { detect } from '../locations/detect.js';
import type { SourceRequest } from '../locations/source.js';
import { type NewFile, newFileKind } from '../locations/target.js';
import type { AuthData } from '../model/auth.js';
import type { RecordBatch } from '../model/batch.js';
import { type Note, NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { delegate, type Source, type SourceInfo } from '../model/source.js';
import { RecordSorter } from '../sort/sorter.js';
import { findKeyValueKey } from '../wire/keyvalue-scan.js';
import type { WriteSnapshotReport } from '../writers/snapshot-file.js';
import { asProtobuf } from './kubernetes-protobuf.js';
import { migrateBack } from './migrate-back.js';
import { remembering } from './migrate-memory.js';
import type { StatePlace } from './migrate-state.js';
import { type Duration, Durations } from './migration-durations.js';
import { type MigrationPlan, planned, refuseChange } from './migration-plan.js';
import { type MigrationProof, proveMigration } from './migration-proof.js';
import { readBackRequest } from './migration-target.js';
import { refuseImpossible, requireSelected } from './nothing-selected.js';
import { openProven } from './proven-source.js';
import { writeArchive, writeSnapshot } from './write-file.js';
import { isEmptyTarget, type LiveTarget, type Remember, type WriteOptions, type WriteReport, writeLive } from './write-live.js';

/** What becomes of expirations, empty directories, hidden and expired nodes. */
export type TreeRules = Pick<ConvertTreeOptions, 'ttl' | 'emptyDirs' | 'hidden' | 'dropExpired'>;

/** Bytes to sort in beside other work: a tree that was held in memory, or is being read, converted and written. */
const SMALL_SORT_BUDGET = 16 * 1024 * 1024;

export interface MigrateOptions {
  /** A v2 tree: a live cluster, a data dir, or an archive of one. With `toApi: v2` any source of v3 keys. */
  readonly from: SourceRequest;
  /** A live cluster; or an archive or (v3 only) snapshot file, as its ending tells. */
  readonly to: { readonly live: LiveTarget } | { readonly file: NewFile };
  readonly write: WriteOptions;
  readonly rules?: TreeRules;
  /** What the source is to become, as a plan has it; refused when it has moved on. */
  readonly expected?: TreeFingerprint;
  /** Read the target back when it is written, and compare; true unless given. */
  readonly proof?: boolean;
  /** Make the JSON that Kubernetes 1.5 and older stored what later ones store: protobuf. */
  readonly kubernetesProtobuf?: boolean;
  /** The other way round: `v2` carries v3 keys back to a tree. */
  readonly toApi?: 'v2' | 'v3';
  /** With `toApi: v2`: the name for the value of a key that others lie under, in the directory it becomes. */
  readonly directoryValue?: string;
  /** Where to remember which keys of a live target are ours; they are not told from others' without. */
  readonly state?: StatePlace;
  /** Keys that were skipped are differences to the proof: nobody asked for them to be. */
  readonly skippedDiffer?: boolean;
  /** Hidden nodes that were asked for, and found not to be there before the source was read. */
  readonly hiddenMissing?: readonly string[];
  /** Told of every batch of the tree's nodes that is read, perhaps more than once. */
  readonly onNodes?: (batch: RecordBatch) => void;
  readonly compress: 'gzip' | 'zstd';
  /** Version of this tool, for an archive's header. */
  readonly toolVersion: string;
}

export interface MigrateReport {
  readonly source: SourceInfo;
  /** Keys the tree becomes; nodes that keys become. */
  readonly keys: number;
  readonly to: string;
  /** What was written into a live cluster. */
  readonly written?: WriteReport;
  /** The archive that was written. */
  readonly archive?: ArchiveAccount;
  /** The snapshot file that was written. */
  readonly snapshot?: WriteSnapshotReport;
  readonly dryRun: boolean;
  readonly notes: readonly Note[];
  /** The tree in numbers. */
  readonly counts?: TreeCounts;
  /** Users and roles of the v2 API, where the source tells of any. */
  readonly auth?: AuthData;
  /** What a dry run has found out. */
  readonly plan?: MigrationPlan;
  /** What reading the target back has shown; undefined where it was not done. */
  readonly proof?: MigrationProof;
  /** The parts of the run, in their order. */
  readonly durations?: readonly Duration[];
  /** Tells the keys that are left alone in a live target, by their names there. */
  readonly leftAlone?: KeyTest;
}

/**
 * Carries a v2 tree over to v3: paths become keys, expirations leases. What v3 has no place for is
 * counted and named in the notes.
 *
 * @throws FerryError as source, converter and target do; `usage` when the source holds no v2 tree
 */
export async function migrate(options: MigrateOptions, run: RunContext): Promise<MigrateReport> {
  if (options.toApi === 'v2') return migrateBack(options, run);
  const { from, write } = options;
  refuseImpossible({ ...from, api: from.api ?? 'v2' });
  const once = options.expected === undefined && (await canStream(options, run));
  const durations = new Durations();
  durations.begin('reading the source');
  const tree = requireSelected(telling(await openTree({ ...from, once }, run), options.onNodes), from, run);
  try {
    if (tree.info.api !== 'v2') {
      throw new FerryError('usage', `${from.location.text} holds v3 keys; migrate carries v2 trees over`, {
        hint: 'For v3 use backup and restore; to carry keys back to v2 give --to-api v2.',
      });
    }
    const fingerprint = write.dryRun === true || options.expected !== undefined ? new FingerprintTaker() : undefined;
    const rules = { ...options.rules, ...(fingerprint === undefined ? {} : { fingerprint }) };
    const hiddenMissing = options.hiddenMissing?.map((path) => Buffer.from(path)) ?? [];
    const as = { ...rules, selection: from.selection, mapping: write.mapping ?? SAME_KEYS, hiddenMissing };
    durations.begin('converting');
    const converted = once ? convertStream(tree, as) : await convertTree(tree, as);
    if (options.expected !== undefined) refuseChange(options.expected, fingerprint, tree);
    const auth = await authOf(converted);
    const stored = options.kubernetesProtobuf === true ? asProtobuf(converted) : converted;
    const done = once
      ? await streamAndProve(stored, options, durations, run)
      : await inKeyOrder(stored, write.tmpDir, run, (source, unchecked) =>
          fingerprint === undefined || write.dryRun !== true
            ? carryAndProve(source, options, durations, run)
            : planned(
                { source, unchecked, tree, converted, fingerprint, options, durations, carry: (changed) => carry(source, changed, run) },
                run,
              ),
        );
    const { counts } = converted;
    return {
      source: tree.info,
      keys: counts.keys,
      dryRun: write.dryRun === true,
      ...done,
      counts,
      ...(auth === undefined ? {} : { auth }),
      durations: durations.list(),
    };
  } finally {
    await tree.close();
  }
}

async function carryAndProve(source: Source, options: MigrateOptions, durations: Durations, run: RunContext): Promise<Done> {
  durations.begin('writing');
  const done = await carry(source, options, run);
  if (options.write.dryRun === true || options.proof === false) return done;
  durations.begin('reading the target back');
  return prove(source, done, options, run);
}

/** Writes what can be read once only, and keeps it in the order of keys for the proof. */
async function streamAndProve(stream: Source, options: MigrateOptions, durations: Durations, run: RunContext): Promise<Done> {
  durations.begin('reading and writing');
  if (options.proof === false) return carry(stream, options, run);
  await using sorter = new RecordSorter({ findKey: findKeyValueKey, tmpDir: options.write.tmpDir, budget: SMALL_SORT_BUDGET }, run);
  const done = await carry({ ...delegate(stream), records: () => keeping(stream.records(), sorter) }, options, run);
  durations.begin('reading the target back');
  await sorter.finish();
  const kept = { ...delegate(stream), info: { ...stream.info, order: 'key' }, records: () => sorter.batches() } as const;
  return await prove(kept, done, options, run);
}

async function* keeping(batches: AsyncIterable<RecordBatch>, sorter: RecordSorter): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) {
    await sorter.add(batch);
    yield batch;
  }
}

async function prove(source: Source, done: Done, options: MigrateOptions, run: RunContext): Promise<Done> {
  const target = readBackRequest(options);
  if (target === undefined) return done;
  const skipped = options.skippedDiffer === true ? 0 : (done.written?.skipped ?? 0);
  const proof = await proveMigration({ source, target, leftAlone: done.leftAlone ?? (() => false), skipped }, run);
  return { ...done, proof };
}

/** Users and roles of the v2 API, and a note that they are not migrated. */
async function authOf(converted: ConvertedTree): Promise<AuthData | undefined> {
  const auth = await converted.auth();
  if (auth === undefined) return undefined;
  for (const user of auth.users) {
    const message = 'users of the v2 API, to be made again: no server tells or takes a password';
    converted.notes.add('v2-users', message, { example: user.name });
  }
  for (const role of auth.roles) converted.notes.add('v2-roles', 'roles of the v2 API, to be made again', { example: role.name });
  return auth;
}

/**
 * Whether records may be written while the tree is read: from a live cluster, into one that holds
 * nothing where they go, so that nothing can be in the way; and under names that are all different.
 * Reading that would wait for a limited rate is no reading at one go.
 */
async function canStream({ from, to, write }: MigrateOptions, run: RunContext): Promise<boolean> {
  const mapping = write.mapping ?? SAME_KEYS;
  const isLive = from.location.kind === 'live' && (from.api ?? 'v2') === 'v2' && from.includeHidden === undefined;
  if (!isLive || !('live' in to) || write.dryRun === true || write.limitRate !== undefined || !mapping.keepsApart) return false;
  return isEmptyTarget(to.live, from.selection, mapping, run);
}

function telling(tree: Source, onNodes: MigrateOptions['onNodes']): Source {
  if (onNodes === undefined) return tree;
  return {
    ...delegate(tree),
    records: async function* () {
      for await (const batch of tree.records()) {
        onNodes(batch);
        yield batch;
      }
    },
  };
}

export type Done = Omit<MigrateReport, 'source' | 'keys' | 'dryRun'>;

async function openTree(from: SourceRequest, run: RunContext): Promise<Source> {
  const { location } = from;
  const found = location.kind === 'path' ? await detect(location.path) : location.kind;
  const either = found === 'live' || found === 'data-dir';
  return openProven(either ? { ...from, api: from.api ?? 'v2' } : from, run);
}

async function carry(source: Source, options: MigrateOptions, run: RunContext): Promise<Done> {
  const { to } = options;
  if ('live' in to) return intoCluster(source, to.live, options, run);
  return (await newFileKind(to.file.location)) === 'archive'
    ? intoArchive(source, to.file, options, run)
    : intoFile(source, to.file, options, run);
}

async function intoCluster(source: Source, target: LiveTarget, options: MigrateOptions, run: RunContext): Promise<Done> {
  // Selected and renamed already, by the converter.
  const { mapping: _, selection: __, ...write } = options.write;
  let leftAlone: KeyTest = () => false;
  const onLeaveAlone = (holds: KeyTest): void => {
    leftAlone = holds;
  };
  const { to, written } = await writeLive(
    source,
    target,
    { ...write, ...memory(source.info, options), leaseTtl: leaseTtlFor(options), onLeaveAlone },
    run,
  );
  const notes = new NoteBook();
  notes.merge(source.notes.list());
  notes.merge(written.notes);
  return { to, written, leftAlone, notes: notes.list() };
}

/** A lease's deadline is the expiration itself; one that is attached begins when it is granted. */
export function leaseTtlFor({ rules }: MigrateOptions): 'granted' | 'deadline' {
  return rules?.ttl?.kind === 'attach-lease' ? 'granted' : 'deadline';
}

/** What is remembered of a live target's keys, if it is to be. */
function memory(source: SourceInfo, { state, from, write }: MigrateOptions): { remember?: Remember } {
  if (state === undefined) return {};
  const mapping = write.mapping ?? SAME_KEYS;
  return { remember: remembering({ place: state, source, selection: from.selection, mapping, dryRun: write.dryRun === true }) };
}

async function intoArchive(source: Source, target: NewFile, options: MigrateOptions, run: RunContext): Promise<Done> {
  const { compress, toolVersion } = options;
  const archive = await writeArchive(source, target, { compress, toolVersion }, run);
  return { to: target.location.text, archive, notes: source.notes.list() };
}

async function intoFile(source: Source, target: NewFile, { write }: MigrateOptions, run: RunContext): Promise<Done> {
  const snapshot = await writeSnapshot(source, target, { tmpDir: write.tmpDir, sortBudget: SMALL_SORT_BUDGET }, run);
  return { to: target.location.text, snapshot, notes: snapshot.notes };
}

/**
 * Sorts once what may be read again and again: tree order is not the order of keys, `/a/b` stands
 * before `/a-b`, whose bytes come first.
 */
async function inKeyOrder<T>(
  source: Source,
  tmpDir: string,
  run: RunContext,
  use: (sorted: Source, unchecked: () => AsyncIterable<RecordBatch>) => Promise<T>,
): Promise<T> {
  // The tree of a data dir is in memory beside.
  const inMemory = source.info.kind === 'data-dir';
  await using sorter = new RecordSorter({ findKey: findKeyValueKey, tmpDir, ...(inMemory ? { budget: SMALL_SORT_BUDGET } : {}) }, run);
  for await (const batch of source.records()) {
    await sorter.add(batch);
  }
  await sorter.finish();
  const auth = await source.auth();
  if (inMemory) await source.close();
  const info = { ...source.info, order: 'key' } as const;
  return await use({ ...delegate(source), info, auth: async () => auth, records: () => distinctKeys(sorter.batches()) }, () =>
    sorter.batches(),
  );
}
