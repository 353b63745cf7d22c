import { tmpdir } from 'node:os';
import type { V2Cluster } from '../cluster/v2.js';
import { isCleanPath } from '../cluster/v2-path.js';
import { NodeSpool } from '../cluster/v2-spool.js';
import { TreeParser } from '../cluster/v2-tree-parser.js';
import { FerryError } from '../errors.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type KeySelection, type Source, type SourceInfo } from '../model/source.js';
import { mergeTrees } from './live-v2-merge.js';
import { TreeSpooler } from './live-v2-spooler.js';

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

interface ReadTree {
  readonly path: Buffer;
  readonly spool: NodeSpool;
  readonly notes: NoteBook;
  readonly index: bigint;
  readonly clusterId: bigint | undefined;
}

/** Where one tree is read from, and what of it is wanted. */
interface TreeRequest {
  readonly cluster: V2Cluster;
  readonly path: Buffer;
  readonly selects: (path: Buffer) => boolean;
  readonly tmpDir: string;
  readonly now: number;
}

/**
 * Reads a live v2 tree. One request gives one consistent state of the store, at one X-Etcd-Index.
 * The answer is taken whole before anything is believed, into a temporary file of about the size of
 * the tree, so `records()` may be called again; memory is bounded but for 24 bytes per directory.
 *
 * Records have no node for the root, which is always there. Nodes past their expiration that the
 * server still showed are kept, and noted. There are no leases, and no users and roles yet.
 *
 * @throws FerryError as V2Cluster does; `not-found` also for a hidden path that is not there
 */
export async function openLiveV2(options: LiveV2Options, run: RunContext): Promise<Source> {
  const { cluster, selection = EVERYTHING } = options;
  const startedAt = (options.now ?? Date.now)();
  const request: TreeRequest = {
    cluster,
    path: pathGiven(options.path ?? ''),
    selects: (path) => selected(path, selection),
    tmpDir: options.tmpDir ?? tmpdir(),
    now: startedAt,
  };
  const trees: ReadTree[] = [];
  try {
    trees.push(await readTree(request, run));
    for (const path of options.includeHidden ?? []) trees.push(await readTree({ ...request, path: pathGiven(path) }, run));
    const serverVersion = await cluster.version(run.signal).catch(() => undefined);
    const { index, clusterId } = trees[0] as ReadTree;
    return sourceOf(trees, {
      kind: 'live',
      api: 'v2',
      order: 'tree',
      location: cluster.location,
      revision: index,
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(serverVersion === undefined ? {} : { serverVersion }),
      startedAt,
      selection,
      estimatedRecords: trees.reduce((sum, { spool }) => sum + spool.count, 0),
    });
  } catch (thrown) {
    await closeAll(trees);
    throw thrown;
  }
}

function sourceOf(trees: readonly ReadTree[], info: SourceInfo): Source {
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
    auth: async () => undefined,
    records: () => (streams.length === 1 ? (streams[0] as NodeSpool).batches() : mergeTrees(streams.map((spool) => spool.batches()))),
    close: () => closeAll(trees),
  };
}

async function closeAll(trees: readonly ReadTree[]): Promise<void> {
  await Promise.all(trees.map(({ spool }) => spool.close()));
}

/** Reads one tree into a spool, anew for every endpoint that is tried. */
async function readTree(request: TreeRequest, run: RunContext): Promise<ReadTree> {
  const { cluster, path, selects, tmpDir, now } = request;
  return cluster.readTree(
    path,
    async ({ body, index, clusterId }) => {
      const spool = await NodeSpool.create(tmpDir);
      try {
        const notes = new NoteBook();
        const spooler = new TreeSpooler(spool, notes, { selects, now: BigInt(now) * 1_000_000n });
        const parser = new TreeParser(spooler);
        let bytes = 0;
        for await (const chunk of body) {
          parser.push(chunk);
          await spool.flush();
          bytes += chunk.length;
          run.progress({ phase: 'reading', records: spool.count, bytes });
        }
        parser.end();
        await spool.flush({ all: true });
        return { path, spool, notes, index, clusterId };
      } catch (thrown) {
        await spool.close();
        throw thrown;
      }
    },
    run.signal,
  );
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

function selected(path: Buffer, { prefixes, excludePrefixes }: KeySelection): boolean {
  const startsWith = (prefix: Buffer): boolean =>
    path.length >= prefix.length && path.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
  return !excludePrefixes.some(startsWith) && (prefixes.length === 0 || prefixes.some(startsWith));
}
