import { proveArchive } from '../archive/prove.js';
import { FerryError } from '../errors.js';
import { archiveLimits, plainBytes } from '../locations/archive.js';
import { onlyName, openRepository } from '../locations/repository.js';
import type { SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { emptyRepository, type Repository, type StoredArchive } from '../storage/repository.js';
import { summaryOfAccount } from '../storage/stored-summary.js';
import { ofNames } from './prune.js';
import type { VerifyResult } from './verify.js';

/**
 * Proves the archives of a repository, one after the other, and keeps in the summary of each that it passed, and
 * how deep, or that it is damaged. No lock is taken. An encrypted archive is opened where an identity was
 * given; else its stored bytes are compared with the SHA-256 they were written with.
 *
 * @throws FerryError `empty-repository`, `not-found` for a NAME without archives, and as the repository does
 */
export async function* verifyRepository(request: SourceRequest, run: RunContext): AsyncIterable<VerifyResult> {
  await using repository = await openRepository(request);
  const keeper = new Keeper(repository, run);
  for (const archive of await chosen(repository, request)) {
    run.signal.throwIfAborted();
    const location = repository.locationOf(archive);
    try {
      yield await verifyStored(repository, archive, request, keeper, run);
    } catch (thrown) {
      run.signal.throwIfAborted();
      const error = FerryError.from(thrown);
      // Removed since it was listed: a prune is not kept away by those who read.
      if (error.code === 'not-found') continue;
      if (error.code === 'damaged') await keeper.keep(() => repository.markDamaged(archive));
      yield { location, error };
    }
  }
}

async function chosen(repository: Repository, { names, at }: SourceRequest): Promise<readonly StoredArchive[]> {
  if (at !== undefined) {
    const name = onlyName(names);
    return [await repository.choose({ at, ...(name === undefined ? {} : { name }) })];
  }
  const all = await repository.archives();
  if (all.length === 0) throw emptyRepository(repository.location);
  return ofNames(all, names ?? [], repository.location);
}

async function verifyStored(
  repository: Repository,
  archive: StoredArchive,
  request: SourceRequest,
  keeper: Keeper,
  run: RunContext,
): Promise<VerifyResult> {
  const location = repository.locationOf(archive);
  const kept = await repository.summary(archive);
  if (archive.encrypted && request.open === undefined && kept !== undefined) {
    const sha256 = await repository.sha256(archive, run);
    if (sha256 !== kept.sha256) {
      throw new FerryError('damaged', `${location}: its stored bytes have SHA-256 ${sha256}, they were written with ${kept.sha256}`);
    }
    await keeper.keep(() => repository.markVerified(archive, 'bytes'));
    return { location, kind: 'stored', account: { size: archive.size, sha256 } };
  }
  const bytes = await plainBytes(await repository.open(archive), location, request.open);
  try {
    const account = await proveArchive(bytes, run, archiveLimits(request));
    const sha256 = archive.encrypted ? (kept?.sha256 ?? (await repository.sha256(archive, run))) : account.sha256;
    const summary = summaryOfAccount(account, { size: archive.size, sha256 });
    await keeper.keep(() => repository.markVerified(archive, 'content', summary));
    return { location, kind: 'archive', account };
  } finally {
    await bytes.close();
  }
}

/** Writes into summaries; where that cannot be done, verifying goes on, and it is said once. */
class Keeper {
  readonly #repository: Repository;
  readonly #run: RunContext;
  #told = false;

  constructor(repository: Repository, run: RunContext) {
    this.#repository = repository;
    this.#run = run;
  }

  async keep(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (thrown) {
      if (this.#told) return;
      this.#told = true;
      this.#run.warn(`${this.#repository.location}: what was found cannot be kept there: ${FerryError.from(thrown).message}`);
    }
  }
}
