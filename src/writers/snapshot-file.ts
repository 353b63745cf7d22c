import { encodeFileMark } from '../archive/file-mark.js';
import { FerryError } from '../errors.js';
import type { AuthData } from '../model/auth.js';
import type { ByteSink } from '../model/bytes.js';
import { type Note, NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { Source, SourceInfo } from '../model/source.js';
import { type BucketContent, planBoltFile, WRITTEN_TXID, writeBoltFile } from '../wire/bbolt-writer.js';
import { passingSha256 } from '../wire/sha256-apart.js';
import { authBuckets, markBucket, metaBucket } from './snapshot-file-buckets.js';
import { HistoryLog } from './snapshot-file-history.js';
import { LeaseBucket } from './snapshot-file-leases.js';
import { LARGEST_RAISED_REVISION, LARGEST_REVISION, type RecordLog } from './snapshot-file-log.js';
import { KeyspaceLog } from './snapshot-file-records.js';

const DEFAULT_PAGE_SIZE = 4096;

export interface WriteSnapshotOptions {
  /** Also writes users, roles and whether authentication is on; default false. */
  readonly withAuth?: boolean;
  /**
   * How much the revision is raised, so that no watcher sees it run backwards; with `markCompacted`
   * only, as etcdutl has it.
   */
  readonly bumpRevision?: bigint;
  /** Says that all revisions up to the raised one are compacted; needed for `bumpRevision`. */
  readonly markCompacted?: boolean;
  /** An existing directory for what does not fit `sortBudget`. */
  readonly tmpDir: string;
  /** Bytes of memory to sort in; 64 MiB unless given. */
  readonly sortBudget?: number;
  /** Bytes of a page, a power of two; 4096 unless given. */
  readonly pageSize?: number;
  /** The clock, in milliseconds since the Unix epoch. */
  readonly now?: () => number;
}

/** What a snapshot file was written with. */
export interface WriteSnapshotReport {
  /** Records written: with history, deletions too. */
  readonly records: number;
  readonly leases: number;
  readonly users: number;
  readonly roles: number;
  /** Revision that a server started from the file has. */
  readonly revision: bigint;
  /** Size of the file in bytes, its SHA-256 included. */
  readonly bytes: number;
  readonly notes: readonly Note[];
}

/**
 * Writes a snapshot file that `snapshot restore` of etcd 3.4 and later takes: create and mod
 * revisions, versions and leases are kept. Of a source of `order: key` the file holds the keys as
 * they are, all earlier revisions marked as compacted; one of `order: revision` is kept change by
 * change, with its compaction revisions, so that HashKV is the same. A mark in a bucket of its own keeps what the source
 * was made of, for whoever restores from the file later.
 *
 * Written from first byte to last; the sink is finished, or in any failure aborted.
 *
 * @throws FerryError `usage` for a v2 source or options that do not go together; what source and sink throw
 */
export async function writeSnapshotFile(
  source: Source,
  sink: ByteSink,
  options: WriteSnapshotOptions,
  run: RunContext,
): Promise<WriteSnapshotReport> {
  try {
    checkOptions(source, options);
    const notes = new NoteBook();
    await using leases = new LeaseBucket(options, run, notes);
    await leases.fill(source);
    await using log: RecordLog = source.info.order === 'revision' ? new HistoryLog(options, run) : new KeyspaceLog(options, run);
    // Changes long past name leases that are gone; what they leave behind is as it was.
    await log.fill(source.info.order === 'revision' ? source : leases.noting(source));
    const auth = options.withAuth === true ? await source.auth() : undefined;
    noteAuth(auth, options, notes);
    const revision = revisionOf(source, log, options);
    const buckets = [
      ...(auth === undefined ? [] : authBuckets(auth)),
      markBucket(encodeFileMark(source.info, WRITTEN_TXID)),
      { name: 'key', entries: () => log.entries(), planned: () => log.planned() },
      { name: 'lease', entries: () => leases.entries() },
      metaBucket(compactRevisions(source, revision, options)),
    ];
    const bytes = await writeSealed(sink, options.pageSize ?? DEFAULT_PAGE_SIZE, buckets);
    await sink.finish();
    notes.merge(source.notes.list());
    return {
      ...{ records: log.records, leases: leases.count, users: auth?.users.length ?? 0, roles: auth?.roles.length ?? 0 },
      ...{ revision, bytes, notes: notes.list() },
    };
  } catch (thrown) {
    await sink.abort();
    throw FerryError.from(thrown, `writing ${sink.name}`);
  }
}

function checkOptions({ info }: Source, { bumpRevision = 0n, markCompacted = false }: WriteSnapshotOptions): void {
  if (info.api !== 'v3' || info.order === 'tree') {
    throw new FerryError('usage', `${info.location}: holds a v2 tree, and a snapshot file holds v3 keys`, { hint: 'Use migrate.' });
  }
  if (bumpRevision < 0n) throw new FerryError('usage', `a revision cannot be raised by ${bumpRevision}`);
  if (bumpRevision > 0n !== markCompacted) {
    throw new FerryError('usage', '--bump-revision and --mark-compacted go together', {
      hint: 'Give both: revisions between the old one and the raised one hold nothing.',
    });
  }
  checkRevision(info, info.revision, bumpRevision);
}

/**
 * Refuses what would be no revision, or would leave etcd no room to count on.
 *
 * @throws FerryError `usage` where it is raised too far, `damaged` where the source says it
 */
function checkRevision({ location }: SourceInfo, revision: bigint, bumpRevision: bigint): void {
  if (revision > LARGEST_REVISION) {
    throw new FerryError('damaged', `${location}: says it is at revision ${revision}; the largest that etcd has is ${LARGEST_REVISION}`);
  }
  if (bumpRevision === 0n || revision + bumpRevision <= LARGEST_RAISED_REVISION) return;
  const most = LARGEST_RAISED_REVISION - revision;
  throw new FerryError('usage', `revision ${revision} raised by ${bumpRevision} leaves etcd too few revisions to go on with`, {
    hint: most > 0n ? `Raise it by ${most} at most; 1000000000 is usual.` : 'Restore it without --bump-revision.',
  });
}

/** The source's revision, or what is later in it, raised as asked. */
function revisionOf({ info }: Source, log: RecordLog, { bumpRevision = 0n }: WriteSnapshotOptions): bigint {
  const latest = [info.revision, info.order === 'revision' ? (info.scheduledCompactRevision ?? 0n) : 0n, log.lastRevision];
  let revision = 1n;
  for (const one of latest) if (one > revision) revision = one;
  checkRevision(info, revision, bumpRevision);
  return revision + bumpRevision;
}

/**
 * A file that holds the keys as they are at one revision says that all before it is compacted: a
 * server then has that revision even if the last change was a deletion, and does not answer for
 * revisions it knows nothing of.
 */
function compactRevisions({ info }: Source, revision: bigint, options: WriteSnapshotOptions): { finished?: bigint; scheduled?: bigint } {
  if (info.order === 'key' || options.markCompacted === true) return { finished: revision, scheduled: revision };
  const { compactRevision, scheduledCompactRevision } = info;
  return {
    ...(compactRevision === undefined ? {} : { finished: compactRevision }),
    ...(scheduledCompactRevision === undefined ? {} : { scheduled: scheduledCompactRevision }),
  };
}

function noteAuth(auth: AuthData | undefined, { withAuth = false }: WriteSnapshotOptions, notes: NoteBook): void {
  if (!withAuth) return;
  if (auth === undefined) {
    notes.add('no-auth-in-source', 'users and roles were asked for, and the source gives none');
    return;
  }
  for (const user of auth.users) {
    if (user.passwordHash !== undefined || user.noPassword === true) continue;
    notes.add('user-without-password', 'users have no password until they are given one: the source does not tell it', {
      example: user.name,
    });
  }
}

/** Writes the file and its SHA-256 behind it, as `etcdctl snapshot save` leaves it. */
async function writeSealed(sink: ByteSink, pageSize: number, buckets: readonly BucketContent[]): Promise<number> {
  const plan = await planBoltFile(pageSize, buckets);
  await using hash = passingSha256(plan.pages * pageSize);
  const write = async (chunk: Buffer): Promise<void> => {
    await hash.update(chunk);
    await sink.write(chunk);
  };
  const size = await writeBoltFile(write, pageSize, buckets, plan);
  const digest = await hash.digest();
  await sink.write(digest);
  return size + digest.length;
}
