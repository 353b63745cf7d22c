import { encodeEnd } from '../../src/archive/end.js';
import { sha256 } from '../../src/archive/entries.js';
import { END_ENTRY, FORMAT_VERSION, MANIFEST_ENTRY } from '../../src/archive/format.js';
import { packArchive } from '../../src/archive/pack.js';
import { padded, tarHeader } from '../../src/archive/tar.js';
import type { AuthData } from '../../src/model/auth.js';
import type { Lease } from '../../src/model/lease.js';
import { quietRun } from '../../src/model/run.js';
import { type Content, cutInto, kv, memoryRecords, memorySink } from './memory.js';

export const LEASES: readonly Lease[] = [
  { id: -5n, grantedTtl: 0n, remainingTtl: -1n, seenAt: 1767323045678, origin: 'lease' },
  { id: 7587886342811453700n, grantedTtl: 60n, remainingTtl: 41n, seenAt: 1767323045678, origin: 'lease' },
];

export const AUTH: AuthData = {
  enabled: true,
  users: [{ name: 'root', roles: ['root'], passwordHash: Buffer.from('$2a$10$abc'), noPassword: false }],
  roles: [{ name: 'app', permissions: [{ type: 'readwrite', key: Buffer.from([0xff, 0x00]), rangeEnd: Buffer.from([0xff, 0x01]) }] }],
};

/** Packs and gives account and bytes. */
export async function packed(content: Content, compress: 'gzip' | 'zstd' = 'gzip') {
  const sink = memorySink();
  const account = await packArchive(memoryRecords(content), sink, { compress, toolVersion: '0.1.0' }, quietRun());
  return { account, bytes: sink.bytes() };
}

/** A small archive with an entry of every kind. */
export function smallArchive() {
  const records = ['a', 'b', 'c'].map((key) => kv(key, `value of ${key}`, { lease: key === 'b' ? 7587886342811453700n : 0n }));
  return packed({ leases: [LEASES], auth: AUTH, batches: cutInto(records, 2) });
}

export interface RawEntry {
  name: string;
  content: Buffer;
}

/** The entries of a tar, end and manifest too, by a parser that shares nothing with the archive's own. */
export function entriesOf(archive: Buffer): RawEntry[] {
  const entries: RawEntry[] = [];
  for (let at = 0; archive[at] !== 0; ) {
    const name = archive.toString('latin1', at, archive.indexOf(0, at));
    const size = Number.parseInt(archive.toString('latin1', at + 124, at + 135), 8);
    entries.push({ name, content: archive.subarray(at + 512, at + 512 + size) });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return entries;
}

/** Writes a tar of exactly these entries; the headers are as they must be. */
export async function tarOf(entries: readonly RawEntry[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const { name, content } of entries) {
    parts.push(await tarHeader(name, content.length), content, Buffer.alloc(padded(content.length) - content.length));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export interface Rewrite {
  /** Changes the entries before the manifest. */
  readonly entries?: (entries: RawEntry[]) => RawEntry[];
  /** Changes the manifest's JSON after names, offsets, sizes and digests of entries were set right. */
  readonly manifest?: (json: ManifestJson) => void;
  readonly formatVersion?: number;
}

export interface ManifestJson {
  formatVersion: number;
  totals: Record<string, number>;
  digests: Record<string, string>;
  entries: Record<string, unknown>[];
}

/** Makes an archive anew whose frame is whole, whatever was changed in it: as somebody with bad intent could. */
export async function rewritten(
  archive: Buffer,
  { entries: change, manifest: edit, formatVersion = FORMAT_VERSION }: Rewrite,
): Promise<Buffer> {
  const all = entriesOf(archive).map(({ name, content }) => ({ name, content: Buffer.from(content) }));
  const manifest = all.find(({ name }) => name === MANIFEST_ENTRY) as RawEntry;
  const json = JSON.parse(manifest.content.toString()) as ManifestJson;
  const before = all.filter(({ name }) => name !== MANIFEST_ENTRY && name !== END_ENTRY);
  const entries = change === undefined ? before : change(before);
  let offset = 512;
  json.entries = entries.map(({ name, content }) => {
    const old = json.entries.find((entry) => entry.name === name) ?? { rawSize: content.length };
    const entry = { ...old, name, offset, size: content.length, sha256: sha256(content) };
    if (old.rawSize === old.size || !name.includes('/')) Object.assign(entry, { rawSize: content.length });
    offset += padded(content.length) + 512;
    return entry;
  });
  json.formatVersion = formatVersion;
  edit?.(json);
  const { entries: rows, ...head } = json;
  const ordered = rows.map(({ name, offset: at, size, rawSize, sha256: digest, ...rest }) => ({
    name,
    offset: at,
    size,
    rawSize,
    sha256: digest,
    ...rest,
  }));
  const text = `${JSON.stringify(head).slice(0, -1)},"entries":[\n${ordered.map((row) => JSON.stringify(row)).join(',\n')}\n]}\n`;
  const content = Buffer.from(text);
  const end = encodeEnd({ formatVersion, offset, size: content.length, sha256: sha256(content) });
  return tarOf([...entries, { name: MANIFEST_ENTRY, content }, { name: END_ENTRY, content: end }]);
}
