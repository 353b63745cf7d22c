import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { type TornTail, WalReader, type WalRecord } from '../../src/wire/wal.js';
import { bytes } from '../support/arbitrary.js';
import { bytesSource, WalWriter } from '../support/wal.js';

async function readAll(segments: readonly Buffer[]): Promise<{ records: WalRecord[]; torn: TornTail | undefined }> {
  const reader = new WalReader(segments.map((segment, i) => bytesSource(segment, `segment ${i}`)));
  const records: WalRecord[] = [];
  for await (const run of reader.records()) records.push(...run.map(({ type, data }) => ({ type, data: Buffer.from(data) })));
  return { records, torn: reader.tornTail };
}

async function codeOf(segments: readonly Buffer[]): Promise<string> {
  return readAll(segments).then(
    ({ torn }) => (torn === undefined ? 'whole' : 'torn'),
    (thrown: unknown) => {
      expect(thrown).toBeInstanceOf(FerryError);
      return (thrown as FerryError).code;
    },
  );
}

const record = fc.record({ type: fc.constantFrom(1, 2, 3, 5), data: bytes({ maxLength: 300 }) });
const segments = fc.array(fc.array(record, { maxLength: 8 }), { minLength: 1, maxLength: 4 });

function write(parts: readonly (readonly WalRecord[])[], padded: boolean): Buffer[] {
  const writer = new WalWriter({ padded });
  return parts.map((part) => {
    for (const { type, data } of part) writer.record(type, data);
    return writer.cut();
  });
}

describe('WAL segments', () => {
  test('give the records that were written, with and without padding and a preallocated tail', async () => {
    await fc.assert(
      fc.asyncProperty(segments, fc.boolean(), fc.constantFrom(0, 8, 4096), async (parts, padded, tail) => {
        const written = write(parts, padded);
        written.push(Buffer.concat([written.pop() as Buffer, Buffer.alloc(tail)]));
        const { records, torn } = await readAll(written);
        expect(torn).toBeUndefined();
        expect(records).toEqual(parts.flat());
      }),
    );
  });

  test('records larger than a chunk, and frames across chunks, are whole', async () => {
    const data = [900_000, 300_000, 3_000_000, 10, 1_048_560].map((length, i) => Buffer.alloc(length, i + 1));
    const { records } = await readAll(write([data.map((d) => ({ type: 2, data: d }))], true));
    expect(records.map((r) => r.data.length)).toEqual(data.map((d) => d.length));
    records.forEach((r, i) => {
      expect(r.data.equals(data[i] as Buffer)).toBe(true);
    });
  });

  test("a flipped bit is found wherever it is, but in a record's kind, which no CRC covers", async () => {
    const [segment] = write([Array.from({ length: 6 }, (_, i) => ({ type: 2, data: Buffer.alloc(40, i + 1) }))], false) as [Buffer];
    const { records } = await readAll([segment]);
    for (let at = 8; at < segment.length; at++) {
      const changed = Buffer.from(segment);
      changed[at] = (changed[at] as number) ^ 0x10;
      if ((await codeOf([changed])) !== 'whole') continue;
      const read = await readAll([changed]);
      expect(read.records.map(({ data }) => data)).toEqual(records.map(({ data }) => data));
      // None differs when the bit is one of those in a frame's length that etcd leaves alone.
      expect(read.records.filter(({ type }) => type !== 2).length).toBeLessThan(2);
    }
  });

  test('a last segment cut anywhere is torn or ends between records; another one is damaged', async () => {
    const parts = [
      [
        { type: 2, data: Buffer.alloc(100, 1) },
        { type: 2, data: Buffer.alloc(33, 2) },
      ],
      [{ type: 2, data: Buffer.alloc(10, 3) }],
    ];
    const [first, second] = write(parts, true) as [Buffer, Buffer];
    let whole = 0;
    for (let length = 0; length < first.length; length++) {
      const code = await codeOf([first.subarray(0, length)]);
      expect(['torn', 'whole']).toContain(code);
      if (code === 'whole') whole++;
      // With nothing before it, the second could be the log's beginning: what it misses is seen by the entries' indices.
      if (length > 0) expect(await codeOf([first.subarray(0, length), second])).toBe('damaged');
    }
    expect(whole).toBe(2);
  });

  test("a sector that was never written tears the log's end only, as etcd has it", async () => {
    const big = { type: 2, data: Buffer.alloc(3000, 7) };
    const [first, second] = write([[big, big], [big]], true) as [Buffer, Buffer];
    const holed = Buffer.from(first);
    holed.fill(0, 4096, 4608);
    expect(await readAll([holed])).toMatchObject({ records: [big], torn: { offset: first.length / 2 } });
    expect(await codeOf([holed, second])).toBe('damaged');
    const lengthGone = Buffer.from(first).fill(0, first.length / 2, first.length / 2 + 8);
    expect(await readAll([lengthGone])).toMatchObject({ records: [big], torn: { offset: first.length / 2 } });
  });

  test('a segment of another log does not follow', async () => {
    const [first] = write([[{ type: 2, data: Buffer.from('a') }]], true) as [Buffer];
    const [, other] = write([[{ type: 2, data: Buffer.from('b') }], []], true) as [Buffer, Buffer];
    expect(await codeOf([first, other])).toBe('damaged');
  });

  test('random bytes are read or refused, never worse', async () => {
    await fc.assert(
      fc.asyncProperty(bytes({ maxLength: 400 }), fc.boolean(), async (noise, short) => {
        if (short && noise.length >= 8) noise.fill(0, 1, 8);
        expect(['whole', 'torn', 'damaged']).toContain(await codeOf([noise]));
        expect(['whole', 'torn', 'damaged']).toContain(await codeOf([noise, noise]));
      }),
    );
  });
});
