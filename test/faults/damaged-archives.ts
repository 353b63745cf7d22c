import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { encodeEnd } from '../../src/archive/end.js';
import { sha256 } from '../../src/archive/entries.js';
import { padded, tarHeader } from '../../src/archive/tar.js';
import { entriesOf, type ManifestJson, type RawEntry, rewritten, tarOf } from '../archive/samples.js';
import { gzipMember } from '../support/bytes.js';

const BLOCK = 512;
export const archive = (name: string): Buffer => readFileSync(join(import.meta.dirname, '../../testdata/archive', name));
const key = archive('v1-key.tar');
const tree = archive('v1-tree.tar');
const history = archive('v1-revision.tar');

export function flipped(bytes: Buffer, offset: number, mask = 1): Buffer {
  const changed = Buffer.from(bytes);
  changed[offset] = (changed[offset] as number) ^ mask;
  return changed;
}

/** Where an entry's content begins. */
function offsetOf(bytes: Buffer, name: string): number {
  let at = BLOCK;
  for (const entry of entriesOf(bytes)) {
    if (entry.name === name) return at;
    at += padded(entry.content.length) + BLOCK;
  }
  throw new Error(`no ${name}`);
}

const SEGMENT = 'segments/000000.pb.gz';
const inSegment = offsetOf(key, SEGMENT);
const segmentSize = (entriesOf(key).find(({ name }) => name === SEGMENT) as RawEntry).content.length;

/** Changes a tar header and sets its checksum right, as any tool for tars would. */
function withHeader(bytes: Buffer, at: number, change: (header: Buffer) => void): Buffer {
  const changed = Buffer.from(bytes);
  const header = changed.subarray(at, at + BLOCK);
  change(header);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return changed;
}

const segmentHeader = (change: (header: Buffer) => void) => (): Buffer => withHeader(key, inSegment - BLOCK, change);
const typed = (type: string, link = '') =>
  segmentHeader((header) => {
    header.write(type, 156);
    header.write(link, 157);
  });

/** Puts a block of another type before the segment: what GNU tar and pax use to say more of the next entry. */
function extension(type: string, name: string, content: string): () => Promise<Buffer> {
  return async () => {
    const header = withHeader(await tarHeader(name, content.length), 0, (it) => void it.write(type, 156));
    const body = Buffer.alloc(padded(content.length));
    body.write(content);
    return Buffer.concat([key.subarray(0, inSegment - BLOCK), header, body, key.subarray(inSegment - BLOCK)]);
  };
}

/** The frame made whole again around changed entries: digests, offsets and sizes all fit. */
const entries =
  (change: (all: RawEntry[]) => RawEntry[], from = key) =>
  (): Promise<Buffer> =>
    rewritten(from, { entries: change });
const manifest = (change: (json: ManifestJson) => unknown) => (): Promise<Buffer> =>
  rewritten(key, { manifest: (json) => void change(json) });
const segment = (change: (entry: Readonly<Record<string, unknown>>) => object) =>
  manifest((json) => {
    const entry = json.entries.find(({ name }) => name === SEGMENT) as Record<string, unknown>;
    Object.assign(entry, change(entry));
  });

/** The framed records of a segment. */
function framed(from: Buffer): Buffer[] {
  const raw = gunzipSync((entriesOf(from).find(({ name }) => name === SEGMENT) as RawEntry).content);
  const found: Buffer[] = [];
  for (let at = 0; at < raw.length; ) {
    let [size, shift, next] = [0, 0, at];
    for (;;) {
      const byte = raw[next++] as number;
      size += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte < 128) break;
    }
    found.push(raw.subarray(at, next + size));
    at = next + size;
  }
  return found;
}

/** Other records in the segment, with size and digest of it and the totals to match. */
function records(change: (all: Buffer[]) => Buffer[], from = key): () => Promise<Buffer> {
  return () => {
    const changed = change(framed(from));
    const raw = Buffer.concat(changed);
    return rewritten(from, {
      entries: (all) => all.map((entry) => (entry.name === SEGMENT ? { ...entry, content: gzipMember(raw) } : entry)),
      manifest: (json) => {
        const entry = json.entries.find(({ name }) => name === SEGMENT) as Record<string, unknown>;
        Object.assign(entry, { rawSize: raw.length, records: changed.length });
        Object.assign(json.totals, { rawBytes: raw.length, records: changed.length });
      },
    });
  };
}

const stored =
  (content: Buffer, more: object = {}, totals: object = {}, of = SEGMENT) =>
  (): Promise<Buffer> =>
    rewritten(key, {
      entries: (all) => all.map((entry) => (entry.name === of ? { ...entry, content } : entry)),
      manifest: (json) => {
        Object.assign(json.entries.find(({ name }) => name === of) as object, more);
        Object.assign(json.totals, totals);
      },
    });

