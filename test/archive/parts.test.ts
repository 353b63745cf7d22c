import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeAuth, parseAuth } from '../../src/archive/auth.js';
import { isArchiveStart } from '../../src/archive/detect.js';
import { encodeEnd, parseEnd } from '../../src/archive/end.js';
import { encodeHeader, headerOf, lastingNotes, parseHeader } from '../../src/archive/header.js';
import { decodeLease, encodeLease } from '../../src/archive/leases.js';
import { parseFrameManifest } from '../../src/archive/manifest.js';
import { compareKeys } from '../../src/archive/order.js';
import { RecordScanner } from '../../src/archive/spans.js';
import { tarHeader } from '../../src/archive/tar.js';
import { FerryError } from '../../src/errors.js';
import type { Lease } from '../../src/model/lease.js';
import { decodeKeyValue, encodeKeyValue } from '../../src/wire/keyvalue.js';
import { bytes, int64, keyValue, uint64 } from '../support/arbitrary.js';
import { V3_INFO } from './memory.js';
import { smallArchive } from './samples.js';

describe('tar headers', () => {
  test('are plain ustar, from name and size alone', async () => {
    const header = await tarHeader('segments/000000.pb.gz', 12345);
    expect(header.length).toBe(512);
    expect(header.toString('latin1', 0, 22)).toBe('segments/000000.pb.gz\0');
    expect(header.toString('latin1', 100, 108)).toBe('000600 \0');
    expect(header.toString('latin1', 124, 136)).toBe('00000030071 ');
    expect(header.toString('latin1', 136, 148)).toBe('00000000000 ');
    expect(header.toString('latin1', 257, 265)).toBe('ustar\x0000');
    expect(await tarHeader('segments/000000.pb.gz', 12345)).toEqual(header);
  });

  test('refuse what they cannot hold', async () => {
    await expect(tarHeader('x'.repeat(101), 1)).rejects.toBeInstanceOf(FerryError);
    await expect(tarHeader('é', 1)).rejects.toBeInstanceOf(FerryError);
    await expect(tarHeader('x', 8 ** 11)).rejects.toBeInstanceOf(FerryError);
    await expect(tarHeader('x', 8 ** 11 - 1)).resolves.toBeInstanceOf(Buffer);
  });
});

describe('an archive is told by its first block', () => {
  test('also when a bit is flipped, or it is cut', async () => {
    const { bytes: archive } = await smallArchive();
    const block = Buffer.from(archive.subarray(0, 512));
    for (let bit = 0; bit < 4096; bit++) {
      const flipped = Buffer.from(block);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(isArchiveStart(flipped)).toBe(true);
    }
    expect(isArchiveStart(block.subarray(0, 100))).toBe(true);
  });

  test('other tars, empty files and noise are none', async () => {
    expect(isArchiveStart(await tarHeader('backup.json', 100))).toBe(false);
    expect(isArchiveStart(await tarHeader('manifest.json', 100))).toBe(false);
    expect(isArchiveStart(Buffer.alloc(512))).toBe(false);
    expect(isArchiveStart(Buffer.alloc(0))).toBe(false);
    fc.assert(fc.property(bytes({ minLength: 512, maxLength: 512 }), (noise) => !isArchiveStart(noise)));
  });
});

