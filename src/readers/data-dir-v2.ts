import { authOfV2 } from '../convert/v2-auth.js';
import { isAboveSelected, selectNodes } from '../convert/v2-select.js';
import { FerryError } from '../errors.js';
import type { AuthData } from '../model/auth.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection, Source, SourceInfo } from '../model/source.js';
import { type ReplayReport, replayLog } from '../replay/raft-log.js';
import { type AppliedCounts, applyToV2Store } from '../replay/v2-apply.js';
import { eachBelow, newNode, pathBelow } from '../replay/v2-node.js';
import { restoreV2Store } from '../replay/v2-snapshot.js';
import { V2Store } from '../replay/v2-store.js';
import { hasSettledVersion, V2Versions, type VersionChange, versionChangeOf } from '../replay/v2-version.js';
import { walkTree } from '../replay/v2-walk.js';
import { isSelected } from '../selection/select.js';
import { keysOf } from '../wire/keyvalue.js';
import type { SnapshotMetadata } from '../wire/raft.js';
import { openSnap } from '../wire/snap.js';
import { watchMember, whileAtRest } from './at-rest.js';
import { withFiles } from './data-dir-file.js';
import { type DataDirLayout, findDataDir, snapFiles, walSegments } from './data-dir-layout.js';
import { noteEndOfLog } from './data-dir-notes.js';

/** Most memory a replay may take unless told otherwise, in bytes. */
export const DEFAULT_MAX_MEMORY = 2 * 2 ** 30;

export interface DataDirOptions {
  /** As the user named it. */
  readonly location: string;
  readonly selection: KeySelection;
  /** Where the WAL is, if the member ran with `--wal-dir`. */
  readonly walDir?: string;
  /** Also apply what stands in the WAL after the commit index; left out unless given. */
  readonly includeUncommitted?: boolean;
  /** Most memory the replay may take, in bytes; 2 GiB unless given. */
  readonly maxMemory?: number;
  /** The release that ran on the directory, `3.5.16`: of v3, where it matters, each that the directory may be of is worked out without it. */
  readonly etcdVersion?: string;
}

/** A v2 store as a data dir leaves it, and how it got there. */
interface ReplayedStore {
  readonly store: V2Store;
  readonly report: ReplayReport;
  readonly counts: AppliedCounts;
}

/**
 * Reads the v2 tree of a stopped member: the newest good `.snap` file, then the WAL up to the commit
 * index. Every node is a record, hidden ones and those past their expiration too. The whole tree is
 * held in memory (about 512 bytes a node and its name and value), up to `maxMemory`. Nothing in the
 * directory is changed.
 *
 * @param path the data dir (`member/` in it), of etcd 2.0 to 3.5
 * @throws FerryError `usage` when a running etcd uses it; `damaged`; `not-found`; `unknown-format`;
 * `failed` when the tree needs more than `maxMemory`
 */
export async function openDataDirV2(path: string, options: DataDirOptions, run: RunContext): Promise<Source> {
  const startedAt = Date.now();
  const layout = await findDataDir(path, options.walDir);
  const watch = await watchMember(layout, run.warn);
  const notes = new NoteBook();
  const { store, report, counts } = await whileAtRest(watch, () => replayV2(layout, options, notes, run));
  // Nothing kept etcd from starting meanwhile.
  await watch.check();
  noteReplay(notes, report, counts, options);
  noteAuth(notes, store);
  const estimatedRecords = noteNodes(notes, store, startedAt, options.selection);
  return sourceOf(store, notes, {
    kind: 'data-dir',
    api: 'v2',
    order: 'tree',
    location: options.location,
    revision: store.index,
    clusterId: report.metadata.clusterId,
    memberId: report.metadata.memberId,
    startedAt,
    selection: options.selection,
    isSelectionKnown: true,
    hiddenTold: 'all',
    estimatedRecords,
  });
}

function sourceOf(store: V2Store, notes: NoteBook, info: SourceInfo): Source {
  let held: V2Store | undefined = store;
  const open = (): V2Store => {
    if (held === undefined) throw new FerryError('failed', `${info.location}: read after it was closed`);
    return held;
  };
  return {
    info,
    notes,
    leases: async function* () {},
    auth: async () => authOf(open()),
    records: async function* () {
      const keys = open().get('/1');
      if (keys === undefined) return;
      const { selection } = info;
      const walked = walkTree(keys, (path) => isSelected(path, selection) || isAboveSelected(path, selection));
      yield* selectNodes(asAsync(walked), selection);
    },
    keysNear: async function* () {
      const keys = open().get('/1');
      if (keys !== undefined) for (const batch of walkTree(keys, () => true)) yield* keysOf(batch);
    },
    close: async () => {
      // Whoever is done with the tree wants its memory, though not everyone who knows this source is gone.
      held = undefined;
    },
  };
}

