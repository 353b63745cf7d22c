import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection } from '../model/source.js';
import type { TreeAnswer, V2Cluster } from './v2.js';
import { NodeSpool } from './v2-spool.js';
import { TreeSpooler } from './v2-spooler.js';
import { TreeParser } from './v2-tree-parser.js';

/** A tree read whole, in a spool that is its owner's to close. */
export interface ReadTree {
  readonly path: Buffer;
  readonly spool: NodeSpool;
  readonly notes: NoteBook;
  readonly index: bigint;
  readonly clusterId: bigint | undefined;
  /** Nanoseconds that the server's clock is ahead, as far as expirations were corrected for it. */
  readonly clockOffset: bigint;
  /** There is no such directory. */
  readonly isMissing: boolean;
}

/** Where one tree is read from, and what of it is wanted. */
export interface TreeRequest {
  readonly cluster: V2Cluster;
  readonly path: Buffer;
  /** The path is that of a directory, which may be missing: see V2Cluster. */
  readonly isDirectory?: boolean;
  readonly selects: (path: Buffer) => boolean;
  /** The same as prefixes, for a path that is known in part; everything unless given. */
  readonly selection?: KeySelection;
  readonly tmpDir: string;
  readonly now: number;
}

/** Asks for a tree in the way its path is meant; see V2Cluster. */
export function answered<T>(
  { cluster, path, isDirectory = false }: Pick<TreeRequest, 'cluster' | 'path' | 'isDirectory'>,
  use: (answer: TreeAnswer) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  return isDirectory ? cluster.readDirectory(path, use, signal) : cluster.readTree(path, use, signal);
}

/** Reads one tree into a spool, anew for every endpoint that is tried. */
export async function readTree(request: TreeRequest, run: RunContext): Promise<ReadTree> {
  const { path, selects, selection, tmpDir, now } = request;
  return answered(
    request,
    async ({ body, index, clusterId, clock, isMissing }) => {
      const spool = await NodeSpool.create(tmpDir);
      try {
        const notes = new NoteBook();
        const spooler = new TreeSpooler(spool, notes, { selects, selection, now: BigInt(now) * 1_000_000n, clock });
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
        return { path, spool, notes, index, clusterId, clockOffset: clock.offset, isMissing };
      } catch (thrown) {
        await spool.close();
        throw thrown;
      }
    },
    run.signal,
  );
}
