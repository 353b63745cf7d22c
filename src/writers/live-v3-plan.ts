import type { V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { type Columns, everyIndex, keyAt, sizeAt } from './live-v3-columns.js';
import type { TargetLeases } from './live-v3-leases.js';
import { type ConflictRule, emptyTally, type Tally } from './live-v3-options.js';
import { DEFAULT_MAX_BYTES, encodeProbe, putBytes } from './live-v3-requests.js';
import { type Disorder, OrderWatch, type TargetRecords } from './live-v3-stream.js';
import type { TargetReader } from './live-v3-target.js';
import { tooLarge } from './live-v3-transactions.js';
import { ABSENT, compareWithTarget, DIFFERS, EQUAL, leaveOut, noteUnknownLeases, OURS, type Verdicts } from './live-v3-verdicts.js';

const CONFLICTS_NAMED = 5;

export interface PlanOptions {
  readonly cluster: V3Cluster;
  readonly target: TargetReader;
  readonly leases: TargetLeases;
  readonly onConflict: ConflictRule;
  readonly dryRun: boolean;
  readonly onConflictFound?: ((key: Buffer) => void) | undefined;
  readonly run: RunContext;
  readonly totalRecords?: number;
}

/** What was found out before the first write. */
export interface Plan {
  /** The target has none of the keys, nor any between them. */
  readonly targetEmpty: boolean;
  /** What would be done with each key, counted; of the counts those of keys only are set. */
  readonly tally: Tally;
  readonly notes: NoteBook;
}

/**
 * Compares the whole source with the target: what would be written, skipped, left alone. Changes
 * nothing.
 *
 * @throws FerryError `in-the-way` under the rule `fail` when any key is there with another value or
 *   lease; `usage` for keys that cannot be renamed; `failed` for a record the server does not take
 */
export async function planRestore(records: TargetRecords, options: PlanOptions): Promise<Plan> {
  let planner = new Planner(options);
  let disorder = await planner.read(records);
  if (disorder !== undefined) {
    await records.reorder(disorder);
    planner = new Planner(options);
    disorder = await planner.read(records);
    if (disorder !== undefined) await records.reorder(disorder);
  }
  return planner.finish();
}

class Planner {
  readonly #o: PlanOptions;
  readonly #tally = emptyTally();
  readonly #notes = new NoteBook();
  readonly #conflicts: string[] = [];
  #conflictCount = 0;
  #targetEmpty = true;
  #largest: { readonly size: number; readonly columns: Columns; readonly index: number } | undefined;

  constructor(options: PlanOptions) {
    this.#o = options;
  }

  async read(records: TargetRecords): Promise<Disorder | undefined> {
    const { target, leases, run, totalRecords } = this.#o;
    const watch = new OrderWatch();
    let bytes = 0;
    for await (const columns of records.read()) {
      run.signal.throwIfAborted();
      const disorder = watch.see(columns);
      if (disorder !== undefined) return disorder;
      const verdicts = await compareWithTarget(columns, everyIndex(columns), target, leases);
      if (!verdicts.nothingBetween) this.#targetEmpty = false;
      await this.#tallyUp(columns, verdicts);
      bytes += columns.bytes.length;
      run.progress({ phase: 'comparing', records: this.#tally.records, bytes, ...(totalRecords === undefined ? {} : { totalRecords }) });
    }
    return undefined;
  }

  async finish(): Promise<Plan> {
    if (this.#conflictCount > 0 && this.#o.onConflict === 'fail') throw this.#inTheWay();
    await this.#probe();
    return { targetEmpty: this.#targetEmpty, tally: this.#tally, notes: this.#notes };
  }

  async #tallyUp(columns: Columns, { states }: Verdicts): Promise<void> {
    const { onConflict, dryRun } = this.#o;
    const tally = this.#tally;
    tally.records += columns.count;
    noteUnknownLeases(columns, this.#o.leases, this.#notes);
    const needed = new Set<bigint>();
    for (let i = 0; i < columns.count; i++) {
      const state = states[i] as number;
      if (state === EQUAL) tally.equal++;
      else if (state === DIFFERS) this.#conflict(columns, i);
      else if (state === OURS) tally.overwritten++;
      else if (state !== ABSENT) leaveOut(columns, i, state, tally, this.#notes);
      if (state !== ABSENT && state !== OURS && (state !== DIFFERS || onConflict !== 'overwrite')) continue;
      if (state === ABSENT) tally.written++;
      tally.bytes += sizeAt(columns, i);
      this.#seeSize(columns, i);
      if (dryRun && columns.leases[i] !== 0n) needed.add(columns.leases[i] as bigint);
    }
    if (this.#o.leases.table.rule === 'drop') return;
    await this.#o.leases.lookUp(needed);
    for (const lease of needed) await this.#o.leases.ensure(lease);
  }

  #conflict(columns: Columns, i: number): void {
    this.#conflictCount++;
    this.#o.onConflictFound?.(keyAt(columns, i));
    if (this.#conflicts.length < CONFLICTS_NAMED) this.#conflicts.push(showKey(keyAt(columns, i)));
    if (this.#o.onConflict === 'skip') this.#tally.skipped++;
    if (this.#o.onConflict === 'overwrite') this.#tally.overwritten++;
  }

  #seeSize(columns: Columns, i: number): void {
    const size = putBytes(columns, i, 'keys');
    if (size > (this.#largest?.size ?? DEFAULT_MAX_BYTES)) this.#largest = { size, columns, index: i };
  }

  /** Asks whether the server takes the largest record, with a transaction that puts nothing. */
  async #probe(): Promise<void> {
    if (this.#largest === undefined) return;
    const { columns, index } = this.#largest;
    if (this.#o.dryRun) {
      const message = 'keys are larger than etcd takes unless told otherwise; whether the target takes them was not tried';
      this.#notes.add('large-value', message, { example: showKey(keyAt(columns, index)) });
      return;
    }
    try {
      await this.#o.cluster.call('KV/Txn', encodeProbe(columns, index), { repeatable: true, signal: this.#o.run.signal });
    } catch (thrown) {
      if (reasonOf(thrown) === 'request-too-large') throw tooLarge(columns, index, thrown);
      throw thrown;
    }
  }

  #inTheWay(): FerryError {
    const more = this.#conflictCount > this.#conflicts.length ? ', …' : '';
    const keys = this.#conflictCount === 1 ? 'key is' : 'keys are';
    const message = `${this.#conflictCount} ${keys} in the target with another value or lease: ${this.#conflicts.join(', ')}${more}`;
    return new FerryError('in-the-way', `${message}; nothing was written`, {
      hint: 'Choose --on-conflict skip or overwrite, or restore under another prefix with --map or --add-prefix.',
    });
  }
}
