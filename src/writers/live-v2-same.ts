import { isUtf8 } from 'node:buffer';
import type { TreeNode } from '../model/node.js';

const SECOND = 1_000_000_000n;
/** What is compared beside the nodes themselves. */
export interface SameOptions {
  /** When the source's ends, by itself or with a directory above it; its own expiration unless given. */
  readonly ends?: bigint;
  /** The same of the target's. */
  readonly targetEnds?: bigint;
  /** How far apart ends may be that are the same, in nanoseconds; two seconds unless given. */
  readonly tolerance?: bigint | undefined;
}

/** A TTL is whole seconds, and time passes on the way: expirations this close are the same. */
const TOLERANCE = 2n * SECOND;
const REPLACEMENT = Buffer.from('\ufffd');

/**
 * Whether the target's node is what the source's would become. Indices are each store's own.
 */
export function isSameNode(
  source: TreeNode,
  target: TreeNode,
  { ends = source.expiration, targetEnds = target.expiration, tolerance = TOLERANCE }: SameOptions = {},
): boolean {
  if (source.dir !== target.dir) return false;
  const isSame = (a: bigint, b: bigint): boolean => isSameExpiration(a, b, tolerance);
  if (!isSame(source.expiration, target.expiration) && !isSame(ends, targetEnds)) return false;
  return source.dir || isSameValue(source.value, target.value);
}

function isSameExpiration(a: bigint, b: bigint, tolerance: bigint): boolean {
  if (a === 0n || b === 0n) return a === b;
  return a - b <= tolerance && b - a <= tolerance;
}

/** Whether what ends then ends noticeably before what was to end at `wanted`; 0n is never. */
export function isSooner(ends: bigint, wanted: bigint): boolean {
  return ends !== 0n && (wanted === 0n || ends < wanted - TOLERANCE);
}

/** The API shows a value that is not UTF-8 with a U+FFFD for each byte that is none. */
function isSameValue(source: Buffer, shown: Buffer): boolean {
  if (source.equals(shown)) return true;
  return shown.includes(REPLACEMENT) && !isUtf8(source) && asShown(source).equals(shown);
}

/** The bytes as Go's JSON encoder shows them (unicode/utf8, DecodeRune: a bad byte is one step). */
export function asShown(value: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < value.length; ) {
    const length = characterAt(value, at);
    parts.push(length === 0 ? REPLACEMENT : value.subarray(at, at + length));
    at += length === 0 ? 1 : length;
  }
  return Buffer.concat(parts);
}

/** Length of the UTF-8 character at `at`; 0 when there is none. */
function characterAt(value: Buffer, at: number): number {
  const first = value[at] as number;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  return at + length <= value.length && isUtf8(value.subarray(at, at + length)) ? length : 0;
}

/**
 * Seconds to give a node so that it expires when it would have: rounded to the nearest, so within
 * half a second, and at least 1.
 *
 * @param now nanoseconds since the Unix epoch
 * @returns undefined for a permanent node, 0n for one whose time is over
 */
export function remainingTtl(expiration: bigint, now: bigint): bigint | undefined {
  if (expiration === 0n) return undefined;
  const left = expiration - now;
  if (left <= 0n) return 0n;
  const ttl = (left + SECOND / 2n) / SECOND;
  return ttl === 0n ? 1n : ttl;
}

/** @returns the clock in nanoseconds since the Unix epoch */
export function nanoseconds(now: () => number): bigint {
  return BigInt(Math.trunc(now())) * 1_000_000n;
}
