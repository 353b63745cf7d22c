import type { ArchiveSummary } from '../archive/account.js';
import type { ArchiveLimits } from '../archive/format.js';
import { openArchive } from '../archive/open.js';
import { proveArchive, provenRecords } from '../archive/prove.js';
import { proveAccount } from '../archive/prove-account.js';
import { type SamplePart, sampledRecords } from '../archive/prove-sample.js';
import { FerryError } from '../errors.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import { type SourceRequest, withObjects } from '../locations/source.js';
import type { RecordBatch } from '../model/batch.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { archiveSource } from '../readers/archive.js';
import type { RecordChecker, RecordsAccount } from './check-records.js';
import type { VerifyOptions, VerifyResult } from './verify.js';
import { type BeyondAccount, verifyBeyond } from './verify-beyond.js';
import { checkerFor } from './verify-files.js';

/** Which part of an archive's segments was read. */
export interface SampleAccount extends SamplePart {
  readonly segments: number;
  readonly ofSegments: number;
  /** Records in them. */
  readonly records: number;
}

export interface ArchiveProof extends BeyondAccount {
  readonly milliseconds: number;
  /** As its manifest states it; held to all that was read. */
  readonly account: ArchiveSummary;
  /** SHA-256 of the whole file, in hex, where all of it was read. */
  readonly sha256?: string;
  readonly sample?: SampleAccount;
  readonly contents?: RecordsAccount;
}

/**
 * Verifies an archive to the depth asked for.
 *
 * @throws FerryError `damaged` and as opening it does; `usage` for the account of an encrypted one
 */
export async function verifyArchive(request: SourceRequest, options: VerifyOptions, run: RunContext): Promise<ArchiveProof> {
  const bytes = await (options.depth === 'account' ? openPlain(request, run) : openArchiveBytes(request, run));
  try {
    return await verifyArchiveBytes(bytes, request, options, run);
  } finally {
    await bytes.close();
  }
}

/**
 * As `verifyArchive`, of bytes that are open already and stay open.
 *
 * @throws FerryError as `verifyArchive` does
 */
export async function verifyArchiveBytes(
  bytes: ByteSource,
  request: SourceRequest,
  options: VerifyOptions,
  run: RunContext,
): Promise<ArchiveProof> {
  const started = performance.now();
  const limits = archiveLimits(request);
  const proof = await proofOf(bytes, options, limits, run);
  const open = async (selected: Pick<SourceRequest, 'selection' | 'objects'>) =>
    withObjects(archiveSource(await openArchive(bytes, limits), bytes.name, selected.selection), { ...request, ...selected });
  const beyond = await verifyBeyond({ open }, options, request.tmpDir, run);
  return { ...proof, ...beyond, milliseconds: performance.now() - started };
}

/** The result of an archive that passed. */
export function passedArchive(location: string, proof: ArchiveProof, { depth = 'segments' }: VerifyOptions): VerifyResult {
  return { location, kind: 'archive', depth, whole: proof.sha256 !== undefined, ...proof };
}

/** An encrypted archive has to be opened piece by piece from its start, and has no small reads. */
async function openPlain({ open: _, ...request }: SourceRequest, run: RunContext): Promise<ByteSource> {
  try {
    return await openArchiveBytes(request, run);
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'no-identity') throw thrown;
    throw encryptedAccount(request.location.text, thrown);
  }
}

/** What `--depth account` says of an encrypted archive. */
export function encryptedAccount(location: string, cause?: unknown): FerryError {
  return new FerryError('usage', `${location} is encrypted: its account cannot be looked at by itself`, {
    hint: 'Leave --depth account away, and give --identity or --passphrase-file.',
    cause,
  });
}

async function proofOf(
  bytes: ByteSource,
  options: VerifyOptions,
  limits: ArchiveLimits,
  run: RunContext,
): Promise<Omit<ArchiveProof, 'milliseconds' | keyof BeyondAccount>> {
  const { depth, sample } = options;
  if (depth === 'account') return { account: await proveAccount(bytes, run, limits) };
  const checker = depth === 'records' ? await openChecker(bytes, options, limits, run) : undefined;
  const contents = (): { contents?: RecordsAccount } => (checker === undefined ? {} : { contents: checker.finish(bytes.name) });
  if (sample === undefined) {
    const { sha256, ...account } = await drained(provenRecords(bytes, run, limits), checker);
    return { account, sha256, ...contents() };
  }
  const { summary, segments, records } = await drained(sampledRecords(bytes, sample, run, limits), checker);
  const ofSegments = summary.manifest.segments.length;
  return { account: summary, sample: { ...sample, segments, ofSegments, records }, ...contents() };
}

/** Its leases are read before its records are proven; a failure may be the least of what is wrong. */
async function openChecker(
  bytes: ByteSource,
  options: VerifyOptions,
  limits: ArchiveLimits,
  run: RunContext,
): Promise<RecordChecker | undefined> {
  try {
    const reader = await openArchive(bytes, limits);
    const checker = await checkerFor(reader.header, options);
    for await (const leases of reader.leases()) checker?.addLeases(leases);
    return checker;
  } catch (thrown) {
    await proveArchive(bytes, run, limits);
    throw thrown;
  }
}

/** Reads a proof to its end, looking at the records on the way. */
async function drained<T>(proof: AsyncGenerator<RecordBatch, T, undefined>, checker: RecordChecker | undefined): Promise<T> {
  for (;;) {
    const step = await proof.next();
    if (step.done === true) return step.value;
    await checker?.add(step.value);
  }
}
