import { parseFileMark } from '../archive/file-mark.js';
import { FerryError } from '../errors.js';
import { type AuthData, authAsStored } from '../model/auth.js';
import type { RecordBatch } from '../model/batch.js';
import type { ByteSource } from '../model/bytes.js';
import { hasVanished, type Lease } from '../model/lease.js';
import { type Note, NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type KeySelection, type Source, type SourceInfo } from '../model/source.js';
import { intersectSelections } from '../selection/select.js';
import { RecordSorter } from '../sort/sorter.js';
import { type BackendView, EtcdBackend } from '../wire/backend.js';
import { keysOf } from '../wire/keyvalue.js';
import { findKeyValueKey } from '../wire/keyvalue-scan.js';
import { hasTrailer, proveTrailer } from '../wire/snapshot-trailer.js';
import { ALWAYS_AT_REST, type AtRest, watchFile, whileAtRest } from './at-rest.js';
import { noteAlarms, readAlarms } from './snapshot-file-alarms.js';
import { historyOf } from './snapshot-file-history.js';
import { keyspaceInto, usedLeasesOf } from './snapshot-file-keyspace.js';
import { leasesInUse, UsedLeases } from './snapshot-file-leases.js';
import { notePages } from './snapshot-file-pages.js';
import { chosenRevision } from './snapshot-file-revision.js';

/**
 * `required`: it must be there and right. `if-there`: a file without one is read, noting that nothing proves it whole; a
 * wrong one is damage all the same. `unchecked`: nobody looks, since it was checked already, or the file never has one.
 */
export type HashCheck = 'required' | 'if-there' | 'unchecked';

const NOT_PROVEN: Note = {
  code: 'hash-not-checked',
  message: 'read with --skip-hash-check: nothing proves that the file was whole',
  count: 1,
  examples: [],
  lossy: false,
};

export interface SnapshotFileOptions {
  /** The location as the user may see it. */
  readonly location: string;
  readonly selection: KeySelection;
  /** Where the file lies, by any of its names: it is read only while no process has it locked, and as long as it does not change. */
  readonly path?: string;
  /** The revision to read at; the latest unless given. */
  readonly revision?: bigint;
  /** What is asked of the SHA-256 at the file's end; `required` unless given. */
  readonly hash?: HashCheck;
  /** Every revision that the file holds, in `order: revision`, deletions too. */
  readonly history?: boolean;
  /** An existing directory for what does not fit `sortBudget`. */
  readonly tmpDir: string;
  /** Bytes of memory to sort in; 64 MiB unless given. */
  readonly sortBudget?: number;
  /**
   * Also walks every tree of the file and checks its free list: anything wrong there is damage, as bbolt's own check has it.
   * Else a free list that is wrong is noted, and read past.
   */
  readonly checkPages?: boolean;
  /** `data-dir` when the file is a stopped member's, `live` when a cluster has just given it; `snapshot-file` unless given. */
  readonly kind?: 'snapshot-file' | 'data-dir' | 'live';
}

/** What is known of a file beyond what etcd keeps in it. */
type Origin = Partial<Pick<SourceInfo, 'selection' | 'objects' | 'isSelectionKnown' | 'lastingNotes'>>;

/**
 * Opens etcd's own file: a snapshot, or with `hash` another than `required` a `member/snap/db` that no server has
 * open. The source closes `bytes` when it is closed; until this resolves they are the caller's.
 * Its SHA-256 is checked while the log is read, and before anything is given.
 *
 * A lease in a file starts again when a server loads it, so its TTL counts from now.
 *
 * @throws FerryError `damaged`, also when it changes while it is read; `usage` when a process holds a lock on it;
 * `unknown-format`, `compacted`, `future-revision`
 */
export async function openSnapshotFile(bytes: ByteSource, options: SnapshotFileOptions, run: RunContext): Promise<Source> {
  const watch = options.path === undefined ? ALWAYS_AT_REST : await watchFile(bytes, options.path, run.warn);
  const isFile = options.kind === undefined || options.kind === 'snapshot-file';
  const [backend, origin] = await whileAtRest(watch, async () => {
    const opened = await EtcdBackend.open(bytes);
    return [opened, isFile ? await originOf(opened) : {}] as const;
  });
  return openBackend(bytes, backend, options, run, watch, origin);
}

