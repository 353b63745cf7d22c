import type { Lease } from '../model/lease.js';
import { attachedLease, expirationSecond, leaseFor, leaseIdOf, secondOfLease } from './v2-expiration.js';

const SECOND = 1_000_000_000n;

/**
 * What becomes of expirations. `exact`: each is kept, with one lease for all keys of the same
 * `granularity` (seconds). `attach-lease`: all get one lease of `ttl` seconds, from when it is
 * granted, as Kubernetes' own migration did for its events. `permanent`: none is kept, as
 * `etcdctl migrate` had it.
 */
export type TtlRule =
  | { readonly kind: 'exact'; readonly granularity: bigint }
  | { readonly kind: 'attach-lease'; readonly ttl: bigint }
  | { readonly kind: 'permanent' };

export const EXACT_TTL: TtlRule = { kind: 'exact', granularity: 1n };

/** The leases that a tree's expirations become under a rule; one number is held per lease. */
export class ExpirationLeases {
  readonly #rule: TtlRule;
  readonly #now: number;
  readonly #attached: Lease | undefined;
  #attachedUsed = false;
  /** When each lease is to end, by the second it is named by. */
  readonly #deadlines = new Map<bigint, bigint>();

  /** @param now milliseconds since the Unix epoch */
  constructor(rule: TtlRule, now: number) {
    this.#rule = rule;
    this.#now = now;
    this.#attached = rule.kind === 'attach-lease' ? attachedLease(rule.ttl, now) : undefined;
  }

  /**
   * Takes note of a key's expiration.
   *
   * @param expiration nanoseconds since the Unix epoch, not 0n
   */
  see(expiration: bigint): void {
    if (this.#rule.kind !== 'exact') {
      this.#attachedUsed = true;
      return;
    }
    const { granularity } = this.#rule;
    const second = expirationSecond(expiration, granularity);
    // A lease has whole seconds from when it is granted: one that ends with the earliest of its keys,
    // and no second later, is within a second of all of them.
    const end = granularity === 1n ? expiration : second * SECOND;
    const known = this.#deadlines.get(second);
    if (known === undefined || end < known) this.#deadlines.set(second, end);
  }

  /** @returns the id of the lease for an expiration; 0n for none */
  idOf(expiration: bigint): bigint {
    if (expiration === 0n) return 0n;
    if (this.#rule.kind !== 'exact') return this.#attached?.id ?? 0n;
    return leaseIdOf(expirationSecond(expiration, this.#rule.granularity));
  }

  get count(): number {
    return this.#attached !== undefined && this.#attachedUsed ? 1 : this.#deadlines.size;
  }

  /** All of them, by id. */
  list(): Lease[] {
    if (this.#attached !== undefined) return this.#attachedUsed ? [this.#attached] : [];
    const deadlines = [...this.#deadlines].sort(([a], [b]) => (a < b ? -1 : 1));
    return deadlines.map(([second, end]) => leaseFor(second, end, this.#now));
  }

  /**
   * The lease with an id that `idOf` gave, for who does not know all expirations yet: it ends no later
   * than any of its keys, and within a second of all of them.
   */
  leaseOf(id: bigint): Lease | undefined {
    if (this.#attached !== undefined) return id === this.#attached.id ? this.#attached : undefined;
    const second = secondOfLease(id);
    if (second === undefined || this.#rule.kind !== 'exact') return undefined;
    return leaseFor(second, (this.#rule.granularity === 1n ? second - 1n : second) * SECOND, this.#now);
  }
}
