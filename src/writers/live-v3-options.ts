import type { KeyMapping } from '../convert/key-mapping.js';
import type { LeaseTtlRule } from '../convert/lease-ttl.js';
import type { Note } from '../model/note.js';
import type { KeySelection } from '../model/source.js';
import type { WriteMemory } from './live-v3-memory.js';

/** What to do about a key that is in the target with another value or lease. */
export type ConflictRule = 'fail' | 'skip' | 'overwrite';

/** Keys of the target that are neither written nor removed, by their names there. */
export interface LeaveAlone {
  /** Tells the key that is `bytes` from `start` up to, not including, `end`. */
  readonly holds: (bytes: Buffer, start: number, end: number) => boolean;
  /** What the report says of them, each counted once. */
  readonly note: { readonly code: string; readonly message: string };
}

export interface RestoreV3Options {
  /** Default `fail`: nothing is written when there is any conflict. */
  readonly onConflict?: ConflictRule;
  /** Default `granted`. */
  readonly leaseTtl?: LeaseTtlRule;
  /** Also makes roles and users that are not there; never switches authentication on. */
  readonly withAuth?: boolean;
  readonly mapping?: KeyMapping;
  readonly leaveAlone?: LeaveAlone;
  /** Keys wanted, by their names in the source. */
  readonly selection?: KeySelection;
  /**
   * Removes keys of the target that the source does not have: `prefixes` under the chosen prefixes
   * (as mapped) only, and refused when there are none; `everything` in the whole keyspace.
   */
  readonly deleteExtra?: 'no' | 'prefixes' | 'everything';
  /** Told of each key that `deleteExtra` removes, or would remove in a dry run. */
  readonly onExtra?: (key: Buffer) => void;
  /** Writes nothing; the report says what would be done. */
  readonly dryRun?: boolean;
  /** Told of each key that is in the target with another value or lease, when source and target are compared. */
  readonly onConflictFound?: (key: Buffer) => void;
  /** Most puts in one transaction; 128 is what etcd allows unless told otherwise. */
  readonly maxTxnOps?: number;
  /** Most bytes in one request; 1.5 MiB, etcd's own limit, less some slack, unless given. */
  readonly maxRequestBytes?: number;
  /** Transactions in flight; default 8. */
  readonly inFlight?: number;
  /** Most bytes of keys and values to write in a second; unlimited unless given. */
  readonly limitRate?: number;
  /** The clock, in milliseconds since the Unix epoch. */
  readonly now?: () => number;
  /**
   * What earlier runs of the same work wrote: such a key is replaced when the source has changed since,
   * and removed when the source has it no more, whatever `onConflict` says.
   */
  readonly memory?: WriteMemory;
}

/** What was done; in a dry run, what would be done. */
export interface RestoreV3Report {
  readonly dryRun: boolean;
  /** Records of the source that were selected. */
  readonly records: number;
  /** Keys written that were not there. */
  readonly written: number;
  /** Keys that were there already, with the same value and lease, and were left alone. */
  readonly equal: number;
  /** Keys that were there with another value or lease and were left alone. */
  readonly skipped: number;
  /** Keys that were there with another value or lease and were replaced. */
  readonly overwritten: number;
  /** Keys left out because of their lease. */
  readonly leftOut: number;
  /** Keys of the target removed because the source does not have them. */
  readonly deleted: number;
  readonly leasesGranted: number;
  /** Leases found in the target and used again. */
  readonly leasesReused: number;
  readonly rolesAdded: number;
  readonly usersAdded: number;
  /** Transactions that wrote something. */
  readonly transactions: number;
  /** Bytes of the keys and values written. */
  readonly bytes: number;
  /** The target's revision afterwards. */
  readonly revision: bigint;
  /** The source's own notes are not among them. */
  readonly notes: readonly Note[];
}

/** A report in the making. */
export type Tally = { -readonly [K in keyof Omit<RestoreV3Report, 'dryRun' | 'notes'>]: RestoreV3Report[K] };

export function emptyTally(): Tally {
  const keys = { records: 0, written: 0, equal: 0, skipped: 0, overwritten: 0, leftOut: 0, deleted: 0 };
  const others = { leasesGranted: 0, leasesReused: 0, rolesAdded: 0, usersAdded: 0, transactions: 0, bytes: 0, revision: 0n };
  return { ...keys, ...others };
}
