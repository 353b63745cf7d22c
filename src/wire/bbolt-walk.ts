import type { BoltBucket, BoltFile } from './bbolt-file.js';
import { PageLoader } from './bbolt-loader.js';
import { type Branch, type LoadedPage, type PageContext, pageDamage, readBranch, readPageHeader } from './bbolt-page.js';
import { RunBuilder } from './bbolt-run.js';
import { readAhead } from './read-ahead.js';

/** Entries of a bucket, a few hundred KiB of them at a time; in order, all in one piece of memory. */
export interface BoltRun {
  readonly bytes: Buffer;
  /** Offset of each entry's key. The arrays may be longer than `count`. */
  readonly keys: Uint32Array;
  /** Offset of each entry's value, which is where its key ends. */
  readonly values: Uint32Array;
  /** Offset just past each entry's value. */
  readonly ends: Uint32Array;
  /** 1 where the entry is a bucket, else 0. */
  readonly bucketFlags: Uint8Array;
  readonly count: number;
}

const NOTHING = Buffer.alloc(0);

/** Children of one branch page that are still to be read. */
interface Frame {
  readonly branch: Branch;
  next: number;
}

/**
 * All entries of a bucket in order, the next run read while one is used. Every page is reached at
 * most once, so that a cycle ends in an error; one bit a page is kept for it.
 *
 * @throws FerryError `damaged`
 */
export async function* runsOf(file: BoltFile, bucket: BoltBucket, what: string): AsyncGenerator<BoltRun> {
  const context: PageContext = { name: file.source.name, littleEndian: file.meta.littleEndian, what };
  if ('inline' in bucket) {
    yield* inlineRuns(context, bucket.inline);
    return;
  }
  yield* readAhead(treeRuns(file, bucket.root, context));
}

/** The last key of a bucket, found along the right edge of its tree; undefined when it is empty. */
export async function lastKeyOf(file: BoltFile, bucket: BoltBucket, what: string): Promise<Buffer | undefined> {
  const context: PageContext = { name: file.source.name, littleEndian: file.meta.littleEndian, what };
  if ('inline' in bucket) {
    let last: Buffer | undefined;
    for (const run of inlineRuns(context, bucket.inline)) last = lastOf(run);
    return last;
  }
  const loader = new PageLoader(file, context);
  const stack = [bucket.root];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    for (const page of await loader.load([id], 0, 1)) {
      const { kind, count } = loader.visit(page);
      if (kind === 'branch') stack.push(...readBranch(context, page, count).children);
      else if (count > 0) return lastOf(new RunBuilder(context).add(page, count, NOTHING).take());
    }
  }
  return undefined;
}

function lastOf(run: BoltRun): Buffer | undefined {
  if (run.count === 0) return undefined;
  return Buffer.from(run.bytes.subarray(run.keys[run.count - 1], run.values[run.count - 1]));
}

function* inlineRuns(context: PageContext, bytes: Buffer): Generator<BoltRun> {
  const page = { id: 0, bytes, at: 0, length: bytes.length };
  if (bytes.length < 16) throw pageDamage(context, 0, `has ${bytes.length} bytes, fewer than a header`);
  const header = readPageHeader(context, bytes, 0, 0);
  if (header.kind !== 'leaf') throw pageDamage(context, 0, 'is not a leaf');
  if (header.count > 0) yield new RunBuilder(context).add(page, header.count, NOTHING).take();
}

/** Walks a tree depth first. Siblings that are leaves are loaded many at a time. */
async function* treeRuns(file: BoltFile, root: number, context: PageContext): AsyncGenerator<BoltRun> {
  const loader = new PageLoader(file, context);
  const runs = new RunBuilder(context);
  const stack: Frame[] = [{ branch: { children: [root], keys: [NOTHING] }, next: 0 }];
  // Where the leaves begin, once one was met: all leaves of a B+ tree are at one depth.
  let leafDepth = 0;
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const { children, keys } = frame.branch;
    if (frame.next >= children.length) {
      stack.pop();
      continue;
    }
    const many = stack.length === leafDepth;
    for (const page of await loader.load(children, frame.next, many ? children.length : frame.next + 1)) {
      const { kind, count } = loader.visit(page);
      const from = keys[frame.next++] as Buffer;
      if (kind === 'branch') {
        stack.push({ branch: ownBranch(runs, context, page, count, from), next: 0 });
        break;
      }
      leafDepth = stack.length;
      if (!runs.takes(page)) yield runs.take();
      runs.add(page, count, from);
    }
    if (runs.count === 0) continue;
    yield runs.take();
    loader.turn();
  }
  file.reached.set(root, loader.seen);
}

/** A branch in memory of its own, its keys checked against the last one and each other. */
function ownBranch(runs: RunBuilder, context: PageContext, page: LoadedPage, count: number, from: Buffer): Branch {
  const bytes = Buffer.from(page.bytes.subarray(page.at, page.at + page.length));
  const branch = readBranch(context, { ...page, bytes, at: 0 }, count);
  runs.checkBranch(page.id, branch, from);
  return branch;
}
