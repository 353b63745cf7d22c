import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import {
  CONF_ADD_NODE,
  CONF_REMOVE_NODE,
  decodeConfChange,
  decodeEntry,
  decodeHardState,
  decodeWalMetadata,
  decodeWalSnapshot,
  ENTRY_CONF_CHANGE,
  type RaftEntry,
  type SnapshotMetadata,
  type WalMetadata,
} from '../wire/raft.js';
import { type TornTail, WAL_ENTRY, WAL_METADATA, WAL_SNAPSHOT, WAL_STATE, WalReader, type WalRecord } from '../wire/wal.js';

export interface ReplayOptions {
  /** Entries up to this place are in the state already; its term is 0n where it is not known. */
  readonly start: SnapshotMetadata;
  /** Where the start's voters are of an earlier place: changes of the membership after it, up to the start, are taken from the log. */
  readonly votersAt?: bigint;
  /** Also apply what stands in the log after the commit index. */
  readonly includeUncommitted?: boolean;
  /** Most bytes of entries to hold while it is not known whether they are committed. */
  readonly maxPendingBytes: number;
  readonly signal?: AbortSignal;
}

/** What a log turned out to hold. */
export interface ReplayReport {
  /** Who wrote it. */
  readonly metadata: WalMetadata;
  /** Up to where entries are committed: as the log tells, or further in a cluster with one voter. At least the start's index. */
  readonly commit: bigint;
  /** Index of the last entry; the start's when there is none after it. */
  readonly lastIndex: bigint;
  readonly lastTerm: bigint;
  /** Number of entries given to `apply`. */
  readonly applied: number;
  /** Number of entries after the commit index, applied or not. */
  readonly uncommitted: number;
  readonly tornTail: TornTail | undefined;
}

/** What holding an entry costs beside its data. */
const ENTRY_OVERHEAD = 200;

/**
 * Gives the entries after `start` to `apply`, in order, each once, as soon as the log says that they
 * are committed (etcd server/storage/wal/wal.go, ReadAll). An entry written again under the same
 * index replaces the first and all that followed it: it was never committed.
 *
 * The commit index on disk lags: etcd does not flush it by itself, so a killed member has
 * acknowledged more than it. Where one member has the only vote, what it has written is committed,
 * and is applied too. A member of a larger cluster cannot tell.
 *
 * @throws FerryError `damaged` when it is empty, entries are missing, a committed one is replaced, or a record
 * does not parse; `unknown-format` for a kind of record that is not known
 */
export async function replayLog(
  segments: readonly ByteSource[],
  options: ReplayOptions,
  apply: (entry: RaftEntry) => void,
): Promise<ReplayReport> {
  const reader = new WalReader(segments);
  const log = new Log(options, apply);
  for await (const run of reader.records()) {
    options.signal?.throwIfAborted();
    for (const record of run) log.take(record);
  }
  return { ...log.finish(), tornTail: reader.tornTail };
}

/**
 * The places that a log says a snapshot was taken of or received for, as far as they are committed (etcd server/storage/wal/wal.go,
 * ValidSnapshotEntries): what etcd 3.7 begins with when it starts.
 *
 * @throws FerryError `damaged` when a record does not parse
 */
export async function snapshotsInLog(segments: readonly ByteSource[], signal?: AbortSignal): Promise<SnapshotMetadata[]> {
  const found: SnapshotMetadata[] = [];
  let committed = 0n;
  for await (const run of new WalReader(segments).records()) {
    signal?.throwIfAborted();
    for (const { type, data } of run) {
      if (type === WAL_SNAPSHOT) found.push(decodeWalSnapshot(data));
      if (type === WAL_STATE) committed = decodeHardState(data).commit;
    }
  }
  return found.filter(({ index }) => index <= committed);
}

class Log {
  readonly #start: SnapshotMetadata;
  readonly #options: ReplayOptions;
  readonly #apply: (entry: RaftEntry) => void;
  #metadata: Buffer | undefined;
  #commit: bigint;
  /** Index of the last entry applied, or the start's. */
  #done: bigint;
  /** Entries after `#done`, without gaps. */
  #pending: RaftEntry[] = [];
  #pendingBytes = 0;
  #applied = 0;
  #lastTerm: bigint;
  readonly #voters: Set<bigint>;

  constructor(options: ReplayOptions, apply: (entry: RaftEntry) => void) {
    this.#start = options.start;
    this.#options = options;
    this.#apply = apply;
    this.#commit = options.start.index;
    this.#done = options.start.index;
    this.#lastTerm = options.start.term;
    this.#voters = new Set(options.start.voters);
  }

