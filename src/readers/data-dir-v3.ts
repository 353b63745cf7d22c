import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { FerryError } from '../errors.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { delegate, type Source } from '../model/source.js';
import { type ReplayReport, replayLog, snapshotsInLog, tooLarge } from '../replay/raft-log.js';
import { TailedBackend } from '../replay/v3-backend.js';
import { readTailBase } from '../replay/v3-base.js';
import { type LoggedRequest, replayTail } from '../replay/v3-replay.js';
import { V3Wants } from '../replay/v3-wants.js';
import { type BackendView, EtcdBackend } from '../wire/backend.js';
import { readVoters } from '../wire/backend-members.js';
import { ENTRY_NORMAL, type RaftEntry, type SnapshotMetadata } from '../wire/raft.js';
import { decodeV3Request } from '../wire/raft-v3.js';
import { openSnap } from '../wire/snap.js';
import { watchMember, whileAtRest } from './at-rest.js';
import { DataDirFile, withFiles } from './data-dir-file.js';
import { type DataDirLayout, findDataDir, newestWalSegments, snapDbFiles, snapFiles, walSegments } from './data-dir-layout.js';
import { noteEndOfLog, noteTail } from './data-dir-notes.js';
import { type DataDirOptions, DEFAULT_MAX_MEMORY } from './data-dir-v2.js';
import { openBackend, type SnapshotFileOptions } from './snapshot-file.js';
import { holdsPut } from './snapshot-file-log.js';

/** As for the v2 tree, and what choosing and sorting revisions takes. */
export type DataDirV3Options = DataDirOptions & Pick<SnapshotFileOptions, 'revision' | 'history' | 'tmpDir' | 'sortBudget' | 'checkPages'>;

/** A stopped member's database, brought up to date from its WAL. */
interface MemberBackend {
  readonly backend: BackendView;
  /** The database file, open. */
  readonly file: DataDirFile;
  readonly report: ReplayReport;
  readonly notes: NoteBook;
}

/**
 * Reads the v3 keyspace of a stopped member: `member/snap/db`, and what its WAL says happened after the
 * database was last written: all that etcd acknowledged, at the same revisions. Nothing in the
 * directory is changed.
 *
 * @param path the data dir (`member/` in it), of etcd 3.0 to 3.6
 * @throws FerryError `usage` when a running etcd uses it; `damaged`; `not-found`; `failed` when the tail
 * of the WAL takes more than `maxMemory`; `compacted` and `future-revision` as `openSnapshotFile`
 */
export async function openDataDirV3(path: string, options: DataDirV3Options, run: RunContext): Promise<Source> {
  const layout = await findDataDir(path, options.walDir);
  const watch = await watchMember(layout, run.warn);
  const member = await whileAtRest(watch, () => openMember(layout, options, run));
  try {
    const { location, selection, tmpDir, revision, history, sortBudget, checkPages = false } = options;
    const source = await openBackend(
      member.file,
      member.backend,
      {
        ...{ location, selection, tmpDir, kind: 'data-dir', hash: 'unchecked', checkPages },
        ...(revision === undefined ? {} : { revision }),
        ...(history === undefined ? {} : { history }),
        ...(sortBudget === undefined ? {} : { sortBudget }),
      },
      run,
      watch,
    );
    source.notes.merge(member.notes.list());
    return memberSource(source, member.report, await whileAtRest(watch, () => holdsPut(member.backend)));
  } catch (thrown) {
    await member.file.close();
    throw thrown;
  }
}

/**
 * Opens the database and applies the tail of the WAL to it, in memory.
 *
 * @returns a file for the caller to close
 * @throws FerryError as `openDataDirV3`
 */
