import type { ArchiveAccount } from '../archive/account.js';
import { proveArchive } from '../archive/prove.js';
import { FerryError, worstExit } from '../errors.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import { detect } from '../locations/detect.js';
import { apisWithKeys } from '../locations/files.js';
import { isRepository } from '../locations/repository.js';
import { openSource, type SourceRequest, withoutStrayFlags } from '../locations/source.js';
import { batchBytes } from '../model/batch.js';
import type { Note } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { Api, Source, SourceInfo } from '../model/source.js';

/** What was read to the end of etcd's own files. */
export interface FilesAccount {
  readonly source: SourceInfo;
  /** v3: keys. v2: nodes. */
  readonly records: number;
  /** Of all records, in bytes. */
  readonly rawBytes: number;
  readonly leases: number;
  readonly notes: readonly Note[];
}

/** An encrypted archive in a repository that nobody gave a key to: its stored bytes are those that were written. */
export interface StoredBytes {
  /** In bytes. */
  readonly size: number;
  /** In hex. */
  readonly sha256: string;
}

/** What became of one location: the account of what is whole, or what is wrong with it. */
export type VerifyResult =
  | { readonly location: string; readonly kind: 'archive'; readonly account: ArchiveAccount; readonly error?: undefined }
  | { readonly location: string; readonly kind: 'stored'; readonly account: StoredBytes; readonly error?: undefined }
  | { readonly location: string; readonly kind: 'snapshot-file' | 'data-dir'; readonly account: FilesAccount; readonly error?: undefined }
  | { readonly location: string; readonly error: FerryError };

/**
 * Proves archives and etcd's own files whole, every byte of them that counts, one after the other. A
 * repository has a result for each of its archives; a data dir with both a v2 tree and v3 keys has two results, unless its request names an API.
 *
 * @throws FerryError only when the run is stopped; what is wrong with a location is in its result
 */
export async function* verify(requests: readonly SourceRequest[], run: RunContext): AsyncIterable<VerifyResult> {
  for (const request of requests) {
    run.signal.throwIfAborted();
    const location = request.location.text;
    try {
      yield* verifyOne(request, run);
    } catch (thrown) {
      run.signal.throwIfAborted();
      yield { location, error: FerryError.from(thrown) };
    }
  }
}

/** The exit status of a `verify` with these results. */
export function exitOfResults(results: readonly VerifyResult[]): number {
  return worstExit(results.map((result) => result.error?.exit ?? (isLossy(result) ? 3 : 0)));
}

/** True where a reader knows of records that the files can no longer give. */
function isLossy(result: VerifyResult): boolean {
  if (result.error !== undefined || !('notes' in result.account)) return false;
  return result.account.notes.some((note) => note.lossy);
}

async function* verifyOne(request: SourceRequest, run: RunContext): AsyncIterable<VerifyResult> {
  const { location } = request;
  const { text } = location;
  const kind = location.kind === 'path' ? await detect(location.path) : undefined;
  if (kind === 'snapshot-file') {
    yield { location: text, kind, account: await readFiles(withoutStrayFlags(request, kind), run) };
  } else if (kind === 'data-dir') {
    for (const api of await apisOf(request, run)) {
      yield { location: text, kind, account: await readFiles({ ...withoutStrayFlags(request, kind), api }, run) };
    }
  } else if (await isRepository(location)) yield* (await import('./verify-repository.js')).verifyRepository(request, run);
  else yield { location: text, kind: 'archive', account: await proveOne(request, run) };
}

async function proveOne(request: SourceRequest, run: RunContext): Promise<ArchiveAccount> {
  const bytes = await openArchiveBytes(request, run);
  try {
    return await proveArchive(bytes, run, archiveLimits(request));
  } finally {
    await bytes.close();
  }
}

/** An empty data dir is read through the API that etcd serves today. */
async function apisOf(request: SourceRequest, run: RunContext): Promise<readonly Api[]> {
  if (request.api !== undefined) return [request.api];
  const { v2, v3 } = await apisWithKeys(request, run);
  return v2 ? (v3 ? ['v2', 'v3'] : ['v2']) : ['v3'];
}

/** Reads leases, users and every record of a source, all of which its reader checks. */
async function readFiles(request: SourceRequest, run: RunContext): Promise<FilesAccount> {
  const source = await openSource(request, run);
  try {
    const leases = await countLeases(source);
    await source.auth();
    let [records, rawBytes] = [0, 0];
    for await (const batch of source.records()) {
      run.signal.throwIfAborted();
      records += batch.count;
      rawBytes += batchBytes(batch);
    }
    return { source: source.info, records, rawBytes, leases, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}

async function countLeases(source: Source): Promise<number> {
  let leases = 0;
  for await (const batch of source.leases()) leases += batch.length;
  return leases;
}
