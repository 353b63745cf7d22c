import type { RawMethod, V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import { recordAt } from '../model/batch.js';
import type { KeyValue } from '../model/keyvalue.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import { decodeRangeResponse, decodeTxnResponse, type RangeResponse } from '../wire/rpc.js';
import { encodeRange, encodeTxn } from '../wire/rpc-request.js';
import { tryAgain } from './live-v3-again.js';
import type { WriteMemory } from './live-v3-memory.js';

const PAGE_BYTES = 4 << 20;
const MOST_KEYS = 10_000;
/** A run of keys: from `from` up to, not including, `to`. */
export interface KeySpan {
  readonly from: Buffer;
  /** One zero byte: to the end of the keyspace, as etcd's `range_end` has it. */
  readonly to: Buffer;
}

/** Reads what the target holds, in bounded pages, and keeps the newest revision it was told. */
export class TargetReader {
  readonly memory: WriteMemory | undefined;
  readonly #cluster: V3Cluster;
  readonly #signal: AbortSignal;
  #pageKeys = 1000;
  #pointKeys = 128;
  #revision = 0n;

  /** @param memory what is remembered of the target from earlier runs of the same work */
  constructor(cluster: V3Cluster, signal: AbortSignal, memory?: WriteMemory) {
    this.#cluster = cluster;
    this.#signal = signal;
    this.memory = memory;
  }

  /** The newest revision seen in any answer; 0n before the first. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Takes note of a revision another call was told. */
  saw(revision: bigint): void {
    if (revision > this.#revision) this.#revision = revision;
  }

  /** Number of keys in a span. */
  async count(span: KeySpan): Promise<bigint> {
    return (await this.#range(encodeRange({ key: span.from, rangeEnd: span.to, countOnly: true }))).count;
  }

  /**
   * The keys of a span in order, in pages of about 4 MiB, each as it is when it is read.
   *
   * @param what `keys` leaves the values out
   */
  async *read(span: KeySpan, what: 'keys' | 'all'): AsyncGenerator<KeyValue[]> {
    let from = span.from;
    for (;;) {
      const page = await this.#page(from, span.to, what);
      const last = page.found.at(-1);
      if (last === undefined) return;
      yield page.found;
      if (!page.more) return;
      from = afterKey(last.key);
    }
  }

  /** The keys given, as far as they are there, in the order given. Needs permission for each key only. */
  async *readPoints(keys: readonly Buffer[]): AsyncGenerator<KeyValue[]> {
    let at = 0;
    while (at < keys.length) {
      const some = keys.slice(at, at + this.#pointKeys);
      const found = await this.#points(some);
      if (found === undefined) continue;
      at += some.length;
      yield found;
    }
  }

  async #page(from: Buffer, to: Buffer, what: 'keys' | 'all'): Promise<{ found: KeyValue[]; more: boolean }> {
    for (;;) {
      const limit = what === 'keys' ? MOST_KEYS : this.#pageKeys;
      try {
        const answer = await this.#range(encodeRange({ key: from, rangeEnd: to, limit, keysOnly: what === 'keys' }));
        if (what === 'all') this.#aim(answer);
        return { found: recordsOf(answer), more: answer.more };
      } catch (thrown) {
        if (reasonOf(thrown) !== 'answer-too-large' || limit === 1) throw thrown;
        this.#pageKeys = Math.max(1, limit >> 1);
      }
    }
  }

  /** Sets the next page's limit from the size of the records seen. */
  #aim(answer: RangeResponse): void {
    const { count, bytes } = answer.records;
    if (count === 0) return;
    this.#pageKeys = Math.min(MOST_KEYS, this.#pageKeys * 4, Math.max(1, Math.floor((PAGE_BYTES * count) / bytes.length)));
  }

  async #points(keys: readonly Buffer[]): Promise<KeyValue[] | undefined> {
    const success = keys.map((key) => ({ kind: 'range' as const, range: { key } }));
    try {
      const answer = decodeTxnResponse(await this.#call('KV/Txn', encodeTxn({ compares: [], success, failure: [] })));
      this.saw(answer.header.revision);
      return answer.results.flatMap((result) => (result.kind === 'range' ? recordsOf(result.range) : []));
    } catch (thrown) {
      const reason = reasonOf(thrown);
      if ((reason !== 'answer-too-large' && reason !== 'too-many-operations') || keys.length === 1) throw thrown;
      this.#pointKeys = keys.length >> 1;
      return undefined;
    }
  }

  async #range(request: Buffer): Promise<RangeResponse> {
    const answer = decodeRangeResponse(await this.#call('KV/Range', request));
    this.saw(answer.header.revision);
    return answer;
  }

  /** Reading changes nothing, so it may be tried again until the cluster is back. */
  #call(method: RawMethod, request: Buffer): Promise<Buffer> {
    return tryAgain(() => this.#cluster.call(method, request, { signal: this.#signal, repeatable: true }), this.#signal);
  }
}

/** The first key after `key`. */
export function afterKey(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.alloc(1)]);
}

function recordsOf(answer: RangeResponse): KeyValue[] {
  return Array.from({ length: answer.records.count }, (_, i) => decodeKeyValue(recordAt(answer.records, i)));
}
