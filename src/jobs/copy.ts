import { FerryError, worstExit } from '../errors.js';
import { openRepository, type RepositoryRequest } from '../locations/repository.js';
import type { RunContext } from '../model/run.js';
import type { NewArchive } from '../storage/new-archive.js';
import { emptyRepository, type Repository, type StoredArchive } from '../storage/repository.js';
import type { HeldLock } from '../storage/repository-lock.js';
import type { StoredSummary } from '../storage/stored-summary.js';
import { ofNames } from './prune.js';

export interface CopyOptions {
  readonly from: RepositoryRequest;
  readonly to: RepositoryRequest;
  /** Only archives of these NAMEs; all when there are none. */
  readonly names: readonly string[];
  /** How long to wait for a lock, in milliseconds. */
  readonly wait?: number;
  /** Say what would be copied, write nothing. */
  readonly dryRun: boolean;
}

/** What became of one archive. `there`: the same bytes are in the target already; `damaged`: the target's is known not to be whole. */
export interface CopiedArchive {
  readonly archive: StoredArchive;
  readonly outcome: 'copied' | 'there' | 'damaged' | 'failed';
  readonly error?: FerryError;
}

export interface CopyReport {
  readonly from: string;
  readonly to: string;
  readonly dryRun: boolean;
  readonly archives: readonly CopiedArchive[];
}

/** An archive where it is stored, and what is kept beside it there. */
interface Stored {
  readonly repository: Repository;
  readonly archive: StoredArchive;
  readonly kept: StoredSummary | undefined;
}

/** Bytes read, and written, at once. */
const PIECE = 4 * 1024 * 1024;

/**
 * Copies the archives that a repository has and another has not, byte for byte and without a key. Nothing there is
 * overwritten; what stands there already is compared by size and SHA-256, read from the stored bytes where no summary tells.
 *
 * @throws FerryError `empty-repository`, `not-found` for a NAME without archives, `locked`, and as both repositories
 *   do; what is wrong with one archive is in its result
 */
export async function copyArchives(options: CopyOptions, run: RunContext): Promise<CopyReport> {
  await using source = await openRepository(options.from, run);
  const all = await source.archives();
  if (all.length === 0) throw emptyRepository(source.location);
  const archives = ofNames(all, options.names, source.location);
  await using target = await openRepository(options.to, run);
  const done: CopiedArchive[] = [];
  for (const name of new Set(archives.map((archive) => archive.name))) {
    const named = archives.filter((archive) => archive.name === name);
    if (options.dryRun) done.push(...(await copyNamed(source, target, named, undefined, run)));
    else {
      const doing = { doing: 'copy', ...(options.wait === undefined ? {} : { wait: options.wait }) };
      await using lock = await target.lock({ kind: 'shared', name }, doing, run);
      const guarded = { ...run, signal: AbortSignal.any([run.signal, lock.signal]) };
      done.push(...(await copyNamed(source, target, named, lock, guarded)));
    }
  }
  return { from: source.location, to: target.location, dryRun: options.dryRun, archives: done };
}

/** The exit status of a copy. */
export function exitOfCopy({ archives }: CopyReport): number {
  return worstExit(archives.flatMap(({ error }) => (error === undefined ? [] : [error.exit])));
}

/** @param lock of the target; without one nothing is written */
async function copyNamed(
  source: Repository,
  target: Repository,
  archives: readonly StoredArchive[],
  lock: HeldLock | undefined,
  run: RunContext,
): Promise<CopiedArchive[]> {
  const there = new Map((await target.archives()).map((archive) => [archive.file, archive]));
  const done: CopiedArchive[] = [];
  for (const archive of archives) {
    run.signal.throwIfAborted();
    const found = there.get(archive.file);
    try {
      if (found !== undefined) done.push(await compare(await storedIn(source, archive), await storedIn(target, found), run));
      else {
        if (lock !== undefined) await copyOne(source, target, archive, lock, run);
        done.push({ archive, outcome: 'copied' });
      }
    } catch (thrown) {
      run.signal.throwIfAborted();
      const error = FerryError.from(thrown);
      // The store itself: the next archive would fare no better.
      if (error.code !== 'damaged' && error.code !== 'in-the-way' && error.code !== 'not-found') throw error;
      done.push({ archive, outcome: 'failed', error });
    }
  }
  return done;
}

