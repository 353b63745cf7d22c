import { type KeyMapping, SAME_KEYS } from '../convert/key-mapping.js';
import { showKey } from '../convert/key-text.js';
import { mapRecords } from '../convert/map-records.js';
import { mergePieces } from '../convert/merge-pieces.js';
import { selectRecords } from '../convert/select.js';
import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { EVERYTHING, type KeySelection, type Source } from '../model/source.js';
import { type Columns, columnsOf, compareKey, keyAt } from './live-v3-columns.js';

/** Where the order of keys breaks: a key below the one before it, or the same once more. */
export interface Disorder {
  readonly kind: 'below' | 'twice';
  readonly key: Buffer;
}

/**
 * The source's records as the target is to have them: selected, and under their new names in
 * ascending order. Can be read any number of times.
 */
export class TargetRecords {
  readonly #source: Source;
  readonly #selection: KeySelection;
  readonly #mapping: KeyMapping;
  #reordered = false;

  constructor(source: Source, selection: KeySelection = EVERYTHING, mapping: KeyMapping = SAME_KEYS) {
    this.#source = source;
    this.#selection = selection;
    this.#mapping = mapping;
  }

  /** Reads the records; every batch has at least one. */
  async *read(): AsyncGenerator<Columns> {
    const renamed = this.#reordered ? mergePieces(() => this.#selected(), this.#mapping) : mapRecords(this.#selected(), this.#mapping);
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
