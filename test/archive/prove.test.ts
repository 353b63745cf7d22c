import { describe, expect, test } from 'vitest';
import { openArchive } from '../../src/archive/open.js';
import { proveArchive } from '../../src/archive/prove.js';
import { FerryError } from '../../src/errors.js';
import { quietRun } from '../../src/model/run.js';
import { gzipMember } from '../support/bytes.js';
import { cutInto, kv, memorySource } from './memory.js';
import { entriesOf, type ManifestJson, packed, type RawEntry, rewritten, smallArchive, tarOf } from './samples.js';

const whole = await smallArchive();

/** The code that proving ends with; `whole` when it does not fail. */
async function proof(bytes: Buffer): Promise<string> {
  try {
    await proveArchive(memorySource(bytes), quietRun());
    return 'whole';
  } catch (thrown) {
    return thrown instanceof FerryError ? thrown.code : String(thrown);
  }
}

async function message(bytes: Buffer): Promise<string> {
  return proveArchive(memorySource(bytes), quietRun()).then(
    () => 'whole',
    (thrown: Error) => thrown.message,
  );
}

describe('damage is found', () => {
  test('the archive used here has an entry of every kind, and is whole', async () => {
    expect(entriesOf(whole.bytes).map(({ name }) => name)).toEqual([
      'etcdferry.json',
      'leases/000000.pb.gz',
      'auth.json',
      'segments/000000.pb.gz',
      'manifest.json',
      'end',
    ]);
    expect(await proveArchive(memorySource(whole.bytes), quietRun())).toEqual(whole.account);
  });

  test('in every single bit', async () => {
    const bytes = Buffer.from(whole.bytes);
    const missed: number[] = [];
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const at = bit >> 3;
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
      const found = await proof(bytes);
      if (found !== 'damaged') missed.push(bit);
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
    }
    expect(missed).toEqual([]);
    expect(await proof(bytes)).toBe('whole');
  }, 180_000);

  test('when it is cut at any byte, or at any block and filled up with zeros', async () => {
    for (let size = 0; size < whole.bytes.length; size++) expect(await proof(whole.bytes.subarray(0, size))).toBe('damaged');
    for (let size = 0; size < whole.bytes.length - 1024; size += 512) {
      const filled = Buffer.alloc(whole.bytes.length);
      whole.bytes.copy(filled, 0, 0, size);
      expect(await proof(filled)).toBe('damaged');
    }
  });

  test('when anything stands behind its end', async () => {
    for (const more of [1, 511, 512, 1024, 10240]) {
      expect(await proof(Buffer.concat([whole.bytes, Buffer.alloc(more)]))).toBe('damaged');
      expect(await proof(Buffer.concat([whole.bytes, Buffer.alloc(more, 'x')]))).toBe('damaged');
    }
    expect(await proof(Buffer.concat([whole.bytes, whole.bytes]))).toBe('damaged');
  });

  test('when any entry is missing, doubled, renamed or has changed places in the tar', async () => {
    const entries = entriesOf(whole.bytes);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as RawEntry;
      expect(await proof(await tarOf(entries.toSpliced(i, 1)))).toBe('damaged');
      expect(await proof(await tarOf(entries.toSpliced(i, 0, entry)))).toBe('damaged');
      expect(await proof(await tarOf(entries.with(i, { ...entry, name: 'x-other' })))).toBe('damaged');
      for (let j = 0; j < i; j++) {
        expect(await proof(await tarOf(entries.with(i, entries[j] as RawEntry).with(j, entry)))).toBe('damaged');
      }
    }
  });

  test('and told with entry and offset', async () => {
    const { offset, size } = whole.account.manifest.segments[0] as { offset: number; size: number };
    const flipped = Buffer.from(whole.bytes);
    flipped[offset + 4] = 1; // the time in the gzip header, which gunzip does not look at
    expect(await message(flipped)).toBe(
      `memory.tar: segments/000000.pb.gz (at ${offset}): its ${size} bytes do not have the SHA-256 they had when written`,
    );
    expect(await message(whole.bytes.subarray(0, 4096))).toContain('memory.tar: the last 2048 bytes, from 2048, are not the end');
    expect(await message(Buffer.alloc(0))).toContain('memory.tar: 0 bytes');
  });
});

