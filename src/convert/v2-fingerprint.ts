import { createHash } from 'node:crypto';
import { expirationSecond } from './v2-expiration.js';

const SUM_BITS = 128;
const [KEY, EMPTY_DIRECTORY] = [0, 1];

/** A set of things: how many they are, and the sum of their digests, in whichever order they come. */
export interface Fingerprint {
  readonly count: number;
  /** Sum of the first 128 bits of each one's SHA-256, modulo 2^128. */
  readonly sum: bigint;
}

/** What a tree becomes, in a few numbers; what expires is kept apart, by the second in which it does. */
export interface TreeFingerprint {
  readonly permanent: Fingerprint;
  readonly emptyDirectories: Fingerprint;
  /** By the second of their expiration, rounded up, since the Unix epoch. */
  readonly expiring: ReadonlyMap<bigint, Fingerprint>;
}

/** Takes the fingerprint of a tree as it is converted; one number is held per second of expiration. */
export class FingerprintTaker {
  readonly #permanent = { count: 0, sum: 0n };
  readonly #emptyDirectories = { count: 0, sum: 0n };
  readonly #expiring = new Map<bigint, { count: number; sum: bigint }>();

  /** @param expiration nanoseconds since the Unix epoch; 0n for never */
  key(key: Buffer, value: Buffer, expiration: bigint): void {
    add(expiration === 0n ? this.#permanent : this.#second(expirationSecond(expiration)), digestOf(KEY, key, value));
  }

  emptyDirectory(path: Buffer): void {
    add(this.#emptyDirectories, digestOf(EMPTY_DIRECTORY, path));
  }

  taken(): TreeFingerprint {
    return { permanent: this.#permanent, emptyDirectories: this.#emptyDirectories, expiring: this.#expiring };
  }

  #second(second: bigint): { count: number; sum: bigint } {
    const known = this.#expiring.get(second);
    if (known !== undefined) return known;
    const made = { count: 0, sum: 0n };
    this.#expiring.set(second, made);
    return made;
  }
}

/**
 * Whether a tree became what it was to become. What was to expire by `now` may be gone or not: that
 * was known.
 *
 * @param now milliseconds since the Unix epoch
 * @returns what is other than it was, in words; undefined when nothing is
 */
export function changeBetween(before: TreeFingerprint, after: TreeFingerprint, now: number): string | undefined {
  if (!isSame(before.permanent, after.permanent)) return said('keys without a TTL', before.permanent, after.permanent);
  if (!isSame(before.emptyDirectories, after.emptyDirectories)) {
    return said('empty directories', before.emptyDirectories, after.emptyDirectories);
  }
  // A second counts while all of it lies ahead.
  const first = BigInt(Math.ceil(now / 1000)) + 1n;
  const [then, is] = [total(before.expiring, first), total(after.expiring, first)];
  return isSame(then, is) ? undefined : said('keys with a TTL', then, is);
}

/** Keys that got another expiration count as others. */
function total(expiring: ReadonlyMap<bigint, Fingerprint>, first: bigint): Fingerprint {
  const sum = { count: 0, sum: 0n };
  for (const [second, { count, sum: digest }] of expiring) {
    if (second < first) continue;
    sum.count += count;
    sum.sum = BigInt.asUintN(SUM_BITS, sum.sum + digest * (2n * second + 1n));
  }
  return sum;
}

function said(what: string, before: Fingerprint, after: Fingerprint): string {
  if (before.count !== after.count) return `${what} were ${before.count} then and are ${after.count} now`;
  return `${what} are ${before.count} as then, but not the same ones`;
}

function isSame(a: Fingerprint, b: Fingerprint): boolean {
  return a.count === b.count && a.sum === b.sum;
}

function add(to: { count: number; sum: bigint }, digest: bigint): void {
  to.count++;
  to.sum = BigInt.asUintN(SUM_BITS, to.sum + digest);
}

function digestOf(kind: number, name: Buffer, value?: Buffer): bigint {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32BE(name.length, 1);
  const hash = createHash('sha256').update(head).update(name);
  if (value !== undefined) hash.update(value);
  const digest = hash.digest();
  return (digest.readBigUInt64BE(0) << 64n) | digest.readBigUInt64BE(8);
}
