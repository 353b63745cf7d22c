import { showKey } from '../convert/key-text.js';
import { ttlWish } from '../convert/lease-ttl.js';
import type { RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import { LeaseIds } from '../model/lease-ids.js';
import type { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { delegate, type Source } from '../model/source.js';
import { RecordSorter } from '../sort/sorter.js';
import { encodeLease } from '../wire/backend-messages.js';
import type { EntryRun } from '../wire/bbolt-writer.js';
import { keyOf, leaseOf } from '../wire/keyvalue.js';
import { leasesIn } from '../wire/rpc-leases.js';

const ID_BYTES = 8;
const SORT_BUDGET = 2 * 1024 * 1024;

/** What becomes etcd's `lease` bucket, in order of the ids as unsigned integers. */
export class LeaseBucket implements AsyncDisposable {
  readonly #sorter: RecordSorter;
  readonly #notes: NoteBook;
  readonly #now: number;
  readonly #told = new LeaseIds();
  #count = 0;

  constructor(options: { readonly tmpDir: string; readonly now?: () => number }, run: RunContext, notes: NoteBook) {
    const findKey = (_: Buffer, start: number, _end: number, range: { start: number; end: number }): void => {
      range.start = start;
      range.end = start + ID_BYTES;
    };
    this.#sorter = new RecordSorter({ findKey, tmpDir: options.tmpDir, budget: SORT_BUDGET, dropOlder: true }, run);
    this.#notes = notes;
    this.#now = (options.now ?? Date.now)();
  }

  /** Leases written. */
  get count(): number {
    return this.#count;
  }

  async fill(source: Source): Promise<void> {
    for await (const leases of source.leases()) {
      for (const lease of leases) {
        this.#told.add(lease.id);
        await this.#add(lease);
      }
    }
    await this.#sorter.finish();
    if (this.#count === 0) return;
    this.#notes.add('lease-ttl-restarts', 'leases start again, with their whole TTL, when a server loads the file', { count: this.#count });
  }

  /** The same source, whose records are looked at for leases that it does not tell of. */
  noting(source: Source): Source {
    return { ...delegate(source), records: () => this.#noted(source.records()) };
  }

  async *entries(): AsyncGenerator<EntryRun> {
    for await (const { bytes, starts, ends, count } of this.#sorter.lentBatches()) {
      yield { bytes, starts, values: starts.map((start) => start + ID_BYTES), ends, count };
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sorter.close();
  }

  async *#noted(batches: AsyncIterable<RecordBatch>): AsyncGenerator<RecordBatch> {
    for await (const batch of batches) {
      let unknown = false;
      for (const id of leasesIn(batch)) unknown ||= !this.#told.has(id);
      if (unknown) this.#noteUnknown(batch);
      yield batch;
    }
  }

  #noteUnknown({ bytes, starts, ends, count }: RecordBatch): void {
    for (let i = 0; i < count; i++) {
      const [start, end] = [starts[i] as number, ends[i] as number];
      const id = leaseOf(bytes, start, end);
      if (id === 0n || this.#told.has(id)) continue;
      const message = 'keys will not expire: the source does not tell when their lease ends';
      this.#notes.add('lease-unknown', message, { lossy: true, example: showKey(keyOf(bytes, start, end)) });
    }
  }

  async #add(lease: Lease): Promise<void> {
    const ttl = this.#ttlOf(lease);
    if (ttl === undefined) return;
    const id = Buffer.alloc(ID_BYTES);
    id.writeBigInt64BE(lease.id);
    const record = Buffer.concat([id, encodeLease({ id: lease.id, ttl, remainingTtl: 0n })]);
    await this.#sorter.addSlices(record, Uint32Array.of(0), Uint32Array.of(record.length), 1);
    this.#count++;
    if (lease.id >= 0n) return;
    this.#notes.add('lease-id-negative', 'leases have a negative id, which etcd loads from version 3.5 on', { example: hexOf(lease.id) });
  }

  /** A lease starts again with what it was granted; an expiration is a point in time, and stays one. */
  #ttlOf(lease: Lease): bigint | undefined {
    const wish = ttlWish(lease, lease.origin === 'expiration' ? 'deadline' : 'granted', this.#now);
    const example = hexOf(lease.id);
    switch (wish.kind) {
      case 'lease':
        return wish.ttl;
      case 'past':
        this.#notes.add('lease-deadline-past', 'leases have 1 second left: the deadline of their keys has passed', { example });
        return 1n;
      default:
        this.#notes.add('lease-vanished', 'keys refer to a lease that is no longer there, and will not expire', { lossy: true, example });
        return undefined;
    }
  }
}

function hexOf(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}