async function* asAsync<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function replayV2(layout: DataDirLayout, options: DataDirOptions, notes: NoteBook, run: RunContext): Promise<ReplayedStore> {
  const maxMemory = options.maxMemory ?? DEFAULT_MAX_MEMORY;
  const { store, start } = await restoreNewest(layout, maxMemory, notes, run);
  const paths = (await walSegments(layout, start.index)).map((file) => file.path);
  return withFiles(paths, async (segments) => {
    const replay = { start, maxPendingBytes: maxMemory, includeUncommitted: options.includeUncommitted ?? false, signal: run.signal };
    const changes: VersionChange[] = [];
    if (!hasSettledVersion(store)) {
      await replayLog(segments, replay, (entry) => {
        const change = versionChangeOf(entry);
        if (change !== undefined) changes.push(change);
      });
    }
    const versions = new V2Versions(store, changes);
    const counts = { requests: 0, confChanges: 0, v3: 0 };
    const report = await replayLog(segments, replay, (entry) => applyToV2Store(store, entry, versions, counts));
    return { store, report, counts };
  });
}

/** The store from the newest `.snap` file that is whole; an empty one when the member is too young to have any. */
async function restoreNewest(
  layout: DataDirLayout,
  maxMemory: number,
  notes: NoteBook,
  run: RunContext,
): Promise<{ store: V2Store; start: SnapshotMetadata }> {
  for (const { path } of await snapFiles(layout)) {
    try {
      return await withFiles([path], async ([file]) => {
        const snap = await openSnap(file as NonNullable<typeof file>);
        return { store: await restoreV2Store(snap, maxMemory, run.signal), start: snap };
      });
    } catch (thrown) {
      const error = FerryError.from(thrown);
      if (error.code !== 'damaged') throw error;
      notes.add('snap-damaged', 'damaged .snap files; an earlier state and more of the WAL were used instead', { example: error.message });
    }
  }
  return { store: new V2Store(maxMemory), start: { index: 0n, term: 0n, voters: [] } };
}

function noteReplay(notes: NoteBook, report: ReplayReport, counts: AppliedCounts, options: DataDirOptions): void {
  const add = (code: string, message: string, count: number): void => {
    if (count > 0) notes.add(code, message, { count });
  };
  const applied = report.applied - (options.includeUncommitted === true ? report.uncommitted : 0);
  add('committed-entries', `entries of the WAL replayed, up to its commit index ${report.commit}`, applied);
  add('membership-changes', 'changes of the membership among the entries replayed', counts.confChanges);
  noteEndOfLog(notes, report, options.includeUncommitted === true);
}

/** Notes what is special about selected nodes. @returns the number of nodes in the user's namespace */
function noteNodes(notes: NoteBook, store: V2Store, now: number, selection: KeySelection): number {
  let count = -1;
  const time = BigInt(now) * 1_000_000n;
  const top = store.get('/1') ?? newNode('', undefined, 0n, true);
  eachBelow(top, (node) => {
    count++;
    const note = (code: string, message: string, lossy = false): void => {
      const path = Buffer.from(pathBelow(top, node), 'latin1');
      if (isSelected(path, selection)) notes.add(code, message, { lossy, example: path.toString() });
    };
    if (node.expiration !== 0n && node.expiration <= time) {
      note('expired-node', 'nodes that had expired when they were read; kept with their expiration');
    }
    if (node.damage === 'certain') {
      note('value-not-utf8', 'nodes with U+FFFD for bytes that were not UTF-8: so etcd wrote them to its .snap file', true);
    } else if (node.damage === 'possible') {
      note('value-maybe-not-utf8', 'nodes with U+FFFD in them, which an earlier .snap file of etcd may have put there');
    }
  });
  return count;
}

/** Users and roles as the v2 API keeps them in its store (etcd api/v2auth/auth.go): a JSON each. */
function authOf(store: V2Store): AuthData | undefined {
  const valuesUnder = (path: string): unknown[] => [...(store.get(path)?.children?.values() ?? [])].map(({ value }) => jsonOf(value));
  const enabled = store.get('/2/enabled');
  return authOfV2({
    enabled: enabled === undefined ? undefined : enabled.value.toString() === 'true',
    users: valuesUnder('/2/users'),
    roles: valuesUnder('/2/roles'),
  });
}

function jsonOf(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString());
  } catch {
    return undefined;
  }
}

function noteAuth(notes: NoteBook, store: V2Store): void {
  const top = store.get('/2');
  if (top === undefined) return;
  eachBelow(top, (node) => {
    if (node.children !== undefined) return;
    notes.add('v2-auth', 'users, roles and switches of the v2 API, which are no keys', { example: pathBelow(top, node) });
  });
}
