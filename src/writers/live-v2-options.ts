import type { KeyMapping } from '../convert/key-mapping.js';
import type { Note } from '../model/note.js';
import type { KeySelection } from '../model/source.js';

/** What to do about a node that is in the target with another value, kind or expiration. */
export type V2ConflictRule = 'fail' | 'skip' | 'overwrite';

export interface RestoreV2Options {
  /** Default `fail`: nothing is written when there is any conflict. */
  readonly onConflict?: V2ConflictRule;
  readonly mapping?: KeyMapping;
  /** Prefixes of paths wanted, by their names in the source. */
  readonly selection?: KeySelection;
  /** Writes nothing; the report says what would be done. */
  readonly dryRun?: boolean;
  /** Requests in flight; default 32. */
  readonly inFlight?: number;
  /** Where the target's tree and what is to be written are kept meanwhile; the system's unless given. */
  readonly tmpDir?: string;
  /** The clock, in milliseconds since the Unix epoch. */
  readonly now?: () => number;
  /** Which files of the target `onTarget` is to be told the number of, by path; all unless given. */
  readonly counted?: (path: Buffer) => boolean;
  /** Told what the target's tree was before anything is written. */
  readonly onTarget?: (seen: SeenTree) => void;
  /** How far apart ends may be that are the same, in nanoseconds; two seconds unless given. */
  readonly tolerance?: bigint;
  /** Told of every node that the target lacks, or has otherwise: for who compares in a dry run. */
  readonly onDifference?: (path: Buffer, what: NodeDifference) => void;
}

/** How a node of the target differs: it is not there, holds something else, or ends at another time. */
export type NodeDifference = 'missing' | 'value' | 'lease';

/** A target's tree as it was read. */
export interface SeenTree {
  /** Undefined where the server does not say it (2.0). */
  readonly clusterId: bigint | undefined;
  readonly files: number;
  /** The store's index it was read at. */
  readonly index: bigint;
}

/** What was done; in a dry run, what would be done. */
export interface RestoreV2Report {
  readonly dryRun: boolean;
  /** Nodes of the source that were selected. */
  readonly records: number;
  /** Nodes made that were not there. */
  readonly written: number;
  /** Nodes that were there already, the same, and were left alone. */
  readonly equal: number;
  /** Nodes that were there, but not the same, and were left alone. */
  readonly skipped: number;
  /** Nodes that were there, but not the same, and were replaced. */
  readonly overwritten: number;
  /** Nodes left out: expired, or with a path no v2 tree can hold. */
  readonly leftOut: number;
  /** Bytes of the paths and values written. */
  readonly bytes: number;
  readonly notes: readonly Note[];
}

/** A report in the making. */
export type V2Tally = { -readonly [K in keyof Omit<RestoreV2Report, 'dryRun' | 'notes'>]: RestoreV2Report[K] };

export function emptyV2Tally(): V2Tally {
  return { records: 0, written: 0, equal: 0, skipped: 0, overwritten: 0, leftOut: 0, bytes: 0 };
}