const zstd = archive('v0-zstd.tar');
const ZSTD_SEGMENT = 'segments/000000.pb.zst';

/** Other content in the segment of an archive that is compressed with zstd; what is not given is left as it was. */
function zstdSegment(change: (rawSize: number, content: Buffer) => Buffer, more: { rawSize?: number; records?: number } = {}) {
  return (): Promise<Buffer> => {
    const old = JSON.parse(String(entriesOf(zstd).find(({ name }) => name === 'manifest.json')?.content)) as ManifestJson;
    const { rawSize } = old.entries.find(({ name }) => name === ZSTD_SEGMENT) as { rawSize: number };
    return rewritten(zstd, {
      formatVersion: 0,
      entries: (all) => all.map((entry) => (entry.name === ZSTD_SEGMENT ? { ...entry, content: change(rawSize, entry.content) } : entry)),
      manifest: (json) => {
        Object.assign(json.entries.find(({ name }) => name === ZSTD_SEGMENT) as object, more);
        if (more.rawSize !== undefined) Object.assign(json.totals, { rawBytes: more.rawSize, records: more.records });
      },
    });
  };
}

/**
 * A zstd frame of runs of zeros (RFC 8878), each 128 KiB in four bytes.
 *
 * @param stated the content size in its header
 * @param window descriptor of the window; without one the content is the window
 */
function zstdFrame(stated: number, runs: number, window?: number): Buffer {
  const head = Buffer.alloc(window === undefined ? 9 : 10);
  head.writeUInt32LE(0xfd2fb528, 0);
  head[4] = window === undefined ? 0xa0 : 0x80;
  if (window !== undefined) head[5] = window;
  head.writeUInt32LE(stated, head.length - 4);
  const run = Buffer.from([0x02, 0x00, 0x10, 0x00]);
  const last = Buffer.from([0x03, 0x00, 0x00, 0x00]);
  return Buffer.concat([head, ...Array.from({ length: runs }, () => run), last]);
}

/** All damaged (12), in words that Node's own zstd and the one for older Nodes do not share. */
const ZSTD_BOMBS: Readonly<Record<string, () => Promise<Buffer>>> = {
  'forged: a zstd bomb of 1 GiB': zstdSegment((rawSize) => zstdFrame(rawSize, 8192)),
  'forged: a zstd frame that ends early': zstdSegment((rawSize) => zstdFrame(rawSize, 0)),
  'forged: a zstd frame with a window of 3 TiB': zstdSegment((rawSize) => zstdFrame(rawSize, 0, 0xff)),
};

const header = (fields: object) =>
  entries((all) =>
    all.map((entry) => {
      if (entry.name !== 'etcdferry.json') return entry;
      const json = { ...(JSON.parse(entry.content.toString()) as object), ...fields };
      return { ...entry, content: Buffer.from(`${JSON.stringify(json, null, 2)}\n`) };
    }),
  );

const extra = (name: string) => entries((all) => [...all, { name, content: Buffer.from('root::0:0') }]);

/** A manifest of nothing but this JSON, in a frame that is whole. */
async function ownManifest(json: string): Promise<Buffer> {
  const content = Buffer.from(json);
  const first = { name: 'etcdferry.json', content: Buffer.from('{}') };
  const end = encodeEnd({ formatVersion: 1, offset: 3 * BLOCK, size: content.length, sha256: sha256(content) });
  return tarOf([first, { name: 'manifest.json', content }, { name: 'end', content: end }]);
}

const FIRST = `{"name":"etcdferry.json","offset":512,"size":2,"rawSize":2,"sha256":"${sha256(Buffer.from('{}'))}"}`;

/** Rows that nothing stands behind but a manifest that says so. */
function manyEntries(count: number): string {
  const rows = [FIRST];
  for (let i = 0; i < count; i++) {
    rows.push(`{"name":"x-${i}","offset":${1536 + i * BLOCK},"size":0,"rawSize":0,"sha256":"${sha256(Buffer.alloc(0))}"}`);
  }
  return `{"formatVersion":1,"totals":{},"digests":{},"entries":[\n${rows.join(',\n')}\n]}\n`;
}

const swap = <T>(list: T[], i: number, j: number): T[] => list.with(i, list[j] as T).with(j, list[i] as T);

export {
  BLOCK,
  entries,
  extension,
  extra,
  FIRST,
  framed,
  header,
  history,
  inSegment,
  key,
  manifest,
  manyEntries,
  offsetOf,
  ownManifest,
  records,
  SEGMENT,
  segment,
  segmentHeader,
  segmentSize,
  stored,
  swap,
  tree,
  typed,
  ZSTD_BOMBS,
  zstdFrame,
  zstdSegment,
};
