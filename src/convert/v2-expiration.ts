import type { Lease } from '../model/lease.js';

const SECOND = 1_000_000_000n;
/** "v2" in ASCII, then six bytes of seconds: positive, and told at sight in `etcdctl lease list`. */
const LEASE_ID_BASE = 0x7632_0000_0000_0000n;
const LAST_SECOND = 0xffff_ffff_ffffn;

/**
 * The second by which a node is gone: its expiration, rounded up.
 *
 * @param expiration nanoseconds since the Unix epoch, not 0n
 * @returns seconds since the Unix epoch
 */
export function expirationSecond(expiration: bigint): bigint {
  const second = (expiration + SECOND - 1n) / SECOND;
  return second < 0n ? 0n : second > LAST_SECOND ? LAST_SECOND : second;
}

/**
 * The id of the lease for keys that expire at `second`. It follows from the expiration alone, so
 * that a second run finds the lease the first one granted.
 */
export function leaseIdOf(second: bigint): bigint {
  return LEASE_ID_BASE | second;
}

/** True for an id that `leaseIdOf` gave. */
export function isExpirationLease(id: bigint): boolean {
  return id >= LEASE_ID_BASE && id <= LEASE_ID_BASE + LAST_SECOND;
}

/**
 * The lease for keys that expire at `second`, as if seen now. Its TTL was never granted by a v3
 * server: what remains stands for it.
 *
 * @param now milliseconds since the Unix epoch
 */
export function leaseFor(second: bigint, now: number): Lease {
  const seenSecond = Math.floor(now / 1000);
  const left = second - BigInt(seenSecond);
  const ttl = left < 1n ? 1n : left;
  return { id: leaseIdOf(second), grantedTtl: ttl, remainingTtl: ttl, seenAt: seenSecond * 1000, origin: 'expiration' };
}
