import type { ArchiveAccount, ArchiveSummary } from '../archive/account.js';
import { lastingNotes, scopeDigest } from '../archive/header.js';
import type { Note } from '../model/note.js';
import type { Api } from '../model/source.js';

/** Schema of a summary as it is stored. */
const SCHEMA = 'etcdferry.summary/v1';

/**
 * How deep an archive was proven: `bytes`, its stored bytes have the SHA-256 they were written with
 * (no key is needed for that); `content`, every digest inside it holds as well.
 */
export type ProofDepth = 'bytes' | 'content';

/** A note as a summary has it. */
export type SummaryNote = Pick<Note, 'code' | 'message'>;

/** Digests in hex: two archives with the same records and all of these are of an unchanged cluster. */
export interface OtherDigests {
  /** Of ids and granted TTLs. */
  readonly leases: string;
  /** Of users and roles, with password hashes where the source told them; left out where the archive has none. */
  readonly auth?: string;
  /** Of what was chosen. */
  readonly scope: string;
}

/** What of an archive's content stands in no digest of its records. */
export function otherDigestsOf({ header, manifest, leaseDigest }: ArchiveAccount): OtherDigests {
  const auth = manifest.entries.find(({ kind }) => kind === 'auth')?.sha256;
  return { leases: leaseDigest, ...(auth === undefined ? {} : { auth }), scope: scopeDigest(header) };
}

/** What a repository keeps beside an archive. The archive is the truth; this can be made again from it. */
export interface StoredSummary {
  readonly api: Api;
  /** v3: the revision. v2: the index. */
  readonly revision: bigint;
  /** v3: keys. v2: nodes. */
  readonly records: number;
  readonly leases: number;
  /** Of all records, in bytes. */
  readonly rawBytes: number;
  /** The two content digests, in hex. */
  readonly digests: { readonly records: string; readonly values: string };
  /** What besides its records makes an archive the same as another; summaries of earlier releases have none. */
  readonly otherDigests?: OtherDigests;
  /** Of the stored file, in bytes. */
  readonly size: number;
  /** SHA-256 of the stored file, in hex: of what is encrypted, where it is. */
  readonly sha256: string;
  readonly source: {
    readonly kind: string;
    /** No credentials in it. */
    readonly location: string;
    /** Lower-case hex. */
    readonly clusterId?: string;
    readonly serverVersion?: string;
  };
  /** When it last passed, by depth, in milliseconds since the Unix epoch. `bytes` is set by every backup. */
  readonly verified: { readonly [D in ProofDepth]?: number };
  /** When it was last found damaged, and had not passed since. */
  readonly damagedAt?: number;
  /** What the archive's header keeps of how its records were read. */
  readonly notes?: readonly SummaryNote[];
  /** When a backup last found the cluster unchanged since this archive (`--skip-unchanged`). */
  readonly unchangedAt?: number;
}

/**
 * The summary of an archive, by what its manifest states and what is stored.
 *
 * @param account with a digest of the leases where all of the archive was written or read
 */
export function summaryOfAccount(
  account: ArchiveSummary | ArchiveAccount,
  stored: { readonly size: number; readonly sha256: string },
): StoredSummary {
  const { header, records, leases, rawBytes, digests } = account;
  const { kind, location, clusterId, serverVersion } = header.source;
  const notes = lastingNotes(header).map(({ code, message }) => ({ code, message }));
  return {
    api: header.api,
    revision: header.revision,
    records,
    leases,
    rawBytes,
    digests: { records: digests.records, values: digests.values },
    ...('leaseDigest' in account ? { otherDigests: otherDigestsOf(account) } : {}),
    size: stored.size,
    sha256: stored.sha256,
    source: {
      kind,
      location,
      ...(clusterId === undefined ? {} : { clusterId: BigInt.asUintN(64, clusterId).toString(16) }),
      ...(serverVersion === undefined ? {} : { serverVersion }),
    },
    verified: {},
    ...(notes.length === 0 ? {} : { notes }),
  };
}

/** Writes a summary; revisions as text, as JSON's numbers end at 2⁵³ for many readers. */
export function encodeSummary(summary: StoredSummary): Buffer {
  const { revision, verified, damagedAt, unchangedAt, ...rest } = summary;
  const json = {
    schema: SCHEMA,
    revision: revision.toString(),
    ...rest,
    verified: { ...time('bytes', verified.bytes), ...time('content', verified.content) },
    ...time('damagedAt', damagedAt),
    ...time('unchangedAt', unchangedAt),
  };
  return Buffer.from(`${JSON.stringify(json, null, 2)}\n`);
}

/** Reads a summary; undefined for what is none, or of a version this release does not know: it is made again. */
export function parseSummary(bytes: Buffer): StoredSummary | undefined {
  const json = asJson(bytes);
  if (json?.schema !== SCHEMA) return undefined;
  const [source, digests, verified] = [asObject(json.source), asObject(json.digests), asObject(json.verified)];
  const [records, leases, rawBytes, size] = [json.records, json.leases, json.rawBytes, json.size];
  if (json.api !== 'v2' && json.api !== 'v3') return undefined;
  if (!isText(json.revision, /^\d{1,20}$/) || ![records, leases, rawBytes, size].every(isCount)) return undefined;
  if (!isText(json.sha256, SHA256) || !isText(digests.records, SHA256) || !isText(digests.values, SHA256)) return undefined;
  if (!isText(source.kind) || !isText(source.location)) return undefined;
  return {
    api: json.api,
    revision: BigInt(json.revision),
    records: records as number,
    leases: leases as number,
    rawBytes: rawBytes as number,
    digests: { records: digests.records, values: digests.values },
    ...parseOtherDigests(asObject(json.otherDigests)),
    size: size as number,
    sha256: json.sha256,
    source: {
      kind: source.kind,
      location: source.location,
      ...(isText(source.clusterId) ? { clusterId: source.clusterId } : {}),
      ...(isText(source.serverVersion) ? { serverVersion: source.serverVersion } : {}),
    },
    verified: { ...given('bytes', verified.bytes), ...given('content', verified.content) },
    ...(Array.isArray(json.notes) ? { notes: json.notes.flatMap(noteOf) } : {}),
    ...given('damagedAt', json.damagedAt),
    ...given('unchangedAt', json.unchangedAt),
  };
}

/** They can be told from the archive again, so that what is not as it should be counts as missing. */
function parseOtherDigests({ leases, auth, scope }: Json): { otherDigests?: OtherDigests } {
  if (!isText(leases, SHA256) || !isText(scope, SHA256) || (auth !== undefined && !isText(auth, SHA256))) return {};
  return { otherDigests: { leases, ...(auth === undefined ? {} : { auth }), scope } };
}

type Json = Readonly<Record<string, unknown>>;
const SHA256 = /^[0-9a-f]{64}$/;

function asJson(bytes: Buffer): Json | undefined {
  try {
    return asObject(JSON.parse(bytes.toString()));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function noteOf(value: unknown): SummaryNote[] {
  const { code, message } = asObject(value);
  return isText(code) && isText(message) ? [{ code, message }] : [];
}

function isText(value: unknown, pattern = /^/): value is string {
  return typeof value === 'string' && pattern.test(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function time<K extends string>(name: K, at: number | undefined): { [P in K]?: string } {
  return at === undefined ? {} : ({ [name]: new Date(at).toISOString() } as { [P in K]?: string });
}

function given<K extends string>(name: K, text: unknown): { [P in K]?: number } {
  const at = typeof text === 'string' ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? {} : ({ [name]: at } as { [P in K]?: number });
}