describe('a frame made whole again around wrong content is found out', () => {
  const cases: Record<string, Parameters<typeof rewritten>[1]> = {
    'a segment removed': { entries: (all) => all.filter(({ name }) => !name.startsWith('segments/')) },
    'leases removed, totals kept': { entries: (all) => all.filter(({ name }) => !name.startsWith('leases/')) },
    'etcdferry.json not first': { entries: ([first, ...rest]) => [...rest, first as RawEntry] },
    'auth before leases': { entries: ([a, b, c, ...rest]) => [a, c, b, ...rest] as RawEntry[] },
    'a segment twice': { entries: (all) => [...all, all.at(-1) as RawEntry] },
    'segments not numbered from 0': { entries: (all) => rename(all, 'segments/000000.pb.gz', 'segments/000001.pb.gz') },
    'an unknown entry': { entries: (all) => [...all, { name: 'other', content: Buffer.from('x') }] },
    'an extra entry before the segments': {
      entries: ([a, ...rest]) => [a, { name: 'x-a', content: Buffer.from('x') }, ...rest] as RawEntry[],
    },
    'a name that leads out of the folder': { entries: (all) => [...all, { name: 'x-/../../etc', content: Buffer.from('x') }] },
    'the record count of a segment': { manifest: segment((entry) => Object.assign(entry, { records: 2 })) },
    'the record count with its total': {
      manifest: (json) => {
        segment((entry) => Object.assign(entry, { records: 4 }))(json);
        json.totals.records = 4;
      },
    },
    'the raw size, larger': { manifest: rawSize(+1) },
    'the raw size, smaller': { manifest: rawSize(-1) },
    'the first key': { manifest: segment((entry) => Object.assign(entry, { firstKey: 'A' })) },
    'the last key': { manifest: segment((entry) => Object.assign(entry, { lastKey: 'd' })) },
    'the digest of records': { manifest: (json) => Object.assign(json.digests, { records: '0'.repeat(64) }) },
    'the digest of values': { manifest: (json) => Object.assign(json.digests, { values: '0'.repeat(64) }) },
    'a total': { manifest: (json) => Object.assign(json.totals, { leases: 3 }) },
    'an offset': { manifest: segment((entry) => Object.assign(entry, { offset: 1024 })) },
    'an unknown field': { manifest: segment((entry) => Object.assign(entry, { more: 1 })) },
    'a fraction': { manifest: segment((entry) => Object.assign(entry, { records: 2.5 })) },
    'auth.json with another field': { entries: (all) => edit(all, 'auth.json', (json) => Object.assign(json, { more: true })) },
    'etcdferry.json of another format': { entries: (all) => edit(all, 'etcdferry.json', (json) => Object.assign(json, { format: 'zip' })) },
    'etcdferry.json with v2 and key order': { entries: (all) => edit(all, 'etcdferry.json', (json) => Object.assign(json, { api: 'v2' })) },
    'etcdferry.json saying zstd': { entries: (all) => edit(all, 'etcdferry.json', (json) => Object.assign(json, { compress: 'zstd' })) },
    'etcdferry.json nested beyond measure': {
      entries: (all) =>
        all.map((e) =>
          e.name === 'etcdferry.json'
            ? {
                ...e,
                content: Buffer.from(
                  String(e.content).replace('"options": {}', `"options": {"a": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
                ),
              }
            : e,
        ),
    },
    'etcdferry.json that is no JSON': {
      entries: (all) => all.map((e) => (e.name === 'etcdferry.json' ? { ...e, content: Buffer.from('{') } : e)),
    },
  };
  test.each(Object.entries(cases))('%s', async (_, change) => {
    expect(await proof(await rewritten(whole.bytes, change))).toBe('damaged');
  });

  test.each([
    ['out of order', [kv('b', '1'), kv('a', '1'), kv('c', '2')], 'record 1 does not come after the one before it, in key order'],
    ['with a key twice', [kv('a', '1'), kv('a', '1'), kv('c', '2')], 'record 1 does not come after the one before it, in key order'],
    ['that are none', [kv('a', '1'), Buffer.from([0xff]), kv('c', '2')], 'record 1 is not a KeyValue message'],
    ['with other values', [kv('a', '1'), kv('b', '1'), kv('c', '2')], 'do not have the content digest "records"'],
    ['with another first key', [kv('aa', '1'), kv('b', '1'), kv('c', '2')], 'its first and last key are not those'],
    ['with another last key', [kv('a', '1'), kv('b', '1'), kv('cc', '2')], 'its first and last key are not those'],
  ])('records %s', async (_, records, expected) => {
    expect(await message(await rewritten(whole.bytes, replaced(records)))).toContain(expected);
  });

  test.each([
    ['a length not in its shortest form', '8c000a0161100218032001', 'is not in its shortest form'],
    ['a length past the end', '7f0a0161', 'record 0 runs past the end'],
    ['a length cut short', '80', 'record 0 runs past the end'],
    ['more records than stated', '000000', 'holds 3 records, the manifest states 1'],
  ])('%s', async (_, hex, expected) => {
    const raw = Buffer.from(hex, 'hex');
    const { entries, manifest } = replaced([raw.subarray(1)]);
    const framed = (all: RawEntry[]): RawEntry[] =>
      all.map((e) => (e.name.startsWith('segments/') ? { ...e, content: gzipMember(raw) } : e));
    const bytes = await rewritten(whole.bytes, { entries: (all) => framed(entries?.(all) ?? all), ...(manifest && { manifest }) });
    expect(await message(bytes)).toContain(expected);
  });

  test('but an entry whose name begins with x- is let be, behind the segments', async () => {
    const extra = { name: 'x-signature', content: Buffer.from('signed') };
    const bytes = await rewritten(whole.bytes, { entries: (all) => [...all, extra] });
    expect(await proof(bytes)).toBe('whole');
    const at = bytes.indexOf('signed');
    bytes[at] = 0;
    expect(await proof(bytes)).toBe('damaged');
  });
});

describe('sizes that lie allocate nothing', () => {
  const bomb = gzipMember(Buffer.alloc(64 * 1024 * 1024), 9);
  const put = (rawSize: number, records: number): Parameters<typeof rewritten>[1] => ({
    entries: (all) => all.map((e) => (e.name.startsWith('segments/') ? { ...e, content: bomb } : e)),
    manifest: (json) => {
      segment((entry) => Object.assign(entry, { rawSize, records }))(json);
      Object.assign(json.totals, { records, rawBytes: rawSize });
    },
  });

  test('less raw bytes than there are', async () => {
    expect(await message(await rewritten(whole.bytes, put(100_000, 3)))).toContain('does not decompress to 100000 bytes');
  });

  test('more than deflate can hold', async () => {
    const lie = await rewritten(whole.bytes, { manifest: rawSize(50_000) });
    expect(await message(lie)).toContain('cannot be the');
  });

  test('more than the bound, with several records', async () => {
    expect(await message(await rewritten(whole.bytes, put(64 * 1024 * 1024, 3)))).toContain('more than 8388608');
  });

  test('one record over the limit is refused, and read when allowed', async () => {
    const { bytes } = await packed({ batches: cutInto([kv('a', Buffer.alloc(9_000_000))], 1) });
    await expect(proveArchive(memorySource(bytes), quietRun(), { maxRecordSize: 1_000_000 })).rejects.toMatchObject({
      code: 'failed',
      exit: 1,
    });
    await expect(proveArchive(memorySource(bytes), quietRun(), { maxRecordSize: 9_000_100 })).resolves.toBeDefined();
  });

  test('a manifest over the limit', async () => {
    await expect(openArchive(memorySource(whole.bytes), { maxManifestSize: 100 })).rejects.toMatchObject({ code: 'failed' });
  });
});

const newer = await rewritten(whole.bytes, { formatVersion: 7, manifest: (json) => Object.assign(json.totals, { planets: 8 }) });

describe('a format version of the future', () => {
  test('is unknown, not damaged, when its frame is whole', async () => {
    expect(await proof(newer)).toBe('unknown-format');
    await expect(openArchive(memorySource(newer))).rejects.toMatchObject({ code: 'unknown-format', exit: 13 });
  });

  test('is damaged before it is unknown', async () => {
    const missed: number[] = [];
    const bytes = Buffer.from(newer);
    for (let at = 0; at < bytes.length; at++) {
      bytes[at] = (bytes[at] as number) ^ 1;
      if ((await proof(bytes)) !== 'damaged') missed.push(at);
      bytes[at] = (bytes[at] as number) ^ 1;
    }
    expect(missed).toEqual([]);
  });

  test('in etcdferry.json alone is damage', async () => {
    const bytes = await rewritten(whole.bytes, {
      entries: (all) => edit(all, 'etcdferry.json', (json) => Object.assign(json, { formatVersion: 7 })),
    });
    expect(await proof(bytes)).toBe('damaged');
  });
});

test('a run that is stopped ends with the reason given', async () => {
  const stop = new AbortController();
  stop.abort(new FerryError('interrupted', 'stopped'));
  await expect(proveArchive(memorySource(whole.bytes), quietRun(stop.signal))).rejects.toMatchObject({ code: 'interrupted' });
});

function segment(change: (entry: Record<string, unknown>) => unknown): (json: ManifestJson) => void {
  return (json) => {
    change(json.entries.at(-1) as Record<string, unknown>);
  };
}

function rawSize(by: number): (json: ManifestJson) => void {
  return (json) => {
    const entry = json.entries.at(-1) as Record<string, unknown>;
    entry.rawSize = Number(entry.rawSize) + by;
    json.totals.rawBytes = Number(entry.rawSize);
  };
}

function rename(entries: RawEntry[], from: string, to: string): RawEntry[] {
  return entries.map((entry) => (entry.name === from ? { ...entry, name: to } : entry));
}

/** Puts other records into the segment, with everything the manifest says of them but the digests. */
function replaced(records: readonly Buffer[]): Parameters<typeof rewritten>[1] {
  const raw = Buffer.concat(records.flatMap((record) => [Buffer.from([record.length]), record]));
  return {
    entries: (all) => all.map((entry) => (entry.name.startsWith('segments/') ? { ...entry, content: gzipMember(raw) } : entry)),
    manifest: (json) => {
      segment((entry) => Object.assign(entry, { rawSize: raw.length, records: records.length }))(json);
      Object.assign(json.totals, { records: records.length, rawBytes: raw.length });
    },
  };
}

function edit(entries: RawEntry[], name: string, change: (json: object) => unknown): RawEntry[] {
  return entries.map((entry) => {
    if (entry.name !== name) return entry;
    const json = JSON.parse(entry.content.toString()) as object;
    change(json);
    return { name, content: Buffer.from(`${JSON.stringify(json, null, 2)}\n`) };
  });
}