  take(record: WalRecord): void {
    switch (record.type) {
      case WAL_ENTRY:
        this.#entry(decodeEntry(record.data));
        return;
      case WAL_STATE: {
        const { commit } = decodeHardState(record.data);
        if (commit > this.#commit) this.#commit = commit;
        this.#applyUpTo(commit);
        return;
      }
      case WAL_METADATA:
        if (this.#metadata !== undefined && !this.#metadata.equals(record.data)) {
          throw new FerryError('damaged', 'the WAL holds segments of different members');
        }
        this.#metadata ??= Buffer.from(record.data);
        return;
      case WAL_SNAPSHOT: {
        const { index, term } = decodeWalSnapshot(record.data);
        if (index !== this.#start.index || term === this.#start.term || this.#start.term === 0n) return;
        throw new FerryError(
          'damaged',
          `the WAL has a snapshot at index ${index} of term ${term}, the state is of term ${this.#start.term}`,
        );
      }
      default:
        throw new FerryError('unknown-format', `the WAL holds a record of kind ${record.type}, known are 1 to 5`);
    }
  }

  #entry(entry: RaftEntry): void {
    if (entry.index <= this.#start.index) {
      if (entry.index > (this.#options.votersAt ?? this.#start.index)) this.#changeVotersBy(entry);
      return;
    }
    if (entry.index <= this.#done) {
      throw new FerryError('damaged', `the WAL replaces entry ${entry.index}, though ${this.#done} was committed before`);
    }
    const at = entry.index - this.#done - 1n;
    if (at > BigInt(this.#pending.length)) {
      const expected = this.#done + BigInt(this.#pending.length) + 1n;
      throw new FerryError('damaged', `the WAL goes from entry ${expected - 1n} to ${entry.index}: entry ${expected} is missing`, {
        hint: 'What stood for the missing ones, a database or a .snap file, may be older than this WAL.',
      });
    }
    for (const dropped of this.#pending.splice(Number(at))) this.#pendingBytes -= ENTRY_OVERHEAD + dropped.data.length;
    this.#pending.push(entry);
    this.#pendingBytes += ENTRY_OVERHEAD + entry.data.length;
    if (this.#pendingBytes > this.#options.maxPendingBytes) throw tooLarge(this.#options.maxPendingBytes);
  }

  #applyUpTo(commit: bigint): void {
    let count = 0;
    while (count < this.#pending.length && (this.#pending[count] as RaftEntry).index <= commit) count++;
    this.#applyPending(count);
  }

  #applyPending(count: number): void {
    if (count === 0) return;
    for (const entry of this.#pending.splice(0, count)) {
      this.#pendingBytes -= ENTRY_OVERHEAD + entry.data.length;
      this.#changeVotersBy(entry);
      this.#apply(entry);
      this.#done = entry.index;
      this.#lastTerm = entry.term;
      this.#applied++;
    }
  }

  /** A change that etcd refused may count here: then more seem to vote than do, and less seems committed. */
  #changeVotersBy(entry: RaftEntry): void {
    if (entry.type !== ENTRY_CONF_CHANGE) return;
    const { type, nodeId } = decodeConfChange(entry.data);
    if (type === CONF_ADD_NODE) this.#voters.add(nodeId);
    else if (type === CONF_REMOVE_NODE) this.#voters.delete(nodeId);
  }

  finish(): Omit<ReplayReport, 'tornTail'> {
    this.#applyUpTo(this.#commit);
    const lastIndex = this.#done + BigInt(this.#pending.length);
    if (this.#commit > lastIndex) {
      throw new FerryError('damaged', `the WAL says that entry ${this.#commit} is committed, but ends with entry ${lastIndex}`);
    }
    // Every segment begins with it (etcd wal.go, Create and cut).
    if (this.#metadata === undefined) throw new FerryError('damaged', 'the WAL holds no record, not even whose it is');
    const metadata = decodeWalMetadata(this.#metadata);
    while (this.#pending.length > 0 && this.#voters.size === 1 && this.#voters.has(metadata.memberId)) {
      const change = this.#pending.findIndex(({ type }) => type === ENTRY_CONF_CHANGE);
      this.#applyPending(change < 0 ? this.#pending.length : change + 1);
    }
    const uncommitted = this.#pending.length;
    let commit = this.#commit;
    if (this.#done > commit) commit = this.#done;
    const lastTerm = this.#pending.at(-1)?.term ?? this.#lastTerm;
    if (this.#options.includeUncommitted === true) this.#applyPending(uncommitted);
    return {
      metadata,
      commit,
      lastIndex,
      lastTerm,
      applied: this.#applied,
      uncommitted,
    };
  }
}

/** The error for a state that would take more memory than allowed. */
export function tooLarge(maxMemory: number): FerryError {
  return new FerryError('failed', `replaying this data dir takes more than the ${Math.floor(maxMemory / 2 ** 20)} MiB of memory allowed`, {
    hint: 'Allow more with --max-memory.',
  });
}
