import { FerryError } from '../errors.js';
import { plainBytes } from '../locations/archive.js';
import { onlyName, openRepository } from '../locations/repository.js';
import type { SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { emptyRepository, type Repository, type StoredArchive } from '../storage/repository.js';
import { type StoredSummary, summaryOfAccount } from '../storage/stored-summary.js';
import { ofNames } from './prune.js';
import type { VerifyOptions, VerifyResult } from './verify.js';
import { encryptedAccount, passedArchive, verifyArchiveBytes } from './verify-archive.js';

/**
 * Proves the archives of a repository, one after the other, and keeps in the summary of each that it passed, and
 * how deep, or that it is damaged. No lock is taken. An encrypted archive is opened where an identity was
 * given; else its stored bytes are compared with the SHA-256 they were written with.
 *
 * @throws FerryError `empty-repository`, `not-found` for a NAME without archives, and as the repository does
 */
export async function* verifyRepository(request: SourceRequest, options: VerifyOptions, run: RunContext): AsyncIterable<VerifyResult> {
  await using repository = await openRepository(request, run);
  if (request.at === undefined) await repository.warnOfLinks(run);
  const verifying = { repository, request, options, keeper: new Keeper(repository, run), run };
  for (const archive of await chosen(repository, request, run)) {
    run.signal.throwIfAborted();
    const location = repository.locationOf(archive);
    try {
      yield await verifyStored(archive, verifying);
    } catch (thrown) {
      run.signal.throwIfAborted();
      const error = FerryError.from(thrown);
      // Removed since it was listed: a prune is not kept away by those who read.
      if (error.code === 'not-found') continue;
      if (error.code === 'damaged') await verifying.keeper.keep(() => repository.markDamaged(archive));
      yield { location, error };
    }
  }
}

async function chosen(repository: Repository, { names, at }: SourceRequest, run: RunContext): Promise<readonly StoredArchive[]> {
  if (at !== undefined) {
    const name = onlyName(names);
    return [await repository.choose({ at, ...(name === undefined ? {} : { name }) }, run)];
  }
  const all = await repository.archives();
  if (all.length === 0) throw emptyRepository(repository.location);
  return ofNames(all, names ?? [], repository.location);
}

/** What is the same for all archives of a repository. */
interface Verifying {
  readonly repository: Repository;
  readonly request: SourceRequest;
  readonly options: VerifyOptions;
  readonly keeper: Keeper;
  readonly run: RunContext;
}

async function verifyStored(archive: StoredArchive, { repository, request, options, keeper, run }: Verifying): Promise<VerifyResult> {
  const started = performance.now();
  const location = repository.locationOf(archive);
  const { depth = 'segments' } = options;
  if (archive.encrypted && depth === 'account') throw encryptedAccount(location);
  const kept = await keeper.summary(archive);
  const bytesOnly = depth === 'segments' && options.against === undefined && options.drill === undefined;
  if (archive.encrypted && request.open === undefined && kept !== undefined && bytesOnly) {
    const sha256 = await repository.sha256(archive, run);
    if (sha256 !== kept.sha256) {
      throw new FerryError('damaged', `${location}: its stored bytes have SHA-256 ${sha256}, they were written with ${kept.sha256}`);
    }
    await keeper.keep(() => repository.markVerified(archive, 'bytes'));
    const milliseconds = performance.now() - started;
    return { location, kind: 'stored', depth, whole: true, account: { size: archive.size, sha256 }, milliseconds };
  }
  const bytes = await plainBytes(await repository.open(archive), location, request.open);
  try {
    const proof = await verifyArchiveBytes(bytes, request, options, run);
    // A part of an archive is no proof of all of it.
    if (proof.sha256 !== undefined) {
      const sha256 = archive.encrypted ? (kept?.sha256 ?? (await repository.sha256(archive, run))) : proof.sha256;
      const summary = summaryOfAccount(proof.account, { size: archive.size, sha256 });
      await keeper.keep(() => repository.markVerified(archive, 'content', summary));
    }
    return passedArchive(location, proof, options);
  } finally {
    await bytes.close();
  }
}

/** Reads and writes summaries; where that cannot be done, verifying goes on, and it is said once. */
class Keeper {
  readonly #repository: Repository;
  readonly #run: RunContext;
  #told = false;

  constructor(repository: Repository, run: RunContext) {
    this.#repository = repository;
    this.#run = run;
  }

  /** What may not be read cannot be changed either: one warning is for both. */
  summary(archive: StoredArchive): Promise<StoredSummary | undefined> {
    return this.#repository.summaryIfReadable(archive, ({ message }) =>
      this.#tell(`what is kept beside its archives can be neither read nor changed: ${message}`),
    );
  }

  async keep(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (thrown) {
      this.#tell(`what was found cannot be kept there: ${FerryError.from(thrown).message}`);
    }
  }

  #tell(what: string): void {
    if (!this.#told) this.#run.warn(`${this.#repository.location}: ${what}`);
    this.#told = true;
  }
}
