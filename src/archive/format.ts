/** The version this release writes. Rules of the frame (docs/archive-format.md) hold in every version. */
export const FORMAT_VERSION = 1;
/** The oldest version this release reads: 0, before it was called final, differs in nothing but the number. */
export const OLDEST_VERSION = 0;

/** True for a version whose entries this release can read. */
export function isKnownVersion(version: number): boolean {
  return version >= OLDEST_VERSION && version <= FORMAT_VERSION;
}

export const HEADER_ENTRY = 'etcdferry.json';
export const AUTH_ENTRY = 'auth.json';
export const MANIFEST_ENTRY = 'manifest.json';
export const END_ENTRY = 'end';

/** Size of a tar block, in bytes. */
export const BLOCK = 512;
/** Header and content of `end` and the two zero blocks: what is read first, in bytes. */
export const TAIL_SIZE = 4 * BLOCK;
/** The most raw bytes a segment or leases entry with more than one record may hold. */
export const SEGMENT_BOUND = 8 * 1024 * 1024;
/** Most bytes the length before a message takes: a varint below 2^35. */
export const FRAMING_BOUND = 5;
/** Records in one run of the content digests. */
export const DIGEST_RUN = 4096;
/** The most bytes etcdferry.json may have. */
export const HEADER_BOUND = 1024 * 1024;
/** The most bytes auth.json may have. */
export const AUTH_BOUND = 16 * 1024 * 1024;

const MIB = 1024 * 1024;

/** What a reader is willing to hold in memory at once. */
export interface ArchiveLimits {
  /** Largest record read, in bytes of its message. Default 64 MiB. */
  readonly maxRecordSize?: number;
  /** Largest manifest.json read, in bytes. Default 32 MiB, which is also the largest written. */
  readonly maxManifestSize?: number;
}

/** Largest record readers take without being told otherwise, in bytes. */
export const DEFAULT_MAX_RECORD_SIZE = 64 * MIB;
/** Largest manifest readers take without being told otherwise, in bytes: some 60,000 segments. */
export const DEFAULT_MAX_MANIFEST_SIZE = 32 * MIB;

/** Most entries that a reader takes: more than fit 32 MiB, unless they are made to be small. */
export const MOST_ENTRIES = 150_000;

/** The limits with their defaults filled in. */
export function withDefaults(limits: ArchiveLimits = {}): Required<ArchiveLimits> {
  return {
    maxRecordSize: limits.maxRecordSize ?? DEFAULT_MAX_RECORD_SIZE,
    maxManifestSize: limits.maxManifestSize ?? DEFAULT_MAX_MANIFEST_SIZE,
  };
}

export type Compression = 'gzip' | 'zstd';

const ENDINGS: Readonly<Record<Compression, string>> = { gzip: '.pb.gz', zstd: '.pb.zst' };

/** @returns the name of segment `index`, such as `segments/000012.pb.gz` */
export function segmentName(index: number, compress: Compression): string {
  return `segments/${String(index).padStart(6, '0')}${ENDINGS[compress]}`;
}

/** @returns the name of leases entry `index`, such as `leases/000000.pb.gz` */
export function leasesName(index: number, compress: Compression): string {
  return `leases/${String(index).padStart(6, '0')}${ENDINGS[compress]}`;
}

/** True for a name that later releases or other tools may add without a new format version. */
export function isExtraName(name: string): boolean {
  return /^x-[A-Za-z0-9._-]{1,90}$/.test(name);
}
