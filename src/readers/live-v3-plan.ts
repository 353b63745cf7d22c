import type { RecordBatch } from '../model/batch.js';
import { prefixEnd } from '../selection/prefix.js';
import { compareEnds, type KeyRange } from './live-v3-ranges.js';

/**
 * Which keys to ask for next, so that every key is asked for exactly once and in order, while etcd
 * walks few keys that it does not give.
 *
 * For every page etcd walks its index from the start to the end of the range, to count, whatever the
 * limit: pages with an open end cost time in the square of the keys. So a stretch of many keys is read
 * in pieces with near ends, cut at the byte in which the keys seen differ. A piece's successor begins
 * where the piece ends, which is known before it is answered: that is how two requests are in flight
 * over disjoint ranges without knowing the key space.
 *
 * Counts choose ends and nothing else. A stretch is finished when the server has said `more=false` for
 * exactly its bounds, so a wrong count costs time, never a key.
 */
export class Plan {
  /** What is not yet handed out, in key order. */
  readonly #stretches: Stretch[];

  constructor(ranges: readonly KeyRange[]) {
    this.#stretches = ranges.map(({ start, end }) => newStretch(start, end, undefined, 0));
  }

  get finished(): boolean {
    return this.#stretches.length === 0;
  }

  /**
   * The next piece to ask for, marked as asked; undefined when there is none now.
   *
   * @param limit number of keys the request will ask for
   * @param firstOnly whether only the piece that comes next in order may be asked for
   */
  next(limit: number, firstOnly: boolean): Stretch | undefined {
    const at = this.#stretches.findIndex((stretch) => !stretch.asked && !stretch.done);
    if (at < 0 || (firstOnly && at > 0)) return undefined;
    const stretch = this.#stretches[at] as Stretch;
    const piece = isLong(stretch.left, limit) ? cut(stretch) : stretch;
    if (piece !== stretch) this.#stretches.splice(at, 0, piece);
    piece.asked = true;
    return piece;
  }

  /** Notes what was answered for a piece: the rest of it, if any, is to be asked for later. */
  answered(piece: Stretch, answer: Answer, limit: number): void {
    const { first, last, records, more, count } = answer;
    piece.asked = false;
    piece.pages.push(records);
    if (piece.parent !== undefined && !piece.counted) piece.parent.left -= count;
    piece.counted = true;
    piece.left = count - records.count;
    if (more) {
      piece.start = Buffer.concat([last, Buffer.from([0])]);
      if (isLong(piece.left, limit)) piece.depth = Math.max(piece.shallowest, firstDifference(first, last));
      return;
    }
    piece.done = true;
    const { parent } = piece;
    // Too few keys for a page: the next piece is cut one byte shallower.
    if (parent !== undefined && count < limit / 4 && parent.depth > parent.shallowest) parent.depth--;
  }

  /** The next page in order, if it has been answered. */
  take(): RecordBatch | undefined {
    for (;;) {
      const [head] = this.#stretches;
      const page = head?.pages.shift();
      if (page !== undefined || head === undefined || !head.done) return page;
      this.#stretches.shift();
    }
  }
}

/** An answer to one request, as the plan needs it. */
export interface Answer {
  readonly records: RecordBatch;
  readonly more: boolean;
  /** Number of keys in the range asked for, as the server has it; not relied on. */
  readonly count: number;
  /** First and last key of the page; empty for an empty page. */
  readonly first: Buffer;
  readonly last: Buffer;
}

/** A run of keys still to be read, in whole or in part. */
export interface Stretch {
  start: Buffer;
  readonly end: Buffer | undefined;
  /** Number of keys not yet read, by the last count; NaN where none is known. */
  left: number;
  /** Index of the byte at which pieces are cut, and the smallest it may get. */
  depth: number;
  readonly shallowest: number;
  /** What this piece was cut from. */
  readonly parent: Stretch | undefined;
  counted: boolean;
  asked: boolean;
  done: boolean;
  /** Answered, not yet taken. */
  readonly pages: RecordBatch[];
}

function newStretch(start: Buffer, end: Buffer | undefined, parent: Stretch | undefined, shallowest: number): Stretch {
  return { start, end, parent, shallowest, depth: shallowest, left: Number.NaN, counted: false, asked: false, done: false, pages: [] };
}

/** Four pages are read to their common end: a nearer one costs more in requests than it saves. */
function isLong(left: number, limit: number): boolean {
  return left > 4 * limit;
}

/** Takes a piece off the front; the whole stretch where the cut would fall behind its end. */
function cut(stretch: Stretch): Stretch {
  const { start, end, depth } = stretch;
  const prefix = Buffer.alloc(depth + 1);
  start.copy(prefix);
  const near = prefixEnd(prefix);
  if (compareEnds(near, end) >= 0 || near === undefined) return stretch;
  const piece = newStretch(start, near, stretch, depth + 1);
  stretch.start = near;
  // What was answered already comes before the piece.
  piece.pages.push(...stretch.pages.splice(0));
  return piece;
}

function firstDifference(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
}
