import type { LeaseTtlRule, TtlWish } from '../convert/lease-ttl.js';
import { ttlWish } from '../convert/lease-ttl.js';
import { doubled } from '../model/doubled.js';
import type { Lease } from '../model/lease.js';
import type { Source } from '../model/source.js';

const WITHOUT: TtlWish = { kind: 'none' };
/** How far apart two readings may find one end, in seconds, where a clock's offset was corrected for. */
const CLOCK_SLACK = 2n;

type LeaseSource = Pick<Source, 'leases' | 'leaseOf' | 'clockOffset'>;

/**
 * The source's leases and what became of each in the target, about 40 bytes a lease: looked up by
 * id, in columns, because there may be as many leases as keys.
 */
export class LeaseTable {
  readonly rule: LeaseTtlRule;
  readonly #now: () => number;
  #count = 0;
  #ids = new BigInt64Array(64);
  #granted = new BigInt64Array(64);
  #remaining = new BigInt64Array(64);
  #seenAt = new Float64Array(64);
  /** The target's lease that stands for this one; 0n while there is none. */
  #targets = new BigInt64Array(64);
  /** 1: found in the target; 2: granted for this. */
  #ready = new Uint8Array(64);
  /** By the monotonic clock: until then the target's lease cannot have ended by itself. */
  #lastsUntil = new Float64Array(64);
  /** Where leases stand that were not listed, behind those that were. */
  readonly #unlisted = new Map<bigint, number>();
  #listed = 0;
  readonly #source: LeaseSource;

  private constructor(rule: LeaseTtlRule, now: () => number, source: LeaseSource) {
    this.rule = rule;
    this.#source = source;
    this.#now = now;
  }

  /**
   * Reads all leases of a source; under the rule `drop` none is looked at.
   *
   * @param now the clock, in milliseconds since the Unix epoch
   */
  static async read(source: LeaseSource, rule: LeaseTtlRule, now: () => number): Promise<LeaseTable> {
    const table = new LeaseTable(rule, now, source);
    if (rule === 'drop') return table;
    for await (const some of source.leases()) for (const lease of some) table.#add(lease);
    table.#sort();
    table.#listed = table.#count;
    return table;
  }

  /** Seconds that the ends which ids of expirations name may be apart, and mean the same one. */
  get slack(): bigint {
    return (this.#source.clockOffset?.() ?? 0n) === 0n ? 0n : CLOCK_SLACK;
  }

  /** What the rule makes of the source's lease. */
  wish(id: bigint): TtlWish {
    if (id === 0n || this.rule === 'drop') return WITHOUT;
    return ttlWish(this.lease(id) ?? this.#addUnlisted(id), this.rule, this.#now());
  }

  /** Whether keys of the source's lease get one in the target, as far as that is not a matter of time. */
  mayGrant(id: bigint): boolean {
    return this.rule !== 'drop' && this.wish(id).kind !== 'unknown';
  }

  lease(id: bigint): Lease | undefined {
    const at = this.#find(id);
    if (at < 0) return undefined;
    const [grantedTtl, remainingTtl] = [this.#granted[at] as bigint, this.#remaining[at] as bigint];
    return { id, grantedTtl, remainingTtl, seenAt: this.#seenAt[at] as number, origin: 'lease' };
  }

  /** The target's lease that stands for the source's; 0n while there is none. */
  target(id: bigint): bigint {
    const at = this.#find(id);
    return at < 0 ? 0n : (this.#targets[at] as bigint);
  }

  /** True once the target's lease is known to be there and has been counted. */
  isReady(id: bigint): boolean {
    const at = this.#find(id);
    return at >= 0 && this.#ready[at] !== 0;
  }

  /** True once the target's lease was granted for the source's, so that no key of others has it. */
  isGranted(id: bigint): boolean {
    const at = this.#find(id);
    return at >= 0 && this.#ready[at] === 2;
  }

  /**
   * Remembers the target's lease that stands for the source's.
   *
   * @param how `found` on a key; `ready` to put keys with; `none`: it is gone
   * @param ttl seconds that it was granted with just now; 0n where it was not
   */
  setTarget(id: bigint, target: bigint, how: 'found' | 'ready' | 'none', ttl: bigint = 0n): void {
    const at = this.#find(id);
    if (at < 0) return;
    this.#lastsUntil[at] = performance.now() + Number(ttl) * 1000;
    this.#targets[at] = how === 'none' ? 0n : target;
    this.#ready[at] = how !== 'ready' ? 0 : ttl > 0n ? 2 : 1;
  }

  /** Those with a lease to put keys with that can have ended by itself by then, by the monotonic clock. */
  *overBy(time: number): Generator<bigint> {
    for (let at = 0; at < this.#count; at++) {
      if (this.#ready[at] !== 0 && (this.#lastsUntil[at] as number) <= time) yield this.#ids[at] as bigint;
    }
  }

  #addUnlisted(id: bigint): Lease | undefined {
    const lease = this.#source.leaseOf?.(id);
    if (lease === undefined) return undefined;
    this.#unlisted.set(id, this.#count);
    this.#add(lease);
    return lease;
  }

  #find(id: bigint): number {
    let [low, high] = [0, this.#listed - 1];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#ids[middle] as bigint;
      if (found === id) return middle;
      if (found < id) low = middle + 1;
      else high = middle - 1;
    }
    return this.#unlisted.get(id) ?? -1;
  }

  #add(lease: Lease): void {
    if (this.#count === this.#ids.length) this.#grow();
    const at = this.#count++;
    this.#ids[at] = lease.id;
    this.#granted[at] = lease.grantedTtl;
    this.#remaining[at] = lease.remainingTtl;
    this.#seenAt[at] = lease.seenAt;
  }

  #grow(): void {
    this.#ids = doubled(this.#ids);
    this.#granted = doubled(this.#granted);
    this.#remaining = doubled(this.#remaining);
    this.#targets = doubled(this.#targets);
    this.#seenAt = doubled(this.#seenAt);
    this.#ready = doubled(this.#ready);
    this.#lastsUntil = doubled(this.#lastsUntil);
  }

  /** Sources list leases by id; one that does not costs a sort. */
  #sort(): void {
    let sorted = true;
    for (let i = 1; i < this.#count && sorted; i++) sorted = (this.#ids[i - 1] as bigint) < (this.#ids[i] as bigint);
    if (sorted) return;
    const ids = this.#ids;
    const order = Uint32Array.from({ length: this.#count }, (_, i) => i).sort((a, b) => ((ids[a] as bigint) < (ids[b] as bigint) ? -1 : 1));
    this.#ids = BigInt64Array.from(order, (i) => ids[i] as bigint);
    const [granted, remaining, seenAt] = [this.#granted, this.#remaining, this.#seenAt];
    this.#granted = BigInt64Array.from(order, (i) => granted[i] as bigint);
    this.#remaining = BigInt64Array.from(order, (i) => remaining[i] as bigint);
    this.#seenAt = Float64Array.from(order, (i) => seenAt[i] as number);
  }
}
