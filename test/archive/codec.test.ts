import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canCompress, compressBytes, decompressBytes } from '../../src/archive/codec.js';
import { FerryError } from '../../src/errors.js';
import { bytes } from '../support/arbitrary.js';

const RAW = Buffer.from('a run of records, or so '.repeat(1_000));
/** One frame of 24 bytes with a block of each kind, by hand from RFC 8878; Node 20 cannot write zstd. */
const ZSTD = Buffer.from(`28b52ffd${'2018'}${'a00000'}${Buffer.from('abcdefghijklmnopqrst').toString('hex')}${'23000078'}`, 'hex');
const ZSTD_RAW = Buffer.from('abcdefghijklmnopqrstxxxx');

async function outcomeOf(stored: Buffer, rawSize: number, compress: 'gzip' | 'zstd'): Promise<string> {
  try {
    return (await decompressBytes(stored, rawSize, compress, 'x')).toString('latin1');
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(FerryError);
    return (thrown as FerryError).code;
  }
}

test('what was compressed is decompressed, whatever it is', async () => {
  const kinds = (['gzip', 'zstd'] as const).filter((kind) => canCompress(kind));
  await fc.assert(
    fc.asyncProperty(bytes({ maxLength: 40_000, size: 'max' }), fc.constantFrom(...kinds), async (raw, kind) => {
      const stored = await compressBytes(raw, kind);
      expect((await decompressBytes(stored, raw.length, kind, 'x')).equals(raw)).toBe(true);
    }),
  );
});

describe('gzip', () => {
  const one = async (): Promise<Buffer> => compressBytes(RAW, 'gzip');
  const changed = (stored: Buffer, at: number, value: number): Buffer => {
    const copy = Buffer.from(stored);
    copy[at < 0 ? copy.length + at : at] = value;
    return copy;
  };
  const empty = zlib.gzipSync('');
  const size = Buffer.alloc(4);
  size.writeUInt32LE(RAW.length);

  test.each<[string, (stored: Buffer) => Buffer]>([
    ['an empty member in front', (stored) => Buffer.concat([empty, stored])],
    ['an empty member behind', (stored) => Buffer.concat([stored, empty])],
    ['150 of them', (stored) => Buffer.concat([...Array<Buffer>(150).fill(empty), stored])],
    ['the same member twice', (stored) => Buffer.concat([stored, stored])],
    ['zeros behind', (stored) => Buffer.concat([stored, Buffer.alloc(700)])],
    ['zeros and the size behind', (stored) => Buffer.concat([stored, Buffer.alloc(700), size])],
    ['a byte behind', (stored) => Buffer.concat([stored, Buffer.from([0x1f])])],
    ['its last byte gone', (stored) => stored.subarray(0, -1)],
    ['a name in the header', (stored) => Buffer.concat([changed(stored, 3, 8).subarray(0, 10), Buffer.from('x\0'), stored.subarray(10)])],
    ['a time in the header', (stored) => changed(stored, 4, 1)],
    ['an operating system', (stored) => changed(stored, 9, 3)],
    ['another CRC', (stored) => changed(stored, -8, (stored.at(-8) as number) ^ 1)],
    ['another size', (stored) => changed(stored, -1, 1)],
    ['nothing', () => Buffer.alloc(0)],
    ['a header alone', (stored) => stored.subarray(0, 10)],
  ])('with %s is damaged', async (_, change) => {
    expect(await outcomeOf(change(await one()), RAW.length, 'gzip')).toBe('damaged');
  });

  test('of another size than stated is damaged', async () => {
    for (const rawSize of [0, 1, RAW.length - 1, RAW.length + 1]) expect(await outcomeOf(await one(), rawSize, 'gzip')).toBe('damaged');
    expect(await outcomeOf(empty, 0, 'gzip')).toBe('damaged');
    expect(await outcomeOf(await compressBytes(Buffer.alloc(0), 'gzip'), 0, 'gzip')).toBe('');
  });
});

describe('zstd', () => {
  const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex');

  test('a frame with blocks of several kinds is read', async () => {
    expect(await outcomeOf(ZSTD, ZSTD_RAW.length, 'zstd')).toBe(ZSTD_RAW.toString('latin1'));
  });

  test.each<[string, Buffer]>([
    ['a skippable frame behind', Buffer.concat([ZSTD, skippable])],
    ['a skippable frame in front', Buffer.concat([skippable, ZSTD])],
    ['the same frame twice', Buffer.concat([ZSTD, ZSTD])],
    ['a byte behind', Buffer.concat([ZSTD, Buffer.alloc(1)])],
    ['its last byte gone', ZSTD.subarray(0, -1)],
    ['a header alone', ZSTD.subarray(0, 6)],
  ])('with %s is damaged', async (_, stored) => {
    expect(await outcomeOf(stored, ZSTD_RAW.length, 'zstd')).toBe('damaged');
  });
});
