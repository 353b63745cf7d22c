import { openSource, type SourceRequest } from '../locations/source.js';
import { batchBytes } from '../model/batch.js';
import type { Note } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { Source, SourceInfo } from '../model/source.js';
import type { RecordChecker, RecordsAccount } from './check-records.js';
import type { VerifyOptions } from './verify.js';
import type { OpenVerified } from './verify-against.js';
import { type BeyondAccount, verifyBeyond } from './verify-beyond.js';

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

export interface FilesProof extends BeyondAccount {
  readonly account: FilesAccount;
  readonly contents?: RecordsAccount;
}

/**
 * Verifies a snapshot file or data dir: its leases, users and every record are read, all of which its
 * reader checks.
 *
 * @throws FerryError as the reader and the checks do
 */
export async function verifyFiles(request: SourceRequest, options: VerifyOptions, run: RunContext): Promise<FilesProof> {
  const source = await openSource({ ...request, checkPages: true }, run);
  const proof = await readFiles(source, options, run).finally(() => source.close());
  const { location, skipHashCheck = false, tmpDir } = request;
  const open: OpenVerified = (selected) => openSource({ ...request, ...selected }, run);
  const isFile = source.info.kind === 'snapshot-file' && location.kind === 'path';
  const drilled = isFile ? { open, snapshotFile: { path: location.path, skipHashCheck } } : { open };
  return { ...proof, ...(await verifyBeyond(drilled, options, tmpDir, run)) };
}

async function readFiles(source: Source, options: VerifyOptions, run: RunContext): Promise<FilesProof> {
  const checker = await checkerFor(source.info, options);
  let leases = 0;
  for await (const batch of source.leases()) {
    leases += batch.length;
    checker?.addLeases(batch);
  }
  await source.auth();
  let [records, rawBytes] = [0, 0];
  for await (const batch of source.records()) {
    run.signal.throwIfAborted();
    records += batch.count;
    rawBytes += batchBytes(batch);
    await checker?.add(batch);
  }
  const account = { source: source.info, records, rawBytes, leases, notes: source.notes.list() };
  return checker === undefined ? { account } : { account, contents: checker.finish(source.info.location) };
}

/** Looks at records where they are to be looked at; what knows Kubernetes' values is loaded only then. */
export async function checkerFor(
  info: Pick<SourceInfo, 'api' | 'order' | 'revision'>,
  { depth, encryption }: VerifyOptions,
): Promise<RecordChecker | undefined> {
  if (depth !== 'records') return undefined;
  const { RecordChecker } = await import('./check-records.js');
  const { api, order, revision } = info;
  return new RecordChecker({ api, order, revision, ...(encryption === undefined ? {} : { encryption }) });
}
