import type { RecordBatch } from '../model/batch.js';
import { BatchBuilder } from './batch-builder.js';
import { compareKeys, type FindKey, type KeyRange } from './key.js';
import type { Area } from './slab.js';

/** A sorted run, read record by record. */
export interface RunCursor {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** Moves to the next record at hand; false when there is none. */
  step(): boolean;
  /** Fetches more and moves to its first record; false at the run's end. */
  turn(): Promise<boolean>;
}

export interface MergeOptions {
  readonly findKey: FindKey;
  /** Of records with the same key only the last is kept. */
  readonly dropOlder: boolean;
  /** True for a record that hides older ones and is itself left out. */
  readonly hides?: ((bytes: Buffer, start: number, end: number) => boolean) | undefined;
  /** Batches are valid until the next one is asked for; else their memory is the consumer's. */
  readonly lend: boolean;
  readonly signal: AbortSignal;
}

/**
 * Merges sorted runs, oldest first in `cursors`, into one order.
 *
 * @param staging where batches are built; best in the slab that the cursors' records lie in
 */
export async function* mergeRuns(cursors: readonly RunCursor[], staging: Area, options: MergeOptions): AsyncGenerator<RecordBatch> {
  const tree = new LoserTree(cursors, options.findKey);
  await tree.start();
  const out = new BatchBuilder(staging);
  const lastKey: KeyRange = { start: 0, end: 0 };
  for (let first = tree.first; first !== undefined; first = tree.first) {
    const { cursor, key } = first;
    if (out.count > 0) {
      const same = options.dropOlder && compareKeys(out.bytes, lastKey.start, lastKey.end, cursor.bytes, key.start, key.end) === 0;
      if (same || options.hides?.(out.bytes, out.lastStart, out.lastEnd) === true) out.dropLast();
      if (out.isFullFor(cursor.end - cursor.start)) {
        options.signal.throwIfAborted();
        yield out.take(options.lend);
      }
    }
    out.append(cursor.bytes, cursor.start, cursor.end);
    options.findKey(out.bytes, out.lastStart, out.lastEnd, lastKey);
    tree.replay(cursor.step() || (await cursor.turn()));
  }
  if (out.count > 0 && options.hides?.(out.bytes, out.lastStart, out.lastEnd) === true) out.dropLast();
  options.signal.throwIfAborted();
  if (out.count > 0) yield out.take(options.lend);
}

/** A run in the tree: its current record's key; of equal keys the run that came first goes first. */
interface Player {
  readonly cursor: RunCursor;
  readonly rank: number;
  readonly key: KeyRange;
  ended: boolean;
}

/**
 * A tree of losers (Knuth, The Art of Computer Programming, 5.4.1): the next record takes one
 * comparison a level, where a heap takes two.
 */
class LoserTree {
  readonly #findKey: FindKey;
  readonly #players: Player[];
  /** Who lost at each inner node; node 0 has the winner of all. */
  readonly #nodes: Player[] = [];

  constructor(cursors: readonly RunCursor[], findKey: FindKey) {
    this.#findKey = findKey;
    this.#players = cursors.map((cursor, rank) => ({ cursor, rank, key: { start: 0, end: 0 }, ended: false }));
  }

  /** Fetches each run's first record and plays all matches. */
  async start(): Promise<void> {
    for (const player of this.#players) this.#look(player, await player.cursor.turn());
    if (this.#players.length > 0) this.#nodes[0] = this.#play(1);
  }

  /** Who has the next record. */
  get first(): Player | undefined {
    const winner = this.#nodes[0];
    return winner?.ended === false ? winner : undefined;
  }

  /** Plays the matches of the winner again, whose run has moved on, or ended. */
  replay(more: boolean): void {
    let winner = this.#nodes[0] as Player;
    this.#look(winner, more);
    for (let node = (winner.rank + this.#players.length) >> 1; node > 0; node >>= 1) {
      const other = this.#nodes[node] as Player;
      if (!before(other, winner)) continue;
      this.#nodes[node] = winner;
      winner = other;
    }
    this.#nodes[0] = winner;
  }

  #play(node: number): Player {
    const count = this.#players.length;
    if (node >= count) return this.#players[node - count] as Player;
    const left = this.#play(2 * node);
    const right = this.#play(2 * node + 1);
    const leftWins = before(left, right);
    this.#nodes[node] = leftWins ? right : left;
    return leftWins ? left : right;
  }

  #look(player: Player, more: boolean): void {
    player.ended = !more;
    if (more) this.#findKey(player.cursor.bytes, player.cursor.start, player.cursor.end, player.key);
  }
}

function before(a: Player, b: Player): boolean {
  if (a.ended || b.ended) return b.ended && (!a.ended || a.rank < b.rank);
  const order = compareKeys(a.cursor.bytes, a.key.start, a.key.end, b.cursor.bytes, b.key.start, b.key.end);
  return order < 0 || (order === 0 && a.rank < b.rank);
}