/** What the mark of ours tells, if the file is still as we wrote it: an etcd that was started on it owns it since. */
async function originOf(backend: EtcdBackend): Promise<Origin> {
  const mark = await backend.mark();
  if (mark === undefined) return {};
  const { txid, ...origin } = parseFileMark(mark, `${backend.bolt.source.name}: the mark of etcdferry in it`);
  return txid === backend.bolt.meta.txid ? origin : {};
}

/**
 * As `openSnapshotFile`, for a backend that is open already: with the tail of a WAL, where the file
 * is a stopped member's.
 *
 * @param bytes the file that the backend reads
 * @param watch of what is read, from before it was opened
 */
export async function openBackend(
  bytes: ByteSource,
  backend: BackendView,
  options: SnapshotFileOptions,
  run: RunContext,
  watch: AtRest = ALWAYS_AT_REST,
  origin: Origin = {},
): Promise<Source> {
  const revision = chosenRevision(backend, options.revision, backend.compacted);
  const alarms = await whileAtRest(watch, () => readAlarms(backend, options.checkPages === true));
  const info = { ...infoOf(backend, revision, options, origin), ...(alarms === undefined ? {} : { alarms }) };
  return new SnapshotFileSource(bytes, backend, info, options, run, watch);
}

class SnapshotFileSource implements Source {
  readonly info: SourceInfo;
  readonly notes = new NoteBook();
  readonly #bytes: ByteSource;
  readonly #backend: BackendView;
  readonly #options: SnapshotFileOptions;
  readonly #run: RunContext;
  readonly #watch: AtRest;
  readonly #closed = new AbortController();
  readonly #used: UsedLeases;
  /**
   * Whether a lease that is not in the file is gone: so it is of a key at an earlier revision. A key of the
   * latest would go with its lease, so nothing is known of it, and etcd lets the key stay. Of a history
   * only those still used matter.
   */
  readonly #keepsVanished: boolean;
  readonly #sorter: RecordSorter | undefined;
  #proof: Promise<void> | undefined;
  #prepared: Promise<void> | undefined;

  constructor(bytes: ByteSource, backend: BackendView, info: SourceInfo, options: SnapshotFileOptions, run: RunContext, watch: AtRest) {
    this.#bytes = bytes;
    this.#watch = watch;
    this.#backend = backend;
    this.#options = options;
    this.#run = { ...run, signal: AbortSignal.any([run.signal, this.#closed.signal]) };
    this.#used = new UsedLeases(options.tmpDir, this.#run);
    this.#sorter = options.history === true ? undefined : keySorter(bytes, options, this.#run);
    this.#keepsVanished = options.history !== true && info.revision < backend.revision;
    this.info = info;
    this.notes.merge(this.info.lastingNotes ?? []);
    noteAlarms(this.notes, this.info.alarms);
  }

