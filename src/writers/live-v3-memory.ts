/**
 * What is remembered of the writes of one piece of work over several runs: which keys of the target
 * it made itself. Whatever is told here is remembered before the call returns, also when the process
 * is killed at once after it.
 */
export interface WriteMemory {
  /** Prefixes of the target that all keys of the work lie under; one that is empty is all of it. */
  readonly within: readonly Buffer[];
  /** Whether earlier runs have written anything. */
  readonly hasEarlier: boolean;
  /** Whether a key with this revision (create or mod) was so written by this work. */
  isOurs(revision: bigint): boolean;
  /** A transaction is about to be sent that puts these. */
  sends(records: readonly SentRecord[]): SentTransaction;
  /**
   * A lease is about to be granted under this id.
   *
   * @returns false when an earlier run has granted it, or was about to
   */
  grants(lease: bigint): boolean;
  /** No, that id was taken. */
  refused(lease: bigint): void;
}

/** What a transaction puts. */
export interface SentRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** A transaction whose outcome is not known until one of these is called. */
export interface SentTransaction {
  /** It was carried out, at this revision. */
  wrote(revision: bigint): void;
  /** It changed nothing. */
  failed(): void;
}
