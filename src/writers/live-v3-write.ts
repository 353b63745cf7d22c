import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { Progress } from '../model/run.js';
import { Ascent } from './live-v3-ascent.js';
import { type Columns, everyIndex, keyAt, sizeAt } from './live-v3-columns.js';
import { Pacer, Pool } from './live-v3-pool.js';
import type { TargetRecords } from './live-v3-stream.js';
import { Transactions, type TransactionsOptions } from './live-v3-transactions.js';
import {
  ABSENT,
  allAbsent,
  compareWithTarget,
  DIFFERS,
  EQUAL,
  leaveOut,
  noteUnknownLeases,
  OURS,
  type Verdicts,
} from './live-v3-verdicts.js';

export interface WriteOptions extends TransactionsOptions {
  readonly progress: (progress: Progress) => void;
  readonly inFlight: number;
  /** Bytes a second. */
  readonly limitRate: number | undefined;
}

/** What is known before the first write. */
export interface Expected {
  /** The target has none of the keys, nor any between them. */
  readonly targetEmpty: boolean;
  /** Keys come in ascending order; false for a tree's. */
  readonly inOrder: boolean;
  /** Keys that will be written, and their bytes, where that is known. */
  readonly totalRecords?: number;
  readonly totalBytes?: number;
}

/**
 * Writes what the target was found to lack, or to have with another value. The target is looked at
 * again batch by batch, since what was seen of it is not kept, unless it had nothing at all: then
 * every transaction says so in its guard.
 */
export async function writeRecords(records: TargetRecords, expected: Expected, options: WriteOptions): Promise<void> {
  const { target, leases, tally, signal } = options;
  const transactions = new Transactions(options);
  const pool = new Pool(options.inFlight);
  const pacer = new Pacer(options.limitRate);
  const ascent = new Ascent();
  let wasAbove = true;
  try {
    for await (const columns of records.read()) {
      signal.throwIfAborted();
      const verdicts = expected.targetEmpty
        ? allAbsent(columns, leases)
        : await compareWithTarget(columns, everyIndex(columns), target, leases);
      const picked = sortOut(columns, verdicts, options, transactions);
      tally.records += columns.count;
      noteUnknownLeases(columns, leases, options.notes);
      const isAbove = ascent.take(columns, picked);
      if (!isAbove && expected.inOrder) throw outOfOrder(columns, picked);
      // Transactions on their way may be carried out in any order, and one whose guard is a span would find these in it.
      if (!isAbove && wasAbove) await pool.settle();
      wasAbove = isAbove;
      const guard = verdicts.nothingBetween && isAbove ? 'span' : 'keys';
      for (const chunk of transactions.cut({ columns, picked, modRevisions: verdicts.modRevisions, guard })) {
        signal.throwIfAborted();
        await pacer.pass(
          chunk.picked.reduce((sum, i) => sum + sizeAt(columns, i), 0),
          signal,
        );
        await pool.start(() => transactions.write(chunk));
        report(expected, options);
      }
    }
    await pool.finish();
  } finally {
    await pool.settle();
    report(expected, options);
  }
}

/** Counts the records that are not to be written, and returns the indices of the others. */
function sortOut(columns: Columns, { states }: Verdicts, options: WriteOptions, transactions: Transactions): number[] {
  const { tally, notes, onConflict } = options;
  const picked: number[] = [];
  for (let i = 0; i < columns.count; i++) {
    const state = states[i] as number;
    if (state === ABSENT || state === OURS) picked.push(i);
    else if (state === EQUAL) tally.equal++;
    else if (state !== DIFFERS) leaveOut(columns, i, state, tally, notes);
    else if (onConflict === 'overwrite') picked.push(i);
    else if (onConflict === 'skip') tally.skipped++;
    else throw transactions.appeared(columns, [i]);
  }
  return picked;
}

function outOfOrder(columns: Columns, picked: readonly number[]): FerryError {
  return new FerryError('damaged', `the source's keys are not in order at ${showKey(keyAt(columns, picked[0] as number))}`);
}

function report({ targetEmpty: _, inOrder: __, ...totals }: Expected, { tally, progress }: WriteOptions): void {
  progress({ phase: 'writing', records: tally.written + tally.overwritten, bytes: tally.bytes, ...totals });
}
