import type { Role, User } from '../model/auth.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import type { TailChange, TailLease, V3Tail } from './v3-tail.js';

/** How what comes out of a tail differs from what else it may come to. */
export interface OutcomeDifference {
  /** Keys, as latin-1 strings, that are there in one of both alone, or with another value, version or lease. */
  readonly keys: readonly string[];
  /** Keys with other revisions and nothing else. */
  readonly shifted: readonly string[];
  /** `user alice`, `role reader`, `lease 1001`: what else differs. */
  readonly others: readonly string[];
}

interface Outcome {
  readonly tail: V3Tail;
  /** Index in the log of the entry that kills etcd. */
  readonly fatalIndex: bigint | undefined;
}

/** @returns undefined where both are the same, revision for revision */
export function differences(one: Outcome, other: Outcome): OutcomeDifference | undefined {
  const [changes, otherChanges] = [one.tail.changes, other.tail.changes];
  const isSame = changes.length === otherChanges.length && changes.every((change, i) => isSameChange(change, otherChanges[i]));
  const { keys, shifted } = isSame ? { keys: [], shifted: [] } : keyDifferences(changes, otherChanges);
  const others = [...authDifferences(one.tail, other.tail), ...leaseDifferences(one.tail, other.tail)];
  if (one.tail.compactRevision !== other.tail.compactRevision) others.push('the revision up to which is compacted');
  if (one.fatalIndex !== other.fatalIndex) others.push(`whether etcd dies of entry ${one.fatalIndex ?? other.fatalIndex}`);
  if (isSame && others.length === 0) return undefined;
  return { keys, shifted, others };
}

function isSameChange(a: TailChange, b: TailChange | undefined): boolean {
  return b !== undefined && a.main === b.main && a.sub === b.sub && a.tombstone === b.tombstone && a.record.equals(b.record);
}

function keyDifferences(changes: readonly TailChange[], others: readonly TailChange[]): Pick<OutcomeDifference, 'keys' | 'shifted'> {
  const [last, otherLast] = [lastChanges(changes), lastChanges(others)];
  const [keys, shifted]: [string[], string[]] = [[], []];
  for (const key of new Set([...last.keys(), ...otherLast.keys()])) {
    const [a, b] = [last.get(key), otherLast.get(key)];
    if (a !== undefined && isSameChange(a, b)) continue;
    if (a !== undefined && b !== undefined && holdTheSame(a, b)) shifted.push(key);
    else keys.push(key);
  }
  return { keys, shifted };
}

/** By key, as a latin-1 string. */
function lastChanges(changes: readonly TailChange[]): Map<string, TailChange> {
  return new Map(changes.map((change) => [decodeKeyValue(change.record).key.toString('latin1'), change]));
}

function holdTheSame(a: TailChange, b: TailChange): boolean {
  const [one, other] = [decodeKeyValue(a.record), decodeKeyValue(b.record)];
  const isSame = one.version === other.version && one.lease === other.lease && one.value.equals(other.value);
  return isSame && a.tombstone === b.tombstone;
}

function authDifferences(one: V3Tail, other: V3Tail): string[] {
  const [a, b] = [one.auth.data(), other.auth.data()];
  const found = a?.enabled === b?.enabled ? [] : ['whether authentication is on'];
  const text = (named: User | Role | undefined): string => JSON.stringify(named) ?? '';
  const compare = (kind: string, some: readonly (User | Role)[], others: readonly (User | Role)[]): void => {
    const of = (list: readonly (User | Role)[], name: string): string => text(list.find((item) => item.name === name));
    for (const name of new Set([...some, ...others].map((item) => item.name))) {
      if (of(some, name) !== of(others, name)) found.push(`${kind} ${name}`);
    }
  };
  compare('user', a?.users ?? [], b?.users ?? []);
  compare('role', a?.roles ?? [], b?.roles ?? []);
  return found;
}

function leaseDifferences(one: V3Tail, other: V3Tail): string[] {
  const text = (lease: TailLease | undefined): string => `${lease?.ttl} ${lease?.remainingTtl}`;
  const found: string[] = [];
  for (const id of new Set([...one.leases.keys(), ...other.leases.keys()])) {
    const isSame = one.leases.has(id) === other.leases.has(id) && text(one.leases.get(id)) === text(other.leases.get(id));
    if (!isSame) found.push(`lease ${BigInt.asUintN(64, id).toString(16)}`);
  }
  return found;
}