export async function openMember(layout: DataDirLayout, options: DataDirOptions, run: RunContext): Promise<MemberBackend> {
  const notes = new NoteBook();
  const snap = await newestSnapshot(layout, notes, run.signal);
  const { file, base } = await openDatabase(layout, snap);
  try {
    const { requests, report, clusterVersion } = await readTail(layout, await startOf(base, snap), options, run);
    noteEndOfLog(notes, report, options.includeUncommitted === true);
    if (requests.length === 0) return { backend: base, file, report, notes };
    const wants = new V3Wants();
    for (const { operation } of requests) wants.add(operation);
    const state = await readTailBase(base, wants, options.maxMemory ?? DEFAULT_MAX_MEMORY, run.signal);
    const { storageVersion } = base.meta;
    const origin = { clusterVersion: clusterVersion ?? base.meta.clusterVersion ?? storageVersion, release: options.etcdVersion };
    const replay = replayTail(state, wants, requests, origin);
    noteTail(notes, requests, replay);
    const lastIndex = replay.fatal === undefined ? report.lastIndex : replay.fatal.index - 1n;
    return { backend: new TailedBackend(base, replay.tail, lastIndex), file, report, notes };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

function memberSource(source: Source, { metadata }: ReplayReport, holdsKeys: boolean): Source {
  return { ...delegate(source), info: { ...source.info, ...metadata, ...(holdsKeys ? {} : { estimatedRecords: 0 }) } };
}

/** Where the log is to be read from: what comes before is in the database. */
interface LogStart {
  readonly start: SnapshotMetadata;
  /** Index of the place that the start's voters are of. */
  readonly votersAt: bigint;
}

/**
 * The place that a database stands at. A `.snap` file is not needed for it: etcd 3.7 does not read them, and later ones do not write
 * them. Only of the database of an old etcd the voters may have to come from there.
 */
async function startOf(base: EtcdBackend, snap: SnapshotMetadata): Promise<LogStart> {
  const { consistentIndex = 0n, term = 0n } = base.meta;
  // A database that was received with a snapshot may have been written last before the snapshot's own place.
  const index = consistentIndex < snap.index ? snap.index : consistentIndex;
  const voters = await readVoters(base.bolt);
  const start = { index, term: index === snap.index ? snap.term : index === consistentIndex ? term : 0n };
  if (voters !== undefined && consistentIndex >= snap.index) return { start: { ...start, voters }, votersAt: index };
  return { start: { ...start, voters: snap.voters }, votersAt: snap.index };
}

/** The newest place that a `.snap` file stands for, or a database that was received from a leader and that the WAL tells of. */
async function newestSnapshot(layout: DataDirLayout, notes: NoteBook, signal: AbortSignal): Promise<SnapshotMetadata> {
  const snap = await newestSnap(layout, notes);
  const received = (await snapDbFiles(layout)).filter(({ index }) => index > snap.index);
  // One that the WAL does not tell of was received, and nothing more: etcd does not use it either.
  if (received.length === 0) return snap;
  const paths = (await newestWalSegments(layout)).map((file) => file.path);
  const told = await withFiles(paths, (segments) => snapshotsInLog(segments, signal));
  return told.findLast(({ index }) => received.some((file) => file.index === index)) ?? snap;
}

/** The newest `.snap` file that is whole; index 0n where there is none. */
async function newestSnap(layout: DataDirLayout, notes: NoteBook): Promise<SnapshotMetadata> {
  for (const { path } of await snapFiles(layout)) {
    try {
      return await withFiles([path], ([file]) => openSnap(file as DataDirFile));
    } catch (thrown) {
      const error = FerryError.from(thrown);
      if (error.code !== 'damaged') throw error;
      notes.add('snap-damaged', 'damaged .snap files; the database and the WAL tell all without them', { example: error.message });
    }
  }
  return { index: 0n, term: 0n, voters: [] };
}

/** `db`, or the database that was received from a leader with the newest `.snap` file and not put in its place yet. */
async function openDatabase(layout: DataDirLayout, start: SnapshotMetadata): Promise<{ file: DataDirFile; base: EtcdBackend }> {
  const received = (await snapDbFiles(layout)).find(({ index }) => index === start.index);
  const path = join(layout.snapDir, 'db');
  const candidates = [...((await exists(path)) ? [path] : []), ...(received === undefined ? [] : [received.path])];
  if (candidates.length === 0) {
    throw new FerryError('not-found', `${layout.snapDir} holds no db: this member has no v3 keys`, {
      hint: 'Read its v2 tree with --api v2.',
    });
  }
  let found = 0n;
  for (const candidate of candidates) {
    const file = await DataDirFile.open(candidate);
    try {
      // `etcdctl backup` of 3.4 leaves a database without a keyspace beside the v2 store that it keeps.
      const base = await EtcdBackend.open(file, { mayLackKeyspace: true });
      found = base.meta.consistentIndex ?? 0n;
      if (found >= start.index || candidate === received?.path) return { file, base };
      await file.close();
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
  }
  throw new FerryError('damaged', `${path} ends at raft index ${found}, but the newest snapshot stands for ${start.index}`, {
    hint: 'The database that belongs to it (.snap.db) is missing: read another member.',
  });
}

interface Tail {
  readonly requests: readonly LoggedRequest[];
  readonly report: ReplayReport;
  /** Where the tail sets it. */
  readonly clusterVersion: string | undefined;
}

/** What the WAL holds for the v3 store after the index the database stands at. */
async function readTail(layout: DataDirLayout, { start, votersAt }: LogStart, options: DataDirOptions, run: RunContext): Promise<Tail> {
  const maxMemory = options.maxMemory ?? DEFAULT_MAX_MEMORY;
  const requests: LoggedRequest[] = [];
  let clusterVersion: string | undefined;
  let bytes = 0;
  const take = (entry: RaftEntry): void => {
    if (entry.type !== ENTRY_NORMAL || entry.data.length === 0) return;
    // A copy: the entry shares a megabyte with others.
    const request = decodeV3Request(Buffer.from(entry.data));
    const { operation } = request;
    if (operation.kind === 'cluster-version') clusterVersion = operation.version;
    if (operation.kind === 'none' || operation.kind === 'read' || operation.kind === 'cluster-version') return;
    requests.push({ ...request, index: entry.index });
    bytes += entry.data.length;
    if (bytes > maxMemory) throw tooLarge(maxMemory);
  };
  const known = votersAt === start.index || (await reachesBackTo(layout, votersAt));
  const paths = (await walSegments(layout, known ? votersAt : start.index)).map((file) => file.path);
  const replay = {
    start: known ? start : { ...start, voters: [] },
    votersAt,
    maxPendingBytes: maxMemory,
    includeUncommitted: options.includeUncommitted ?? false,
    signal: run.signal,
  };
  const report = await withFiles(paths, (segments) => replayLog(segments, replay, take));
  return { requests, report, clusterVersion };
}

async function reachesBackTo(layout: DataDirLayout, index: bigint): Promise<boolean> {
  return walSegments(layout, index).then(
    () => true,
    () => false,
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
