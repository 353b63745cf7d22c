import type { ArchiveAccount } from '../archive/account.js';
import { proveArchive } from '../archive/prove.js';
import { FerryError, worstExit } from '../errors.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import type { SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';

/** What became of one location: the account of a whole archive, or what is wrong with it. */
export type VerifyResult =
  | { readonly location: string; readonly account: ArchiveAccount; readonly error?: undefined }
  | { readonly location: string; readonly account?: undefined; readonly error: FerryError };

/**
 * Proves archives whole, every byte of them, one after the other.
 *
 * @throws FerryError only when the run is stopped; what is wrong with a location is in its result
 */
export async function* verify(requests: readonly SourceRequest[], run: RunContext): AsyncIterable<VerifyResult> {
  for (const request of requests) {
    run.signal.throwIfAborted();
    const location = request.location.text;
    try {
      yield { location, account: await verifyOne(request, run) };
    } catch (thrown) {
      run.signal.throwIfAborted();
      yield { location, error: FerryError.from(thrown) };
    }
  }
}

/** The exit status of a `verify` with these results. */
export function exitOfResults(results: readonly VerifyResult[]): number {
  return worstExit(results.map((result) => result.error?.exit ?? 0));
}

async function verifyOne(request: SourceRequest, run: RunContext): Promise<ArchiveAccount> {
  const bytes = await openArchiveBytes(request, run);
  try {
    return await proveArchive(bytes, run, archiveLimits(request));
  } finally {
    await bytes.close();
  }
}
