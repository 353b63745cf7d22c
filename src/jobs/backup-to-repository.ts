import type { ArchiveAccount } from '../archive/account.js';
import { packArchive } from '../archive/pack.js';
import { FerryError } from '../errors.js';
import type { SealWith } from '../locations/age-keys.js';
import { openRepository, type RepositoryRequest } from '../locations/repository.js';
import { openSource, type SourceRequest } from '../locations/source.js';
import type { ByteSink } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import type { AgeRecipients } from '../storage/age-header.js';
import { checkName } from '../storage/archive-name.js';
import type { NewArchive } from '../storage/new-archive.js';
import type { Repository, StoredArchive } from '../storage/repository.js';
import type { HeldLock } from '../storage/repository-lock.js';
import { summaryOfAccount } from '../storage/stored-summary.js';
import { againWhenCompacted } from './again.js';
import type { BackupReport } from './backup.js';
import { refuseImpossible, requireSelected } from './nothing-selected.js';
import { soundRecords } from './sound-records.js';
import { unchangedSince } from './unchanged.js';

/** A new archive in a repository. */
export interface RepositoryTarget extends RepositoryRequest {
  /** NAME of the archive. */
  readonly name: string;
  /** Whom the archive is encrypted for. */
  readonly seal?: SealWith;
  /** Write nothing when nothing changed since the newest archive of that NAME, or since one of that very moment. */
  readonly skipUnchanged: boolean;
  /** How long to wait for a lock, in milliseconds. */
  readonly wait?: number;
  /** Read everything, write nothing. */
  readonly dryRun: boolean;
}

export interface RepositoryBackupOptions {
  readonly from: SourceRequest;
  readonly to: RepositoryTarget;
  readonly compress: 'gzip' | 'zstd';
  /** Version of this tool, for the archive's header. */
  readonly toolVersion: string;
}

/** All that one try needs. */
interface Run {
  readonly repository: Repository;
  readonly lock: HeldLock;
  readonly recipients: AgeRecipients | undefined;
  readonly options: RepositoryBackupOptions;
  readonly run: RunContext;
}

/**
 * Reads a source into a new archive of a repository, beside backups of other NAMEs. It is done when the
 * stored bytes were read back and are those that were written.
 *
 * @throws FerryError `locked` while another backup of that NAME or a prune runs; as source, archive and
 *   repository do; `compacted` when the revision was compacted away again and again
 */
export async function backupToRepository(options: RepositoryBackupOptions, run: RunContext): Promise<BackupReport> {
  const { from, to } = options;
  checkName(to.name);
  refuseImpossible(from);
  // Told before anything is made: what the recipients' files hold may be none.
  const recipients = to.seal === undefined ? undefined : await (await import('../locations/age-keys.js')).readRecipients(to.seal);
  const mayStartAgain = from.revision === undefined;
  if (to.dryRun) return againWhenCompacted((restarts) => tryOut(options, restarts, run), mayStartAgain, run);
  await using repository = await openRepository(to, run);
  const doing = { doing: 'backup', ...(to.wait === undefined ? {} : { wait: to.wait }) };
  await using lock = await repository.lock({ kind: 'shared', name: to.name }, doing, run);
  const guarded = { ...run, signal: AbortSignal.any([run.signal, lock.signal]) };
  const all = { repository, lock, recipients, options, run: guarded };
  // Awaited here: what is returned unawaited would run on when lock and repository are let go.
  return await againWhenCompacted((restarts) => backupOnce(all, restarts), mayStartAgain, run);
}

async function backupOnce(all: Run, restarts: number): Promise<BackupReport> {
  const { repository, options, run, recipients } = all;
  const { from, to } = options;
  const source = requireSelected(await openSource(from, run), from, run);
  try {
    const { startedAt, revision } = source.info;
    const name = { name: to.name, time: startedAt, revision, encrypted: recipients !== undefined };
    const archive = await repository.create(name, run).catch((thrown: unknown) => {
      // An archive carried in once more has its own time, and so a name that is taken: it may be unchanged all the same.
      if (to.skipUnchanged && thrown instanceof FerryError && thrown.code === 'in-the-way') return thrown;
      throw thrown;
    });
    const done = archive instanceof FerryError ? await skip(all, source, archive) : await write(all, source, archive);
    const place = repository.locationOf(done.stored);
    return { source: source.info, ...done, to: place, dryRun: false, restarts, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}

type Done = Pick<Required<BackupReport>, 'archive' | 'stored'>;

async function write(all: Run, source: Source, archive: NewArchive): Promise<Done> {
  const { repository, lock, options, run, recipients } = all;
  const { name, skipUnchanged } = options.to;
  try {
    const sink = recipients === undefined ? archive : await (await import('../locations/age-keys.js')).sealed(archive, recipients);
    const account = await pack(source, sink, options, run);
    run.signal.throwIfAborted();
    const same = skipUnchanged ? await unchanged(all, source, account) : undefined;
    if (same !== undefined) {
      await archive.abort();
      return same;
    }
    await lock.check();
    await sink.finish();
    const { stored, file } = archive;
    await repository.describe(archive, { ...summaryOfAccount(account, stored), verified: { bytes: Date.now() } });
    return { archive: account, stored: { name, file, unchanged: false, ...stored } };
  } catch (thrown) {
    await archive.abort();
    throw thrown;
  }
}

/** @throws what refused the name, unless nothing changed */
async function skip(all: Run, source: Source, refused: FerryError): Promise<Done> {
  const { options, run } = all;
  const account = await pack(source, nowhere(options), options, run);
  run.signal.throwIfAborted();
  const same = await unchanged(all, source, account);
  if (same === undefined) throw refused;
  return same;
}

/** Keeps that nothing changed since an archive that is there, if that is so. */
async function unchanged({ repository, options, run }: Run, { info, notes }: Source, account: ArchiveAccount): Promise<Done | undefined> {
  const onDamaged = ({ file }: StoredArchive): void => {
    notes.add('archive-damaged', 'an archive that holds the same is damaged, and is no reason to write nothing', { example: file });
  };
  const same = await unchangedSince({ repository, options, account, onDamaged, run });
  if (same === undefined) return undefined;
  await repository.markUnchanged(same.archive, info.startedAt);
  const { size, sha256 } = same.summary;
  return { archive: account, stored: { name: options.to.name, file: same.archive.file, unchanged: true, size, sha256 } };
}

async function tryOut(options: RepositoryBackupOptions, restarts: number, run: RunContext): Promise<BackupReport> {
  const { from, to } = options;
  const source = requireSelected(await openSource(from, run), from, run);
  try {
    const archive = await pack(source, nowhere(options), options, run);
    return { source: source.info, archive, to: to.location.text, dryRun: true, restarts, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}

function nowhere({ to }: RepositoryBackupOptions): ByteSink {
  const done = async (): Promise<void> => {};
  return { name: to.location.text, write: done, finish: done, abort: done };
}

function pack(
  source: Source,
  sink: ByteSink,
  { from, compress, toolVersion }: RepositoryBackupOptions,
  run: RunContext,
): Promise<ArchiveAccount> {
  return packArchive(soundRecords(source), sink, { compress, toolVersion, options: from.via === undefined ? {} : { via: from.via } }, run);
}
