import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { KeyValue } from '../model/keyvalue.js';
import type { NoteBook } from '../model/note.js';
import { type Columns, compareKey, keyAt, valueEquals } from './live-v3-columns.js';
import type { TargetLeases } from './live-v3-leases.js';
import type { Tally } from './live-v3-options.js';
import { afterKey, type TargetReader } from './live-v3-target.js';

/** What the target has of a record, or why the record is not wanted. */
export const ABSENT = 0;
export const EQUAL = 1;
export const DIFFERS = 2;
/** Differs, and is as this work itself left it in an earlier run: to be replaced, whatever the rule. */
export const OURS = 5;
/** Its lease had vanished when the source was read. */
const VANISHED = 3;
/** Its lease's deadline has passed. */
export const PAST = 4;

export interface Verdicts {
  /** By index of the record; only the picked ones have a meaning. */
  readonly states: Uint8Array;
  /** The target's mod_revision where it `DIFFERS` or is `OURS`. */
  readonly modRevisions: BigInt64Array;
  /** True when the target has no key from the first picked one to the last. */
  readonly nothingBetween: boolean;
}

const DOUBTS_AT_ONCE = 1000;
/** In the target's range there may be this many keys for each of ours before keys are read one by one. */
const SPARSE = 4n;

/** Verdicts for records of which nothing is in the target; nobody is asked. */
export function allAbsent(columns: Columns, leases: TargetLeases): Verdicts {
  const states = new Uint8Array(columns.count);
  for (let i = 0; i < columns.count; i++) states[i] = wanted(columns, i, leases);
  return { states, modRevisions: new BigInt64Array(0), nothingBetween: true };
}

/**
 * Compares records with the target.
 *
 * @param picked indices of the records, ascending, as their keys are
 */
export async function compareWithTarget(
  columns: Columns,
  picked: ArrayLike<number>,
  target: TargetReader,
  leases: TargetLeases,
): Promise<Verdicts> {
  const states = new Uint8Array(columns.count);
  for (let p = 0; p < picked.length; p++) states[picked[p] as number] = wanted(columns, picked[p] as number, leases);
  const modRevisions = new BigInt64Array(columns.count);
  const doubts: Doubt[] = [];
  let seen = 0;
  let p = 0;
  for await (const page of targetKeys(columns, picked, target)) {
    seen += page.length;
    for (const kv of page) {
      p = seek(columns, picked, p, kv.key);
      const i = picked[p];
      if (i === undefined) break;
      if (compareKey(columns, i, kv.key) !== 0 || states[i] !== ABSENT) continue;
      modRevisions[i] = kv.modRevision;
      states[i] = verdict(columns, i, kv, leases, doubts);
    }
  }
  for (const [n, { index, lease }] of doubts.entries()) {
    if (n % DOUBTS_AT_ONCE === 0) await leases.lookUp(doubts.slice(n, n + DOUBTS_AT_ONCE).map((doubt) => doubt.lease));
    if (await leases.standsFor(columns.leases[index] as bigint, lease)) states[index] = EQUAL;
  }
  const { memory } = target;
  if (memory !== undefined) {
    for (let i = 0; i < columns.count; i++) if (states[i] === DIFFERS && memory.isOurs(modRevisions[i] as bigint)) states[i] = OURS;
  }
  return { states, modRevisions, nothingBetween: seen === 0 };
}

/**
 * Counts and names a record that is left out for its lease.
 *
 * @param state `VANISHED` or `PAST`
 */
export function leaveOut(columns: Columns, i: number, state: number, tally: Tally, notes: NoteBook): void {
  tally.leftOut++;
  const example = showKey(keyAt(columns, i));
  if (state === PAST) notes.add('lease-deadline-past', 'keys were left out: the deadline of their lease has passed', { example });
  else {
    const message =
      'keys were left out: their lease was gone when the source was read, so they were about to go (--lease-ttl drop keeps them)';
    notes.add('lease-vanished', message, { lossy: true, example });
  }
}

/** Names the records of whose lease the source does not tell: they are written without one. */
export function noteUnknownLeases(columns: Columns, leases: TargetLeases, notes: NoteBook): void {
  for (let i = 0; i < columns.count; i++) {
    const lease = columns.leases[i] as bigint;
    if (lease === 0n || leases.table.wish(lease).kind !== 'unknown') continue;
    const message = 'keys are written without a lease: the source does not tell when theirs ends (--lease-ttl drop asks for it)';
    notes.add('lease-unknown', message, { lossy: true, example: showKey(keyAt(columns, i)) });
  }
}

/** An equal value whose lease has to be looked up. */
interface Doubt {
  readonly index: number;
  readonly lease: bigint;
}

function wanted(columns: Columns, i: number, leases: TargetLeases): number {
  const lease = columns.leases[i] as bigint;
  if (lease === 0n) return ABSENT;
  const { kind } = leases.table.wish(lease);
  return kind === 'vanished' ? VANISHED : kind === 'past' ? PAST : ABSENT;
}

function verdict(columns: Columns, i: number, kv: KeyValue, leases: TargetLeases, doubts: Doubt[]): number {
  if (!valueEquals(columns, i, kv.value)) return DIFFERS;
  const wanted = columns.leases[i] as bigint;
  const { kind } = leases.table.wish(wanted);
  // Where nothing is known of a lease, a key that has this very one is as it was.
  if (kind === 'unknown' && kv.lease === wanted) return EQUAL;
  const bare = kind === 'none' || kind === 'unknown';
  if (bare || kv.lease === 0n) return bare && kv.lease === 0n ? EQUAL : DIFFERS;
  doubts.push({ index: i, lease: kv.lease });
  return DIFFERS;
}

/** The first place in `picked`, from `p` on, whose key is not below `key`. */
function seek(columns: Columns, picked: ArrayLike<number>, p: number, key: Buffer): number {
  let at = p;
  while (at < picked.length && compareKey(columns, picked[at] as number, key) < 0) at++;
  return at;
}

/** What the target has between the first picked key and the last, or of the picked keys alone where that is less. */
async function* targetKeys(columns: Columns, picked: ArrayLike<number>, target: TargetReader): AsyncGenerator<KeyValue[]> {
  if (picked.length === 0) return;
  const span = { from: keyAt(columns, picked[0] as number), to: afterKey(keyAt(columns, picked[picked.length - 1] as number)) };
  let count: bigint | undefined;
  try {
    count = await target.count(span);
  } catch (thrown) {
    // Permission may be for the keys and not for all that lies between them.
    if (!(thrown instanceof FerryError) || thrown.code !== 'unauthorized') throw thrown;
  }
  if (count === 0n) return;
  if (count !== undefined && count <= SPARSE * BigInt(picked.length)) yield* target.read(span, 'all');
  else yield* target.readPoints(Array.from(picked, (i) => keyAt(columns, i)));
}