async function copyOne(source: Repository, target: Repository, archive: StoredArchive, lock: HeldLock, run: RunContext): Promise<void> {
  const kept = await source.summary(archive);
  const copy = await target.create(archive, run);
  try {
    await stream(source, archive, copy, run);
    // Of what was read, and compared before it gets its name: a damaged archive is not to be spread.
    const { sha256 } = copy.written();
    if (kept !== undefined && kept.sha256 !== sha256) {
      throw new FerryError('damaged', `${source.locationOf(archive)}: has SHA-256 ${sha256}, was written with ${kept.sha256}`, {
        hint: 'etcdferry verify says what is wrong with it.',
      });
    }
    await lock.check();
    await copy.finish();
  } catch (thrown) {
    await copy.abort();
    throw thrown;
  }
  if (kept !== undefined) await target.describe(archive, { ...kept, verified: { ...kept.verified, bytes: Date.now() } });
  // Of one that was removed by hand, perhaps because it was damaged: it is not about the bytes that are there now.
  else if ((await target.summary(archive)) !== undefined) await target.forget(archive);
}

async function stream(source: Repository, archive: StoredArchive, copy: NewArchive, run: RunContext): Promise<void> {
  const bytes = await source.open(archive);
  try {
    for (let at = 0; at < bytes.size; at += PIECE) {
      run.signal.throwIfAborted();
      await copy.write(await bytes.read(at, Math.min(PIECE, bytes.size - at)));
      run.progress({ phase: 'copying', records: 0, bytes: at, totalBytes: bytes.size });
    }
  } finally {
    await bytes.close();
  }
}

/**
 * What there is to say of an archive that the target has: what was found damaged there is no second copy.
 *
 * @throws FerryError as `refuseUnlike` does
 */
async function compare(here: Stored, there: Stored, run: RunContext): Promise<CopiedArchive> {
  const { archive } = here;
  if (there.kept?.damagedAt !== undefined) return { archive, outcome: 'damaged', error: foundDamaged(here, there, there.kept.damagedAt) };
  await refuseUnlike(here, there, run);
  return { archive, outcome: 'there' };
}

/** @param at in milliseconds since the Unix epoch */
function foundDamaged(here: Stored, there: Stored, at: number): FerryError {
  const [source, target] = [here, there].map(({ repository, archive }) => repository.locationOf(archive));
  return new FerryError(
    'damaged',
    `${target}: was found damaged on ${new Date(at).toISOString()}, so it does not count as there (archive-damaged)`,
    {
      hint: `If etcdferry verify still finds it damaged, remove it and copy again: ${source} is carried over then.`,
    },
  );
}

/**
 * Two archives of one name are the same when their stored bytes are.
 *
 * @throws FerryError `in-the-way` when they differ
 */
async function refuseUnlike(here: Stored, there: Stored, run: RunContext): Promise<void> {
  if (here.archive.size === there.archive.size && (await sha256Of(here, run)) === (await sha256Of(there, run))) return;
  const [found, archive] = [there, here].map((stored) => stored.repository.locationOf(stored.archive));
  throw new FerryError('in-the-way', `${found}: is another archive than ${archive}`, {
    hint: 'Verify both; the damaged one can be removed.',
  });
}

/** SHA-256 of an archive's stored bytes, in hex: as its summary tells; read where there is none, or one of another size. */
function sha256Of({ repository, archive, kept }: Stored, run: RunContext): string | Promise<string> {
  return kept?.size === archive.size ? kept.sha256 : repository.sha256(archive, run);
}

async function storedIn(repository: Repository, archive: StoredArchive): Promise<Stored> {
  return { repository, archive, kept: await repository.summary(archive) };
}
