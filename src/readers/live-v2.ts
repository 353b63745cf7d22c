import { tmpdir } from 'node:os';
import type { V2Cluster } from '../cluster/v2.js';
import { mergeTrees } from '../cluster/v2-merge-trees.js';
import { readAbove } from '../cluster/v2-read-above.js';
import { closeTrees, readDirectories } from '../cluster/v2-read-directories.js';
import { type ReadTree, readTree, type TreeRequest } from '../cluster/v2-read-tree.js';
import { streamTree } from '../cluster/v2-stream-tree.js';
import { authOfV2 } from '../convert/v2-auth.js';
import { directoriesOf, selectNodes } from '../convert/v2-select.js';
import { FerryError } from '../errors.js';
import type { AuthData } from '../model/auth.js';
import type { RecordBatch } from '../model/batch.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type KeySelection, type Source, type SourceInfo } from '../model/source.js';
import { isCleanPath, isHidden, isListed } from '../model/tree-path.js';
import { isSelected } from '../selection/select.js';
import { noteHidden, noteNothingListed, pathsNear } from './live-v2-hidden.js';

export interface LiveV2Options {
  readonly cluster: V2Cluster;
  /** The node to read, with all under it; the whole tree unless given. */
  readonly path?: Buffer | string;
  /**
   * Prefixes of paths, byte by byte as with v3 keys: `/foo` selects `/foo`, `/foo/bar` and
   * `/foobar`; `/foo/` only what is under `/foo`, not the directory itself.
   */
  readonly selection?: KeySelection;
  /**
   * Hidden nodes (a part of their path begins with `_`) to be read too, with all under them. No
   * listing shows them: the user must know them by name.
   */
  readonly includeHidden?: readonly (Buffer | string)[];
  /** Where the tree is kept until it is closed; the system's unless given. */
  readonly tmpDir?: string;
  /** The clock, in milliseconds since the Unix epoch. */
  readonly now?: () => number;
}

/**
 * Reads a live v2 tree. One request gives one consistent state of the store, at one X-Etcd-Index.
 * The answer is taken whole before anything is believed, into a temporary file of about the size of
 * the tree, so `records()` may be called again; memory is bounded but for 24 bytes per directory.
 *
 * Directories with a TTL above what is read or selected come along: what is under them lives no
 * longer than they do.
 *
 * Records have no node for the root, which is always there. Nodes past their expiration that the
 * server still showed are kept, and noted. There are no leases.
 *
 * @throws FerryError as V2Cluster does; `not-found` also for a hidden path that is not there
 */
export async function openLiveV2(options: LiveV2Options, run: RunContext): Promise<Source> {
  const { cluster, selection = EVERYTHING } = options;
  const startedAt = (options.now ?? Date.now)();
  const selects = (path: Buffer): boolean => isSelected(path, selection);
  const request = { cluster, selection, selects, tmpDir: options.tmpDir ?? tmpdir(), now: startedAt };
  const version = versionMeanwhile(cluster, run);
  const trees: ReadTree[] = await readChosen(options, request, run);
  try {
    const { toRead, missing } = await hiddenToRead(options, trees, run);
    for (const path of toRead) trees.push(await readHidden({ ...request, path }, run));
    const read = trees.map(({ path }) => path);
    const hiddenTold = [...read, ...missing].filter(isHidden);
    const isEmpty = trees.every(({ spool }) => spool.count === 0);
    trees.push(...(await readAbove({ ...request, path: Buffer.alloc(0) }, trees, run)));
    const { index, clusterId } = trees[0] as ReadTree;
    const serverVersion = await version;
    const estimatedRecords = trees.reduce((sum, { spool }) => sum + spool.count, 0);
    const info = {
      ...infoOf(cluster, { index, clusterId, serverVersion, startedAt, selection }),
      estimatedRecords,
      ...(hiddenTold.length === 0 ? {} : { hiddenTold }),
    };
    const source = {
      ...sourceOf(trees, (notes) => readAuth(cluster, notes, run), info),
      keysNear: (prefixes: readonly Buffer[]) => pathsNear(request, prefixes, run),
    };
    if (isEmpty) noteNothingListed(source.notes, index);
    if (options.path === undefined) await noteHidden(cluster, { selection, read }, source.notes, run);
    return source;
  } catch (thrown) {
    await closeTrees(trees);
    throw thrown;
  }
}

