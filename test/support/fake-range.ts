import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';
import type { RawCallOptions, V3Cluster } from '../../src/cluster/v3.js';
import { rpcError } from '../../src/cluster/v3-errors.js';

const proto = join(dirname(createRequire(import.meta.url).resolve('etcd3/package.json')), 'proto/rpc.proto');
const root = protobuf.loadSync(proto);
const Request = root.lookupType('etcdserverpb.RangeRequest');
const Response = root.lookupType('etcdserverpb.RangeResponse');

export interface FakeOptions {
  /** What the server says instead of the true count. */
  readonly count?: (truth: number) => number;
  /** Milliseconds until the answer to the n-th request. */
  readonly delay?: (request: number) => number;
}

/** `KV/Range` over a sorted list of keys, as etcd answers it; only counts may lie. */
export class FakeRange implements Pick<V3Cluster, 'call'> {
  requests = 0;
  /** Keys that etcd would have walked to count them. */
  walked = 0;
  mostInFlight = 0;
  #inFlight = 0;
  readonly #keys: readonly Buffer[];
  readonly #options: FakeOptions;
  readonly #valueFor: (key: Buffer) => Buffer;

  constructor(keys: readonly Buffer[], options: FakeOptions = {}, valueFor: (key: Buffer) => Buffer = (key) => key) {
    this.#keys = keys.toSorted(Buffer.compare);
    this.#options = options;
    this.#valueFor = valueFor;
  }

  async call(_method: string, request: Uint8Array, options: RawCallOptions = {}): Promise<Buffer> {
    const index = this.requests++;
    this.mostInFlight = Math.max(this.mostInFlight, ++this.#inFlight);
    const delay = this.#options.delay?.(index) ?? 0;
    await (delay === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, delay)));
    this.#inFlight--;
    const { key, rangeEnd, limit } = Request.toObject(Request.decode(request), { longs: Number, defaults: true, bytes: Buffer });
    const open = rangeEnd.length === 1 && rangeEnd[0] === 0;
    const from = this.#firstNotBelow(key);
    const to = open ? this.#keys.length : this.#firstNotBelow(rangeEnd);
    const count = Math.max(0, to - from);
    this.walked += count;
    const given = this.#keys.slice(from, from + Math.min(count, limit === 0 ? count : limit));
    const kvs = given.map((k) => ({ key: k, value: this.#valueFor(k), createRevision: 2, modRevision: 3, version: 1 }));
    const answer = {
      header: { clusterId: 1, memberId: 2, revision: 9 },
      kvs,
      more: given.length < count,
      count: this.#options.count?.(count) ?? count,
    };
    const bytes = Buffer.from(Response.encode(Response.create(answer)).finish());
    if (bytes.length > (options.maxReceiveBytes ?? 32 << 20))
      throw rpcError({ code: 8, details: `Received message larger than max (${bytes.length})` }, 'fake');
    return bytes;
  }

  #firstNotBelow(key: Buffer): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Buffer.compare(this.#keys[middle] as Buffer, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
