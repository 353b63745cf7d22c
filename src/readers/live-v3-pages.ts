import type { RawCallOptions, V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import { FerryError } from '../errors.js';
import { type RecordBatch, recordAt } from '../model/batch.js';
import { keyOf } from '../wire/keyvalue.js';
import { decodeRangeResponse, type RangeResponse } from '../wire/rpc.js';
import { encodeRange } from '../wire/rpc-request.js';
import { type Answer, Plan, type Stretch } from './live-v3-plan.js';
import { compareEnds, type KeyRange } from './live-v3-ranges.js';
import { Throttle } from './live-v3-throttle.js';

/** How pages are asked for; the defaults are what was measured to be good. */
export interface PageOptions {
  /** Requests in flight. */
  readonly streams: number;
  /** Size aimed at for a page, in bytes. */
  readonly pageBytes: number;
  /** Keys of the first page, when no size is known. */
  readonly firstLimit: number;
  /** Largest number of keys in a page. */
  readonly maxLimit: number;
  /** Bytes of pages that may wait for those before them. */
  readonly aheadBytes: number;
  /** Largest answer to take, in bytes; undefined for the connection's own limit. */
  readonly receiveBytes?: number;
}

export const DEFAULT_PAGES: PageOptions = {
  streams: 2,
  pageBytes: 6 << 20,
  firstLimit: 1000,
  maxLimit: 50_000,
  aheadBytes: 24 << 20,
};

/** For a single key whose value is larger than any page. */
const ONE_KEY_BYTES = 512 << 20;
/** Pages are not made smaller than this where the line is slow. */
const MIN_PAGE_BYTES = 64 << 10;
const TO_THE_END: Buffer = Buffer.from([0]);

/** Pages of a pinned revision in key order, over few requests in flight. */
export class PageReader {
  readonly #cluster: Pick<V3Cluster, 'call'>;
  readonly #options: PageOptions;
  readonly #plan: Plan;
  readonly #throttle: Throttle;
  readonly #signal: AbortSignal;
  #revision: bigint;
  #limit: number;
  #pageBytes: number;
  #inFlight = 0;
  #waitingBytes = 0;
  #failure: unknown;
  #wake: () => void = () => {};

  /**
   * @param revision 0n for the newest: the first answer pins it
   * @param limitRate bytes per second over all requests together
   */
  constructor(
    cluster: Pick<V3Cluster, 'call'>,
    ranges: readonly KeyRange[],
    revision: bigint,
    settings: { readonly signal: AbortSignal; readonly limitRate?: number | undefined; readonly pages?: Partial<PageOptions> | undefined },
  ) {
    this.#cluster = cluster;
    this.#options = { ...DEFAULT_PAGES, ...settings.pages };
    this.#plan = new Plan(ranges);
    this.#throttle = new Throttle(settings.limitRate ?? Number.POSITIVE_INFINITY);
    this.#signal = settings.signal;
    this.#revision = revision;
    this.#limit = this.#options.firstLimit;
    this.#pageBytes = this.#options.pageBytes;
  }

  /** Reads the first page and pins its revision. To be called once, before `pages`. */
  async first(): Promise<RangeResponse | undefined> {
    const piece = this.#plan.next(this.#limit, true);
    if (piece === undefined) return undefined;
    const answer = await this.#ask(piece);
    if (this.#revision === 0n) this.#revision = answer.header.revision;
    return answer;
  }

  /** All pages that hold a record, in key order. Nothing more is asked for once its user has gone. */
  async *pages(): AsyncGenerator<RecordBatch> {
    try {
      yield* this.#inOrder();
    } finally {
      this.#failure ??= new FerryError('failed', 'the reading was ended');
    }
  }

  async *#inOrder(): AsyncGenerator<RecordBatch> {
    for (;;) {
      this.#fill();
      const page = this.#plan.take();
      if (page !== undefined) {
        this.#waitingBytes -= page.bytes.length;
        if (page.count > 0) yield page;
      } else if (this.#plan.finished) return;
      else if (this.#failure !== undefined) throw this.#failure;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          if (this.#inFlight === 0) resolve();
        });
      }
    }
  }

  /** Asks for more, as far as streams and memory allow. Runs after every answer, not only when the user comes for a page. */
  #fill(): void {
    while (this.#failure === undefined && this.#inFlight < this.#options.streams) {
      const piece = this.#plan.next(this.#limit, this.#waitingBytes >= this.#options.aheadBytes);
      if (piece === undefined) return;
      this.#inFlight++;
      this.#ask(piece)
        .catch((thrown: unknown) => {
          this.#failure ??= thrown;
        })
        .finally(() => {
          this.#inFlight--;
          this.#fill();
          this.#wake();
        });
    }
  }

  async #ask(piece: Stretch): Promise<RangeResponse> {
    await this.#throttle.wait(this.#signal);
    const { answer, limit } = await this.#request(piece);
    const { records } = answer;
    this.#throttle.spend(records.bytes.length);
    this.#waitingBytes += records.bytes.length;
    this.#plan.answered(piece, checked(answer, piece), limit);
    if (records.count > 0) this.#resize(records);
    return answer;
  }

  /** Asks with fewer keys while the answer is too large, or comes too slowly. */
  async #request(piece: Stretch): Promise<{ readonly answer: RangeResponse; readonly limit: number }> {
    const { start: key, end: rangeEnd = TO_THE_END } = piece;
    const send = async (limit: number, receiveBytes: number | undefined): Promise<RangeResponse> => {
      const options: RawCallOptions = { signal: this.#signal, ...(receiveBytes && { maxReceiveBytes: receiveBytes }) };
      const request = encodeRange({ key, rangeEnd, limit, revision: this.#revision });
      return decodeRangeResponse(await this.#cluster.call('KV/Range', request, options));
    };
    let limit = this.#limit;
    for (let slow = 0; ; ) {
      try {
        return { answer: await send(limit, this.#options.receiveBytes), limit };
      } catch (thrown) {
        const reason = reasonOf(thrown);
        if (reason === 'answer-too-large' && limit === 1) return { answer: await send(1, ONE_KEY_BYTES), limit };
        if (reason === 'answer-too-large') limit = Math.ceil(limit / 2);
        else if (reason === 'timed-out' && limit > 1 && slow++ < 2) {
          limit = Math.ceil(limit / 8);
          this.#pageBytes = Math.max(MIN_PAGE_BYTES, this.#pageBytes / 8);
        } else throw thrown;
        this.#limit = Math.min(this.#limit, limit);
      }
    }
  }

  /** The next page's number of keys, from the sizes in this one. */
  #resize(records: RecordBatch): void {
    const { maxLimit } = this.#options;
    const wanted = Math.floor((this.#pageBytes * records.count) / records.bytes.length);
    this.#limit = Math.max(1, Math.min(wanted, this.#limit * 4, maxLimit));
  }
}

/**
 * Whether the answer can be the one to the question: what a broken server or proxy sends must not
 * end as a backup with a hole in it.
 */
function checked({ records, more, count }: RangeResponse, { start, end }: Stretch): Answer {
  if (records.count === 0) {
    if (more) throw new FerryError('failed', 'the server says that there are more keys, and gives none');
    return { records, more, count: Number(count), first: start, last: start };
  }
  const first = Buffer.from(keyOf(recordAt(records, 0)));
  const last = Buffer.from(keyOf(recordAt(records, records.count - 1)));
  if (Buffer.compare(first, start) < 0 || Buffer.compare(last, first) < 0 || compareEnds(last, end) >= 0) {
    throw new FerryError('failed', 'the server gave keys that were not asked for');
  }
  return { records, more, count: Number(count), first, last };
}
