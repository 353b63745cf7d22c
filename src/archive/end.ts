import { FerryError } from '../errors.js';
import { BLOCK } from './format.js';
import { asCount, asObject, asSha256, checkCanonical, parseJson } from './json.js';

const FORMAT = 'etcdferry-end';

/** `end`: where the manifest lies. Written the same in every format version. */
export interface ArchiveEnd {
  readonly formatVersion: number;
  /** Of `manifest.json`'s content in the archive, in bytes. */
  readonly offset: number;
  /** Of `manifest.json`, in bytes. */
  readonly size: number;
  readonly sha256: string;
}

/** Writes `end`: one line of JSON, padded with spaces to 512 bytes. */
export function encodeEnd(end: ArchiveEnd): Buffer {
  const { formatVersion, offset, size, sha256 } = end;
  const json = JSON.stringify({ format: FORMAT, formatVersion, manifest: { offset, size, sha256 } });
  return Buffer.from(json.padEnd(BLOCK, ' '));
}

/** @throws FerryError `damaged` when it is not exactly as `encodeEnd` writes it */
export function parseEnd(bytes: Buffer, where: string): ArchiveEnd {
  const json = parseJson(bytes, where);
  const manifest = asObject(json.manifest, `${where}: manifest`);
  if (json.format !== FORMAT) throw new FerryError('damaged', `${where}: format is not ${FORMAT}`);
  const end = {
    formatVersion: asCount(json.formatVersion, `${where}: formatVersion`),
    offset: asCount(manifest.offset, `${where}: manifest.offset`),
    size: asCount(manifest.size, `${where}: manifest.size`),
    sha256: asSha256(manifest.sha256, `${where}: manifest.sha256`),
  };
  checkCanonical(bytes, () => encodeEnd(end), where);
  return end;
}
