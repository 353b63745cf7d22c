import { lastingNotes } from '../archive/header.js';
import type { SamplePart } from '../archive/prove-sample.js';
import { FerryError, worstExit } from '../errors.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { detect } from '../locations/detect.js';
import { apisWithKeys } from '../locations/files.js';
import { refuseOddDirectory } from '../locations/odd-directory.js';
import { isRepository } from '../locations/repository.js';
import { type SourceRequest, withoutStrayFlags } from '../locations/source.js';
import type { Note } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { withoutSecrets } from '../model/secrets.js';
import type { Api } from '../model/source.js';
import type { RecordsAccount } from './check-records.js';
import type { DrillAccount } from './drill.js';
import type { EtcdPlaces } from './drill-tools.js';
import type { AgainstAccount, AgainstOptions } from './verify-against.js';
import { type ArchiveProof, passedArchive, verifyArchive } from './verify-archive.js';
import { type FilesAccount, verifyFiles } from './verify-files.js';

/**
 * How much of a location is read: its own account by small reads (archives only); every byte of it;
 * or every byte, and every record looked at.
 */
export type VerifyDepth = 'account' | 'segments' | 'records';

export interface VerifyOptions {
  /** `segments` unless given. */
  readonly depth?: VerifyDepth;
  /** Of archives only this part of the segments. */
  readonly sample?: SamplePart;
  /** Opens what Kubernetes encrypted, at depth `records`. */
  readonly encryption?: Encryption;
  /** Compares the content, once it has passed. */
  readonly against?: AgainstOptions;
  /** Restores it, starts etcd on it, and reads all of it back; `against` then compares what that etcd serves. */
  readonly drill?: EtcdPlaces;
}

/** What is known of a location that passed, whatever it is. */
export interface Passed {
  readonly location: string;
  readonly depth: VerifyDepth;
  /** True when all of it was read, and something proves it. */
  readonly whole: boolean;
  /** Why it is not called whole though all of it was read: the flag that left the proof out. */
  readonly unproven?: 'skip-hash-check';
  /** At depth `records`. */
  readonly contents?: RecordsAccount;
  readonly drill?: DrillAccount;
  /** Of what the drill's etcd serves, where there was one. */
  readonly against?: AgainstAccount;
  readonly milliseconds: number;
  readonly error?: undefined;
}

/** An encrypted archive in a repository that nobody gave a key to: its stored bytes are those that were written. */
export interface StoredBytes {
  /** In bytes. */
  readonly size: number;
  /** In hex. */
  readonly sha256: string;
}

/** What became of one location: the account of what passed, or what is wrong with it. */
export type VerifyResult =
  | (Passed & { readonly kind: 'archive' } & ArchiveProof)
  | (Passed & { readonly kind: 'stored'; readonly account: StoredBytes })
  | (Passed & { readonly kind: 'snapshot-file' | 'data-dir'; readonly account: FilesAccount })
  | { readonly location: string; readonly error: FerryError };

/**
 * Verifies archives and etcd's own files, one after the other. A repository has a result for each of its
 * archives; a data dir with both a v2 tree and v3 keys has two, unless its request names an API.
 *
 * @throws FerryError only when the run is stopped; what is wrong with a location is in its result
 */
export async function* verify(
  requests: readonly SourceRequest[],
  run: RunContext,
  options: VerifyOptions = {},
): AsyncIterable<VerifyResult> {
  const seenKinds = new Set<string>();
  const { against } = options;
  const watched = against === undefined ? options : { ...options, against: { ...against, seenKinds } };
  let compared = false;
  for (const request of requests) {
    run.signal.throwIfAborted();
    const location = withoutSecrets(request.location.text);
    try {
      for await (const result of verifyOne(request, watched, run)) {
        compared ||= result.error === undefined && result.against !== undefined;
        yield result;
      }
    } catch (thrown) {
      run.signal.throwIfAborted();
      yield { location, error: FerryError.from(thrown) };
    }
  }
  if (against === undefined || against.ignoreKinds.length === 0 || !compared) return;
  const { warnOfUnknownKinds } = await import('./diff.js');
  await warnOfUnknownKinds({ kinds: [], excludeKinds: against.ignoreKinds, seenKinds }, run);
}

/** The exit status of a `verify` with these results. */
export function exitOfResults(results: readonly VerifyResult[]): number {
  return worstExit(results.map(exitOfResult));
}

/** The exit status of one location's result: 4 where it differs from what it was compared with. */
export function exitOfResult(result: VerifyResult): number {
  if (result.error !== undefined) return result.error.exit;
  if (result.against?.differ === true || result.drill?.served.differ === true) return 4;
  return notesOfResult(result).some((note) => note.lossy) ? 3 : 0;
}

/** What readers and checks noticed of a location that passed. */
export function notesOfResult(result: Exclude<VerifyResult, { readonly error: FerryError }>): readonly Note[] {
  return [...notesOfAccount(result), ...(result.contents?.notes ?? [])];
}

function notesOfAccount(result: Exclude<VerifyResult, { readonly error: FerryError }>): readonly Note[] {
  if (result.kind === 'stored') return [];
  return result.kind === 'archive' ? lastingNotes(result.account.header) : result.account.notes;
}

async function* verifyOne(request: SourceRequest, options: VerifyOptions, run: RunContext): AsyncIterable<VerifyResult> {
  const { location } = request;
  const { text } = location;
  const kind = location.kind === 'path' ? await detect(location.path) : undefined;
  const { depth = 'segments' } = options;
  if (location.kind === 'path' && kind === 'directory') await refuseOddDirectory(location.path);
  if (kind !== 'snapshot-file' && kind !== 'data-dir') {
    if (await isRepository(location)) yield* (await import('./verify-repository.js')).verifyRepository(request, options, run);
    else yield passedArchive(text, await verifyArchive(request, options, run), options);
    return;
  }
  if (depth === 'account') {
    throw new FerryError('usage', `${text} is a ${kind.replace('-', ' ')}, which has no account of itself`, {
      hint: 'Leave --depth account away.',
    });
  }
  const asked = withoutStrayFlags(request, kind);
  for (const api of kind === 'data-dir' ? await apisOf(asked, run) : [undefined]) {
    const started = performance.now();
    const files = await verifyFiles(api === undefined ? asked : { ...asked, api }, options, run);
    const proven = asked.skipHashCheck === true ? { whole: false, unproven: 'skip-hash-check' as const } : { whole: true };
    yield { location: text, kind, depth, ...proven, ...files, milliseconds: performance.now() - started };
  }
}

/** An empty data dir is read through the API that etcd serves today. */
async function apisOf(request: SourceRequest, run: RunContext): Promise<readonly Api[]> {
  if (request.api !== undefined) return [request.api];
  const { v2, v3 } = await apisWithKeys(request, run);
  return v2 ? (v3 ? ['v2', 'v3'] : ['v2']) : ['v3'];
}
