import type { AuthData } from './auth.js';
import type { RecordBatch } from './batch.js';
import type { Lease } from './lease.js';
import type { Note, NoteBook } from './note.js';

export type Api = 'v2' | 'v3';

/**
 * `key`: v3 records by key bytes. `tree`: v2 nodes, parents before children, siblings by bytes.
 * `revision`: v3 records of all revisions, by revision key.
 */
export type RecordOrder = 'key' | 'tree' | 'revision';

export type SourceKind = 'live' | 'archive' | 'snapshot-file' | 'data-dir';

/** Which keys are wanted. With no prefix all are; an exclusion wins over an inclusion. */
export interface KeySelection {
  readonly prefixes: readonly Buffer[];
  readonly excludePrefixes: readonly Buffer[];
}

/** Which of Kubernetes' objects are wanted; an empty list wants all. What is wanted fulfils every list. */
export interface ObjectSelection {
  /** Kinds (`Secret`, `Deployment.apps`) or resources (`secrets`), in any case. */
  readonly kinds: readonly string[];
  readonly excludeKinds: readonly string[];
  readonly namespaces: readonly string[];
  readonly names: readonly string[];
  /** Values of `--etcd-prefix`, beside the usual ones. */
  readonly etcdPrefixes: readonly string[];
  /** Filled while records are read: those of `kinds` and `excludeKinds` that some record was of. */
  readonly seenKinds?: Set<string>;
}

/** What a choice of objects is made from. */
export interface ObjectsSeen {
  readonly selection: ObjectSelection;
  /** Some of the kinds, namespaces and names that records have: all that are needed to tell which values of the selection none has. */
  readonly kinds: ReadonlySet<string>;
  readonly namespaces: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
  /** Values of the selection's lists that no record has had so far, of those lists that choose. */
  readonly unmet: { readonly kinds: ReadonlySet<string>; readonly namespaces: ReadonlySet<string>; readonly names: ReadonlySet<string> };
  /** Whether there was any record. */
  readonly any: boolean;
}

export const EVERYTHING: KeySelection = { prefixes: [], excludePrefixes: [] };

/** An alarm of a member: a cluster restored from a file that has one begins with it. */
export interface RaisedAlarm {
  readonly memberId: bigint;
  /** `NOSPACE`, `CORRUPT`, or the number of a kind that this release does not know. */
  readonly alarm: string;
}

/** What is known of a source before its first record is read. */
export interface SourceInfo {
  readonly kind: SourceKind;
  readonly api: Api;
  readonly order: RecordOrder;
  /** The location as the user may see it: no credentials in it. */
  readonly location: string;
  /** v3: the revision all records are read at. v2: the X-Etcd-Index. */
  readonly revision: bigint;
  /** v3: the finished compaction revision, where the source tells; with `scheduledCompactRevision` kept for `order: revision`. */
  readonly compactRevision?: bigint;
  readonly scheduledCompactRevision?: bigint;
  readonly clusterId?: bigint;
  readonly memberId?: bigint;
  readonly serverVersion?: string;
  /** When the source was pinned, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly selection: KeySelection;
  /**
   * The records are all that there was of the selection. Left out where nothing tells: etcd's own files, and archives made
   * of them, may have been made of a part of the keys by whoever made them.
   */
  readonly isSelectionKnown?: boolean;
  /**
   * Of a v2 tree the hidden nodes that would be among the records if they were there: `all`, or those at and under these
   * paths as far as a listing shows them. None where it is left out: no listing from above shows any.
   */
  readonly hiddenTold?: 'all' | readonly Buffer[];
  /** Which of Kubernetes' objects were chosen besides: those that fulfil each of these; left out where nobody chose. */
  readonly objects?: readonly ObjectSelection[];
  /**
   * Notes that an archive made of this source keeps in its header, and whoever reads that archive is given again: what was
   * not checked, or could not be known, when the records were read. Never lossy.
   */
  readonly lastingNotes?: readonly Note[];
  /** Alarms raised in etcd's own file; left out where nothing tells. */
  readonly alarms?: readonly RaisedAlarm[];
  /** Number of records, where the source knows it beforehand (for progress only). */
  readonly estimatedRecords?: number;
  /**
   * Bytes of the largest record, where every record has been proven: none can turn out to be bad when
   * others were written already.
   */
  readonly largestRecord?: number;
}

/** Something records are read from, pinned to one revision. Opened by a reader, closed by its user. */
export interface Source {
  readonly info: SourceInfo;
  /** What the reader wants known; complete once `records()` has ended. */
  readonly notes: NoteBook;
  /** Every lease in use, in order of id (signed). To be read before `records()`. */
  leases(): AsyncIterable<readonly Lease[]>;
  /** A lease that a record names, where they cannot all be told beforehand; `leases()` then tells of none. */
  readonly leaseOf?: (id: bigint) => Lease | undefined;
  /**
   * Nanoseconds that the source's clock is ahead of this machine's, as far as expirations were corrected
   * for it; 0n where they were not. How far that is may be told a little differently by another reading.
   */
  readonly clockOffset?: () => bigint;
  /** Users and roles; undefined where the source has none or may not tell. */
  auth(): Promise<AuthData | undefined>;
  /** All records, once, in `info.order`. A batch's memory is the consumer's to keep. */
  records(): AsyncIterable<RecordBatch>;
  /**
   * Keys that are there whatever was selected, for whoever has to say what is near to prefixes that none begins with: all
   * of them, or some near to the prefixes. Throws `unauthorized` where they may not be read.
   */
  readonly keysNear?: (prefixes: readonly Buffer[]) => AsyncIterable<Buffer>;
  /**
   * Whether a key of this name would be among the records if there was one: that it is not means that it is gone. Left out
   * where nobody asks.
   */
  readonly speaksFor?: (name: Buffer) => boolean;
  /** What there was to choose objects from, where they are chosen; filled while records are read. */
  readonly objectsSeen?: ObjectsSeen;
  close(): Promise<void>;
}

/** A source that hands everything to another, to be spread and changed in part. */
export function delegate(source: Source): Source {
  return {
    info: source.info,
    notes: source.notes,
    leases: () => source.leases(),
    ...(source.leaseOf === undefined ? {} : { leaseOf: source.leaseOf }),
    ...(source.clockOffset === undefined ? {} : { clockOffset: source.clockOffset }),
    auth: () => source.auth(),
    records: () => source.records(),
    ...(source.keysNear === undefined ? {} : { keysNear: source.keysNear }),
    ...(source.speaksFor === undefined ? {} : { speaksFor: source.speaksFor }),
    ...(source.objectsSeen === undefined ? {} : { objectsSeen: source.objectsSeen }),
    close: () => source.close(),
  };
}

/** The same source, with something more to do when it is closed. */
export function closing(source: Source, also: () => Promise<void>): Source {
  return {
    ...delegate(source),
    close: async () => {
      await source.close();
      await also();
    },
  };
}