  async *leases(): AsyncGenerator<readonly Lease[]> {
    await this.#prepare();
    for await (const leases of leasesInUse(this.#backend, this.#used, this.info.startedAt)) {
      const kept = this.#keepsVanished ? leases : leases.filter((lease) => !hasVanished(lease));
      for (const lease of this.#sorter === undefined ? [] : leases.filter(hasVanished)) {
        this.notes.add('lease-not-in-file', 'keys refer to a lease that is not in the file', {
          ...{ lossy: true, example: BigInt.asUintN(64, lease.id).toString(16) },
        });
      }
      if (kept.length > 0) yield kept;
    }
  }

  async auth(): Promise<AuthData | undefined> {
    await this.#prove();
    const auth = await whileAtRest(this.#watch, () => this.#backend.auth());
    await this.#watch.check();
    return auth === undefined ? undefined : authAsStored(auth);
  }

  async *records(): AsyncGenerator<RecordBatch> {
    await this.#prepare();
    if (this.#sorter !== undefined) yield* this.#sorter.batches();
    else yield* this.#history();
    await whileAtRest(this.#watch, () => notePages(this.#backend, this.notes, this.#options.checkPages === true, this.#run.signal));
    // Nothing kept a process from opening the file meanwhile.
    await this.#watch.check();
  }

  /** Sorts the log once more, whatever was selected. */
  readonly keysNear = async function* (this: SnapshotFileSource): AsyncGenerator<Buffer> {
    const sorter = keySorter(this.#bytes, this.#options, this.#run);
    const used = new UsedLeases(this.#options.tmpDir, this.#run);
    try {
      await keyspaceInto(this.#backend, { revision: this.info.revision, selection: EVERYTHING }, sorter, used, this.#run);
      for await (const batch of sorter.batches()) yield* keysOf(batch);
    } finally {
      await sorter.close();
      await used.close();
    }
  }.bind(this);

  async close(): Promise<void> {
    this.#closed.abort(new FerryError('interrupted', `${this.#bytes.name}: closed while it was read`));
    await Promise.allSettled([this.#proof, this.#prepared]);
    await this.#sorter?.close();
    await this.#used.close();
    await this.#bytes.close();
  }

  /** Once: reads the log, sorts it, and knows the leases in use; meanwhile the file is proven. */
  #prepare(): Promise<void> {
    this.#prepared ??= whileAtRest(this.#watch, () => this.#readLog());
    return this.#prepared;
  }

  async #readLog(): Promise<void> {
    const proof = this.#prove();
    const log = { revision: this.info.revision, selection: this.#options.selection };
    if (this.#sorter === undefined) await usedLeasesOf(this.#backend, log, this.#used, this.#run);
    else await keyspaceInto(this.#backend, log, this.#sorter, this.#used, this.#run);
    await this.#used.finish();
    await proof;
    await this.#watch.check();
  }

  async *#history(): AsyncGenerator<RecordBatch> {
    const log = { revision: this.info.revision, selection: this.#options.selection };
    try {
      yield* historyOf(this.#backend, log, this.#run);
    } catch (thrown) {
      await whileAtRest(this.#watch, () => Promise.reject(thrown));
    }
  }

  #prove(): Promise<void> {
    this.#proof ??= proveHash(this.#bytes, this.#options.hash, this.#run.signal);
    // Whoever waits for it is told; nobody may.
    this.#proof.catch(() => {});
    return this.#proof;
  }
}

/**
 * Checks a file's SHA-256 as far as it is asked for.
 *
 * @throws FerryError `damaged` when it is wrong, or required and missing
 */
export async function proveHash(bytes: ByteSource, hash: HashCheck = 'required', signal: AbortSignal): Promise<void> {
  if (hash === 'unchecked' || (hash === 'if-there' && !hasTrailer(bytes.size))) return;
  await proveTrailer(bytes, signal);
}

function infoOf(backend: BackendView, revision: bigint, options: SnapshotFileOptions, origin: Origin): SourceInfo {
  const { finishedCompactRevision, scheduledCompactRevision } = backend.meta;
  const { selection = EVERYTHING, isSelectionKnown = options.kind === 'live', objects } = origin;
  const notes = [...(origin.lastingNotes ?? []), ...(options.hash === 'if-there' ? [NOT_PROVEN] : [])];
  return {
    kind: options.kind ?? 'snapshot-file',
    api: 'v3',
    order: options.history === true ? 'revision' : 'key',
    location: options.location,
    revision,
    ...(finishedCompactRevision === undefined ? {} : { compactRevision: finishedCompactRevision }),
    ...(scheduledCompactRevision === undefined || options.history !== true ? {} : { scheduledCompactRevision }),
    startedAt: Date.now(),
    selection: intersectSelections(selection, options.selection),
    ...(isSelectionKnown ? { isSelectionKnown } : {}),
    ...(objects === undefined ? {} : { objects }),
    ...(notes.length === 0 ? {} : { lastingNotes: notes }),
  };
}

/** Sorts the log by key: of each key the last change is kept, and none of one that was deleted. */
function keySorter(bytes: ByteSource, options: SnapshotFileOptions, run: RunContext): RecordSorter {
  const range = { start: 0, end: 0 };
  const isDeletion = (record: Buffer, start: number, end: number): boolean => {
    findKeyValueKey(record, start, end, range);
    return range.end === end;
  };
  return new RecordSorter(
    {
      findKey: findKeyValueKey,
      dropOlder: true,
      hides: isDeletion,
      tmpDir: options.tmpDir,
      expectedBytes: bytes.size,
      ...(options.sortBudget === undefined ? {} : { budget: options.sortBudget }),
    },
    run,
  );
}
