import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { ArchiveAccount } from '../archive/account.js';
import type { FerryError } from '../errors.js';
import type { Note } from '../model/note.js';
import { withoutSecrets } from '../model/secrets.js';
import { harmlessJson } from '../model/shown-text.js';
import type { WriteSnapshotReport } from '../writers/snapshot-file.js';

/** Marks text that JSON.stringify is not to write as a string; nobody can guess it. */
const MARK = `json:${randomUUID()}:`;
const MARKED = new RegExp(`"${MARK}(\\d+)"`, 'g');

/** Text that is JSON already, to be put into a document as it is. */
class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** JSON text to be put into a document as it is, on one line. */
export function rawJson(text: string): object {
  return new RawJson(text.trim());
}

/** One JSON document on one line. Every bigint becomes a number with all its digits. */
export function toJson(document: object): string {
  const raw: string[] = [];
  const text = JSON.stringify(document, (name, value: unknown) => {
    if ((name === 'location' || name === 'file') && typeof value === 'string') return withoutSecrets(value);
    if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : `${MARK}${raw.push(value.toString()) - 1}`;
    return value instanceof RawJson ? `${MARK}${raw.push(value.text) - 1}` : value;
  });
  return harmlessJson(raw.length === 0 ? text : text.replace(MARKED, (_, index: string) => raw[Number(index)] as string));
}

/** `{key: text}` where the bytes are UTF-8, else `{keyBase64: …}`; `name` is the field's name. */
export function bytesField(name: string, bytes: Buffer): Record<string, string> {
  return isUtf8(bytes) ? { [name]: bytes.toString() } : { [`${name}Base64`]: bytes.toString('base64') };
}

/** Lease, member and cluster ids: lower-case hex without leading zeros, as etcdctl prints them. */
export function hexId(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** Notes as every `--json` report has them. */
export function notesJson(notes: readonly Note[]): object[] {
  return notes.map((note) => ({ code: note.code, message: note.message, count: note.count, examples: note.examples, lossy: note.lossy }));
}

/** An archive that was written, as every `--json` report has it. */
export function archiveJson(archive: ArchiveAccount, location: string): object {
  const { records, rawBytes, size, sha256, digests } = archive;
  return { location, records, rawBytes, size, sha256, digests };
}

/** A snapshot file that was written, as every `--json` report has it. */
export function snapshotJson(snapshot: WriteSnapshotReport, location: string): object {
  const { records, leases, users, roles, revision, bytes } = snapshot;
  return { location, records, leases, users, roles, revision, size: bytes };
}

/** A failure as `--json` prints it. */
export function errorJson(error: FerryError): object {
  return { schema: 'etcdferry.error/v1', error: failureJson(error) };
}

/** A failure as part of a document. */
export function failureJson({ code, exit, message, hint }: FerryError): object {
  return { code, exit, message, ...(hint === undefined ? {} : { hint }) };
}
