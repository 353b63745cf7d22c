import type { Source } from '../model/source.js';
import type { EntryRun } from '../wire/bbolt-writer.js';

export const LARGEST_REVISION: bigint = 2n ** 63n - 1n;
/** A revision is raised no further than this: etcd counts on from there, and its revisions are signed integers of 64 bits. */
export const LARGEST_RAISED_REVISION: bigint = 2n ** 62n;

export interface RecordLogOptions {
  /** An existing directory for what does not fit `sortBudget`. */
  readonly tmpDir: string;
  /** Bytes of memory to sort in. */
  readonly sortBudget?: number;
}

/**
 * What becomes etcd's `key` bucket: each record is a revision key and its `mvccpb.KeyValue`, in
 * order of the revision keys. To be closed in any case.
 */
export interface RecordLog extends AsyncDisposable {
  /** The latest main revision met. */
  readonly lastRevision: bigint;
  /** Records written. */
  readonly records: number;
  /** @throws FerryError `damaged` for a record that does not parse or has no revision; what the source throws */
  fill(source: Source): Promise<void>;
  /** The same each time it is asked for. */
  entries(): AsyncGenerator<EntryRun>;
  /** As `entries`, where of the values nothing but their lengths need be there. */
  planned(): AsyncGenerator<EntryRun>;
}
