import { type KeyMapping, SAME_KEYS } from '../convert/key-mapping.js';
import { showKey } from '../convert/key-text.js';
import { mapRecords } from '../convert/map-records.js';
import { mergePieces } from '../convert/merge-pieces.js';
import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { EVERYTHING, type KeySelection, type Source } from '../model/source.js';
import { selectRecords } from '../selection/select.js';
import { type Columns, columnsOf, compareKey, keyAt, pickColumns } from './live-v3-columns.js';
import type { LeaveAlone } from './live-v3-options.js';

/** Where the order of keys breaks: a key below the one before it, or the same once more. */
export interface Disorder {
  readonly kind: 'below' | 'twice';
  readonly key: Buffer;
}

/** Records that were to be left alone: how many, and the names of the first few. */
export interface LeftAlone {
  readonly count: number;
  readonly examples: readonly string[];
}

export interface TargetRecordsOptions {
  readonly selection?: KeySelection | undefined;
  readonly mapping?: KeyMapping | undefined;
  readonly leaveAlone?: LeaveAlone | undefined;
}

const EXAMPLES = 5;

/**
 * The source's records as the target is to have them: selected, and under their new names in
 * ascending order. Can be read any number of times.
 */
export class TargetRecords {
  readonly #source: Source;
  readonly #selection: KeySelection;
  readonly #mapping: KeyMapping;
  readonly #leaveAlone: LeaveAlone | undefined;
  #reordered = false;
  #leftAlone: LeftAlone = { count: 0, examples: [] };

  constructor(source: Source, { selection = EVERYTHING, mapping = SAME_KEYS, leaveAlone }: TargetRecordsOptions = {}) {
    this.#source = source;
    this.#selection = selection;
    this.#mapping = mapping;
    this.#leaveAlone = leaveAlone;
  }

  /** Of the records last read to the end by `read()`: those that are to be left alone in the target. */
  get leftAlone(): LeftAlone {
    return this.#leftAlone;
  }

  /** Reads the records that may be written; every batch has at least one. */
  async *read(): AsyncGenerator<Columns> {
    if (this.#leaveAlone === undefined) return yield* this.readAll();
    const left = { count: 0, examples: [] };
    for await (const columns of this.readAll()) {
      const wanted = withoutThese(columns, this.#leaveAlone, left);
      if (wanted.count > 0) yield wanted;
    }
    this.#leftAlone = left;
  }

  /** Reads all records, also those to be left alone in the target; every batch has at least one. */
  async *readAll(): AsyncGenerator<Columns> {
    // Those to be left alone may be out of order where the others are not.
    const merges = this.#reordered || (this.#leftAlone.count > 0 && !this.#mapping.identity);
    const renamed = merges ? mergePieces(() => this.#selected(), this.#mapping) : mapRecords(this.#selected(), this.#mapping);
    for await (const batch of renamed) if (batch.count > 0) yield columnsOf(batch);
  }

  /**
   * Called when the order was found broken: from now on the records are put in order.
   *
   * @throws FerryError `usage` naming two keys that would become one; `damaged` when the source is
   *   to blame
   */
  async reorder(disorder: Disorder): Promise<void> {
    if (disorder.kind === 'twice') throw await this.#collision(disorder.key);
    if (this.#mapping.identity || this.#reordered) {
      throw new FerryError('damaged', `the source's keys are not in order at ${showKey(disorder.key)}`);
    }
    this.#reordered = true;
  }

  #selected(): AsyncIterable<RecordBatch> {
    return selectRecords(this.#source.records(), this.#selection);
  }

  /** Reads the source once more to name both keys. */
  async #collision(target: Buffer): Promise<FerryError> {
    if (this.#mapping.identity) return new FerryError('damaged', `the source has key ${showKey(target)} twice`);
    const names: string[] = [];
    for await (const batch of this.#selected()) {
      const columns = columnsOf(batch);
      for (let i = 0; i < columns.count; i++) {
        const key = keyAt(columns, i);
        if (this.#mapping.mapKey(key).equals(target)) names.push(showKey(key));
      }
      if (names.length > 1) break;
    }
    return new FerryError('usage', `collision: keys ${names.join(' and ')} would both become ${showKey(target)}`, {
      hint: 'Map them to different prefixes, or leave one of them out with --exclude-prefix.',
    });
  }
}

/** The records without those to be left alone, which are counted. */
function withoutThese(columns: Columns, { holds }: LeaveAlone, left: { count: number; examples: string[] }): Columns {
  const wanted: number[] = [];
  for (let i = 0; i < columns.count; i++) {
    if (!holds(columns.bytes, columns.keyStarts[i] as number, columns.keyEnds[i] as number)) wanted.push(i);
    else if (++left.count <= EXAMPLES) left.examples.push(showKey(keyAt(columns, i)));
  }
  return wanted.length === columns.count ? columns : pickColumns(columns, wanted);
}

/** Watches that keys come in strictly ascending order. */
export class OrderWatch {
  #last: Buffer | undefined;

  /** @returns where the order breaks within these records, or between them and the ones before */
  see(columns: Columns): Disorder | undefined {
    let last = this.#last;
    for (let i = 0; i < columns.count; i++) {
      const order = last === undefined ? 1 : compareKey(columns, i, last);
      if (order <= 0) return { kind: order === 0 ? 'twice' : 'below', key: Buffer.from(keyAt(columns, i)) };
      last = keyAt(columns, i);
    }
    // A copy: the batch's memory would live on.
    this.#last = last === undefined ? undefined : Buffer.from(last);
    return undefined;
  }
}
