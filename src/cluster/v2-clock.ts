const MILLISECOND = 1_000_000n;
/** Clocks no further apart than this count as one, in milliseconds: much of it may be the way of an answer. */
const NEAR = 2_000;
/** What was found once stands while new answers contradict it by no more than this, in milliseconds. */
const STEADY = 1_000;

/** When a request was sent and the first bytes of its answer came, by this machine's clock, in milliseconds since the Unix epoch. */
export interface AnswerTimes {
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** Milliseconds that a server's clock can be ahead of this machine's. */
interface Range {
  readonly low: number;
  readonly high: number;
}

/**
 * How far a v2 server's clock is ahead of this machine's, as its answers tell: by their `Date` (RFC 9110,
 * section 6.6.1, whole seconds, the rest cut off), and by nodes that expire. etcd tells of these their
 * expiration and what is left of it, in whole seconds, rounded up (api/v2store/node.go,
 * expirationAndTTL): the difference is its clock when the answer was made.
 */
export class ServerClock {
  #range: Range = { low: -Infinity, high: Infinity };
  #fromNodes = false;
  #offset = 0;

  /** Takes note of an answer's `Date`. */
  seeDate(date: string | undefined, { sentAt, receivedAt }: AnswerTimes): void {
    const time = date === undefined ? Number.NaN : Date.parse(date);
    if (Number.isNaN(time)) return;
    const range = { low: time - receivedAt, high: time + 1000 - sentAt };
    // Something between may put its own date on answers; what etcd says itself counts more.
    if (!this.#fromNodes || overlap(this.#range, range)) this.#narrow(range);
  }

  /**
   * Takes note of a node that expires.
   *
   * @param expiration as the server tells it, in nanoseconds since the Unix epoch
   * @param ttl what was left, in seconds, above 0
   */
  seeNode(expiration: bigint, ttl: number, { sentAt, receivedAt }: AnswerTimes): void {
    const time = Number(expiration / MILLISECOND) - ttl * 1000;
    if (!Number.isSafeInteger(time)) return;
    this.#fromNodes = true;
    this.#narrow({ low: time - receivedAt, high: time + 1000 - sentAt });
  }

  /** Nanoseconds that the server's clock is ahead; 0n where it is no more than two seconds apart. */
  get offset(): bigint {
    return BigInt(this.#offset) * MILLISECOND;
  }

  #narrow(range: Range): void {
    const { low, high } = overlap(this.#range, range)
      ? { low: Math.max(this.#range.low, range.low), high: Math.min(this.#range.high, range.high) }
      : range;
    this.#range = { low, high };
    const isNear = low <= NEAR && high >= -NEAR;
    if (isNear) this.#offset = 0;
    else if (this.#offset === 0 || this.#offset < low - STEADY || this.#offset > high + STEADY) this.#offset = Math.round((low + high) / 2);
  }
}

function overlap(a: Range, b: Range): boolean {
  return a.low <= b.high && b.low <= a.high;
}

/** Sets expirations of one answer right: by one offset for all of them, known with the first. */
export class AnswerClock {
  readonly #clock: ServerClock;
  readonly #times: AnswerTimes;
  #offset: bigint | undefined;

  constructor(clock: ServerClock, times: AnswerTimes) {
    this.#clock = clock;
    this.#times = times;
  }

  /** Nanoseconds that the server's clock is ahead, as far as expirations were corrected for it. */
  get offset(): bigint {
    return this.#offset ?? 0n;
  }

  /**
   * When a node ends, by this machine's clock.
   *
   * @param expiration nanoseconds since the Unix epoch, by the server's clock; 0n stays 0n
   * @param ttl what is left, in seconds; 0 where the server does not tell it
   */
  endOf(expiration: bigint, ttl: number): bigint {
    if (expiration === 0n) return 0n;
    if (this.#offset === undefined) {
      if (ttl > 0) this.#clock.seeNode(expiration, ttl, this.#times);
      this.#offset = this.#clock.offset;
    }
    return expiration - this.#offset;
  }
}

/** An offset for people: `3600 s behind`. */
export function offsetText(offset: bigint): string {
  const seconds = Math.round(Number(offset / MILLISECOND) / 1000);
  return `${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead'}`;
}
