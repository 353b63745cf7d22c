import type { ArchiveHeader } from './header.js';
import type { ArchiveManifest, ContentDigests } from './manifest.js';

/** What an archive holds, as its manifest states it. */
export interface ArchiveSummary {
  readonly header: ArchiveHeader;
  readonly manifest: ArchiveManifest;
  /** Of the file, in bytes. */
  readonly size: number;
  readonly records: number;
  /** Of all segments, decompressed, in bytes. */
  readonly rawBytes: number;
  readonly leases: number;
  readonly digests: ContentDigests;
}

/** What an archive holds, known because all of it was written or proven just now. */
export interface ArchiveAccount extends ArchiveSummary {
  /** SHA-256 of the whole file, in hex. */
  readonly sha256: string;
  /** SHA-256 over ids and granted TTLs of the leases, in hex: equal while none was granted or revoked. */
  readonly leaseDigest: string;
}

/** Gathers the totals of a manifest for those who want no more than that. */
export function summaryOf(header: ArchiveHeader, manifest: ArchiveManifest, size: number): ArchiveSummary {
  const { records, rawBytes, leases, digests } = manifest;
  return { header, manifest, size, records, rawBytes, leases, digests };
}