/** Asked for beside the tree, since an answer that comes at once tells the server's clock best. */
function versionMeanwhile(cluster: V2Cluster, run: RunContext): Promise<string | undefined> {
  return cluster.version(run.signal).catch(() => undefined);
}

/** The directories that hold what was chosen, or what lies at the path given. */
async function readChosen({ path, selection = EVERYTHING }: LiveV2Options, request: Omit<TreeRequest, 'path'>, run: RunContext) {
  if (path !== undefined) return [await readTree({ ...request, path: pathGiven(path) }, run)];
  return readDirectories(request, directoriesOf(selection), run);
}

/** Hidden nodes that were named: by their paths, or by a prefix that is the path of one. */
async function hiddenToRead(
  { cluster, includeHidden = [], selection = EVERYTHING }: LiveV2Options,
  trees: readonly ReadTree[],
  run: RunContext,
): Promise<{ readonly toRead: Buffer[]; readonly missing: Buffer[] }> {
  const named = selection.prefixes.filter(
    (prefix) => isHidden(prefix) && isCleanPath(prefix) && !trees.some(({ path }) => isListed(prefix, path)),
  );
  const there = await Promise.all(named.map((path) => cluster.get(path, run.signal)));
  const toRead = [...includeHidden.map(pathGiven), ...named.filter((_, i) => there[i] !== undefined)];
  return { toRead, missing: named.filter((_, i) => there[i] === undefined) };
}

/** As a node, or, where that is not allowed, as a directory: a permission of `/_x/*` covers that alone. */
async function readHidden(request: TreeRequest, run: RunContext): Promise<ReadTree> {
  try {
    return await readTree(request, run);
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'unauthorized') throw thrown;
    const tree = await readTree({ ...request, isDirectory: true }, run);
    if (!tree.isMissing) return tree;
    await tree.spool.close();
    throw thrown;
  }
}

/** Whether what a selection chooses comes as one listing, which may be read as it comes. */
export function isOneListing(selection: KeySelection): boolean {
  const [directory, ...others] = directoriesOf(selection);
  return directory !== undefined && others.length === 0 && !isHidden(directory) && !selection.prefixes.some((prefix) => isHidden(prefix));
}

/**
 * Reads a live v2 tree as it comes, and keeps none of it: `records()` may be called once, and a
 * failure in the middle comes after records were passed on. Indices of directories are left out, hidden nodes too.
 *
 * @param options a selection for which `isOneListing`
 * @throws FerryError as V2Cluster does, also from `records()`
 */
