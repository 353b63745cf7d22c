import { proveArchive } from '../archive/prove.js';
import type { OpenWith } from '../locations/age-keys.js';
import { plainBytes } from '../locations/archive.js';
import type { RunContext } from '../model/run.js';
import type { Repository, StoredArchive } from '../storage/repository.js';
import { type StoredSummary, summaryOfAccount } from '../storage/stored-summary.js';

/**
 * Makes the summary of an archive again. All of the archive is read and proven.
 *
 * @throws FerryError `no-identity` for an encrypted one that nothing given opens, `damaged`, `unknown-format`
 */
export async function summarize(
  repository: Repository,
  archive: StoredArchive,
  open: OpenWith | undefined,
  run: RunContext,
): Promise<StoredSummary> {
  const bytes = await plainBytes(await repository.open(archive), repository.locationOf(archive), open);
  try {
    const account = await proveArchive(bytes, run);
    const sha256 = archive.encrypted ? await repository.sha256(archive, run) : account.sha256;
    const now = Date.now();
    return { ...summaryOfAccount(account, { size: archive.size, sha256 }), verified: { bytes: now, content: now } };
  } finally {
    await bytes.close();
  }
}