describe('etcdferry.json, auth.json, end and leases are read as they were written', () => {
  test('etcdferry.json', () => {
    const key = bytes({ maxLength: 8 });
    const info = fc.record({
      revision: int64,
      clusterId: uint64,
      startedAt: fc.integer({ min: 0, max: 4102444800000 }),
      location: fc.string({ unit: 'grapheme' }),
      selection: fc.record({ prefixes: fc.array(key), excludePrefixes: fc.array(key) }),
    });
    const texts = fc.array(fc.string({ unit: 'grapheme' }));
    const choice = fc.record({ kinds: texts, excludeKinds: texts, namespaces: texts, names: texts, etcdPrefixes: texts });
    const objects = fc.option(
      fc.array(choice, { minLength: 1 }).map((all) => ({ objects: all })),
      { nil: {} },
    );
    fc.assert(
      fc.property(info, objects, fc.dictionary(fc.string(), fc.jsonValue()), (some, chosen, options) => {
        const header = headerOf({ ...V3_INFO, ...some, ...chosen }, '1.2.3', 'gzip', options);
        expect(parseHeader(encodeHeader(header), header.formatVersion, 'x')).toEqual(header);
      }),
    );
  });

  test('the lasting notes of etcdferry.json, whatever else stands in its options', () => {
    const note = fc.record({
      code: fc.string(),
      message: fc.string(),
      count: fc.nat(),
      examples: fc.array(fc.string()),
      lossy: fc.constant(false),
    });
    fc.assert(
      fc.property(fc.array(note), fc.dictionary(fc.string(), fc.jsonValue()), (notes, { notes: _, ...options }) => {
        const header = headerOf({ ...V3_INFO, lastingNotes: notes }, '1.2.3', 'gzip', options);
        expect(lastingNotes(parseHeader(encodeHeader(header), header.formatVersion, 'x'))).toEqual(notes);
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (notes) => {
        for (const one of lastingNotes(headerOf(V3_INFO, '1.2.3', 'gzip', { notes }))) expect(one.lossy).toBe(false);
      }),
    );
  });

  test('auth.json', () => {
    const name = fc.string();
    const user = fc.record(
      { name, roles: fc.array(name), passwordHash: bytes(), noPassword: fc.boolean() },
      { requiredKeys: ['name', 'roles'] },
    );
    const type = fc.constantFrom('read' as const, 'write' as const, 'readwrite' as const);
    const role = fc.record({ name, permissions: fc.array(fc.record({ type, key: bytes(), rangeEnd: bytes() })) });
    const enabled = fc.option(fc.boolean(), { nil: undefined });
    fc.assert(
      fc.property(fc.record({ enabled, users: fc.array(user), roles: fc.array(role) }), (auth) => {
        expect(parseAuth(encodeAuth(auth), 'x')).toEqual(auth);
      }),
    );
  });

  test('end, in 512 bytes', () => {
    const end = { formatVersion: 0, offset: 2 ** 50, size: 1234, sha256: 'ab'.repeat(32) };
    expect(encodeEnd(end).length).toBe(512);
    expect(parseEnd(encodeEnd(end), 'x')).toEqual(end);
  });

  test('leases', () => {
    const lease: fc.Arbitrary<Lease> = fc.record({
      id: int64,
      grantedTtl: int64,
      remainingTtl: int64,
      seenAt: fc.maxSafeInteger(),
      origin: fc.constantFrom('lease' as const, 'expiration' as const),
    });
    fc.assert(
      fc.property(lease, (one) => {
        expect(decodeLease(encodeLease(one))).toEqual(one);
      }),
    );
    expect(() => decodeLease(Buffer.from([0x30, 1]))).toThrow(FerryError);
    expect(() => decodeLease(Buffer.from([0x28, 9]))).toThrow(FerryError);
  });

  test('noise is refused, never worse', () => {
    const parsers = [(noise: Buffer) => parseHeader(noise, 1, 'x'), parseAuth, parseEnd, (noise: Buffer) => decodeLease(noise)];
    fc.assert(
      fc.property(fc.oneof(bytes(), fc.json().map(Buffer.from)), fc.constantFrom(...parsers), (noise, parse) => {
        try {
          parse(noise, 'x');
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(FerryError);
        }
      }),
    );
  });
});

describe('the scanner', () => {
  test('finds key and value where the decoder does', () => {
    fc.assert(
      fc.property(keyValue, (kv) => {
        const message = encodeKeyValue(kv);
        const { keyStart, keyEnd, valueStart, valueEnd } = new RecordScanner('key').scan(message, 0, message.length);
        expect(message.subarray(keyStart, keyEnd)).toEqual(kv.key);
        expect(message.subarray(valueStart, valueEnd)).toEqual(kv.value);
      }),
    );
  });

  test('agrees with the decoder about noise', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 30 }), (noise) => {
        let decoded: unknown;
        try {
          const { key, value } = decodeKeyValue(noise);
          decoded = { key, value };
        } catch {
          return;
        }
        const { keyStart, keyEnd, valueStart, valueEnd } = new RecordScanner('key').scan(noise, 0, noise.length);
        const scanned = { key: noise.subarray(keyStart, keyEnd), value: noise.subarray(valueStart, valueEnd) };
        expect(scanned).toEqual(decoded);
      }),
      { numRuns: 2000 },
    );
  });
});

test('tree order puts parents before children and siblings by bytes', () => {
  const name = fc.array(fc.constantFrom('a', '-', '\0', 'b', '\u00ff'), { minLength: 1, maxLength: 3 }).map((chars) => chars.join(''));
  const path = fc.array(name, { maxLength: 4 });
  const byNames = (a: readonly string[], b: readonly string[]): number => {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const order = Buffer.compare(Buffer.from(a[i] as string, 'latin1'), Buffer.from(b[i] as string, 'latin1'));
      if (order !== 0) return order;
    }
    return a.length - b.length;
  };
  fc.assert(
    fc.property(path, path, (a, b) => {
      const found = compareKeys('tree', Buffer.from(`/${a.join('/')}`, 'latin1'), Buffer.from(`/${b.join('/')}`, 'latin1'));
      expect(Math.sign(found)).toBe(Math.sign(byNames(a, b)));
    }),
  );
});

test('a manifest of more entries than a reader takes is refused before any is looked at', () => {
  const manifest = (entries: number): Buffer => Buffer.from(`{"formatVersion":1,"entries":[${'{},'.repeat(entries - 1)}{}]}`);
  const refused =
    (entries: number): (() => unknown) =>
    () =>
      parseFrameManifest(manifest(entries), 'x');
  expect(refused(150_001)).toThrow(
    expect.objectContaining({ code: 'failed', message: 'x: names 150001 entries; at most 150000 are read' }),
  );
  expect(refused(150_000)).toThrow(expect.objectContaining({ code: 'damaged' }));
});