export async function streamLiveV2(
  options: Pick<LiveV2Options, 'cluster' | 'selection' | 'now' | 'tmpDir'>,
  run: RunContext,
): Promise<Source> {
  const { cluster, selection = EVERYTHING, tmpDir = tmpdir() } = options;
  const startedAt = (options.now ?? Date.now)();
  const [path = Buffer.alloc(0)] = directoriesOf(selection);
  const selects = (each: Buffer): boolean => isSelected(each, selection);
  const request = { cluster, path, isDirectory: true, selection, selects, tmpDir, now: startedAt };
  const version = versionMeanwhile(cluster, run);
  const stream = await streamTree(request, run);
  const above: ReadTree[] = [];
  const close = async (): Promise<void> => {
    await stream.close();
    await closeTrees(above);
  };
  try {
    const { index, clusterId, notes } = stream;
    above.push(...(await readAbove(request, [stream], run)));
    for (const tree of above) notes.merge(tree.notes.list());
    await noteHidden(cluster, { selection, read: [path] }, notes, run);
    const serverVersion = await version;
    return {
      info: infoOf(cluster, { index, clusterId, serverVersion, startedAt, selection }),
      notes,
      leases: async function* () {},
      auth: () => readAuth(cluster, notes, run),
      clockOffset: () => stream.clockOffset,
      records: () => notingNothing(merged([...above.map(({ spool }) => spool.batches()), stream.batches()], selection), notes, index),
      keysNear: (prefixes) => pathsNear(request, prefixes, run),
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

async function* notingNothing(batches: AsyncIterable<RecordBatch>, notes: NoteBook, index: bigint): AsyncGenerator<RecordBatch> {
  let isEmpty = true;
  for await (const batch of batches) {
    isEmpty = false;
    yield batch;
  }
  if (isEmpty) noteNothingListed(notes, index);
}

/** Trees as one; directories that came along from above are kept where something lies under them. */
function merged(streams: readonly AsyncIterable<RecordBatch>[], selection: KeySelection): AsyncIterable<RecordBatch> {
  const [first, ...others] = streams;
  if (first !== undefined && others.length === 0) return first;
  return selectNodes(mergeTrees(streams), selection);
}

interface Seen {
  readonly index: bigint;
  readonly clusterId: bigint | undefined;
  readonly serverVersion: string | undefined;
  readonly startedAt: number;
  readonly selection: KeySelection;
}

function infoOf(cluster: V2Cluster, { index, clusterId, serverVersion, startedAt, selection }: Seen): SourceInfo {
  return {
    kind: 'live',
    api: 'v2',
    order: 'tree',
    location: cluster.location,
    revision: index,
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(serverVersion === undefined ? {} : { serverVersion }),
    startedAt,
    selection,
    isSelectionKnown: true,
  };
}

/** Users and roles are told to root alone; a server that does not tell of any has none that matter here. */
async function readAuth(cluster: V2Cluster, notes: NoteBook, run: RunContext): Promise<AuthData | undefined> {
  try {
    return authOfV2(await cluster.auth(run.signal));
  } catch (thrown) {
    run.signal.throwIfAborted();
    if (FerryError.from(thrown).code !== 'unauthorized') return undefined;
    if (!notes.list().some(({ code }) => code === 'auth-not-read')) {
      notes.add('auth-not-read', 'users and roles were left out: the user given may not list them');
    }
    return undefined;
  }
}

function sourceOf(trees: readonly ReadTree[], auth: (notes: NoteBook) => Promise<AuthData | undefined>, info: SourceInfo): Source {
  const notes = new NoteBook();
  for (const tree of trees) {
    notes.merge(tree.notes.list());
    if (tree.index === info.revision) continue;
    const example = `${tree.path.toString()} at ${tree.index}`;
    if (isHidden(tree.path))
      notes.add('hidden-at-other-index', `hidden nodes were read at a later index than the rest (${info.revision})`, { example });
    else
      notes.add('read-at-other-index', `directories that were read one by one, at a later index than the first (${info.revision})`, {
        example,
      });
  }
  const streams = trees.map(({ spool }) => spool);
  return {
    info,
    notes,
    leases: async function* () {},
    clockOffset: () => trees.find(({ clockOffset }) => clockOffset !== 0n)?.clockOffset ?? 0n,
    auth: () => auth(notes),
    records: () =>
      merged(
        streams.map((spool) => spool.batches()),
        info.selection,
      ),
    close: () => closeTrees(trees),
  };
}

/** @throws FerryError `usage` when etcd could not keep a node by that path */
function pathGiven(given: Buffer | string): Buffer {
  const path = Buffer.from(given as string);
  const trimmed = path.at(-1) === 0x2f ? path.subarray(0, -1) : path;
  if (trimmed.length > 0 && !isCleanPath(trimmed)) {
    throw new FerryError('usage', `${JSON.stringify(path.toString())} is no path of a v2 tree`, { hint: 'A path is like /app/config.' });
  }
  return trimmed;
}
