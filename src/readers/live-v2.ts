import { tmpdir } from 'node:os';
import type { V2Cluster } from '../cluster/v2.js';
import { type ReadTree, readTree, type TreeRequest } from '../cluster/v2-read-tree.js';
import type { NodeSpool } from '../cluster/v2-spool.js';
import { streamTree } from '../cluster/v2-stream-tree.js';
import { authOfV2 } from '../convert/v2-auth.js';
import { FerryError } from '../errors.js';
import type { AuthData } from '../model/auth.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type KeySelection, type Source, type SourceInfo } from '../model/source.js';
import { isCleanPath } from '../model/tree-path.js';
import { isSelected } from '../selection/select.js';
import { readAbove } from './live-v2-above.js';
import { mergeTrees } from './live-v2-merge.js';

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
  const request: TreeRequest = {
    cluster,
    path: pathGiven(options.path ?? ''),
    selects: (path) => isSelected(path, selection),
    tmpDir: options.tmpDir ?? tmpdir(),
    now: startedAt,
  };
  const trees: ReadTree[] = [];
  try {
    trees.push(await readTree(request, run));
    for (const path of options.includeHidden ?? []) trees.push(await readTree({ ...request, path: pathGiven(path) }, run));
    const { index, clusterId } = trees[0] as ReadTree;
    for (const { path } of [...trees]) trees.push(...(await readAbove({ ...request, path }, index, run)));
    const serverVersion = await cluster.version(run.signal).catch(() => undefined);
    const info = infoOf(cluster, { index, clusterId, serverVersion, startedAt, selection });
    return sourceOf(trees, (notes) => readAuth(cluster, notes, run), {
      ...info,
      estimatedRecords: trees.reduce((sum, { spool }) => sum + spool.count, 0),
    });
  } catch (thrown) {
    await closeAll(trees);
    throw thrown;
  }
}

/**
 * Reads a live v2 tree as it comes, and keeps none of it: `records()` may be called once, and a
 * failure in the middle comes after records were passed on. Indices of directories are left out, hidden nodes too.
 *
 * @throws FerryError as V2Cluster does, also from `records()`
 */
export async function streamLiveV2(options: Pick<LiveV2Options, 'cluster' | 'selection' | 'now'>, run: RunContext): Promise<Source> {
  const { cluster, selection = EVERYTHING } = options;
  const startedAt = (options.now ?? Date.now)();
  const selects = (path: Buffer): boolean => isSelected(path, selection);
  const stream = await streamTree({ cluster, path: Buffer.alloc(0), selects, now: startedAt }, run);
  const { index, clusterId, notes } = stream;
  const serverVersion = await cluster.version(run.signal).catch(() => undefined);
  return {
    info: infoOf(cluster, { index, clusterId, serverVersion, startedAt, selection }),
    notes,
    leases: async function* () {},
    auth: () => readAuth(cluster, notes, run),
    clockOffset: () => stream.clockOffset,
    records: () => stream.batches(),
    close: () => stream.close(),
  };
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
    if (tree.index !== info.revision) {
      notes.add('hidden-at-other-index', `hidden nodes were read at a later index than the rest (${info.revision})`, {
        example: `${tree.path.toString()} at ${tree.index}`,
      });
    }
  }
  const streams = trees.map(({ spool }) => spool);
  return {
    info,
    notes,
    leases: async function* () {},
    clockOffset: () => trees.find(({ clockOffset }) => clockOffset !== 0n)?.clockOffset ?? 0n,
    auth: () => auth(notes),
    records: () => (streams.length === 1 ? (streams[0] as NodeSpool).batches() : mergeTrees(streams.map((spool) => spool.batches()))),
    close: () => closeAll(trees),
  };
}

async function closeAll(trees: readonly ReadTree[]): Promise<void> {
  await Promise.all(trees.map(({ spool }) => spool.close()));
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
