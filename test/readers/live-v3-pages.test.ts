import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rpcError } from '../../src/cluster/v3-errors.js';
import { recordAt } from '../../src/model/batch.js';
import { type PageOptions, PageReader } from '../../src/readers/live-v3-pages.js';
import { type KeyRange, rangesOf } from '../../src/readers/live-v3-ranges.js';
import { keyOf } from '../../src/wire/keyvalue.js';
import { bytes } from '../support/arbitrary.js';
import { FakeRange } from '../support/fake-range.js';

const EVERY_KEY = rangesOf({ prefixes: [], excludePrefixes: [] });
const signal = new AbortController().signal;

async function readKeys(server: FakeRange, pages: Partial<PageOptions>, ranges: readonly KeyRange[] = EVERY_KEY): Promise<string[]> {
  const reader = new PageReader(server, ranges, 0n, { signal, pages });
  await reader.first();
  const keys: string[] = [];
  for await (const page of reader.pages()) {
    for (let i = 0; i < page.count; i++) keys.push(keyOf(recordAt(page, i)).toString('hex'));
  }
  return keys;
}

const sorted = (keys: readonly Buffer[]): string[] => keys.toSorted(Buffer.compare).map((key) => key.toString('hex'));

/** Keys with few distinct bytes, so that they share prefixes, are prefixes of each other, and end in 0x00 and 0xff. */
const awkwardKey = fc
  .array(fc.constantFrom(0, 1, 0x2f, 0x61, 0x62, 0xfe, 0xff), { minLength: 1, maxLength: 6 })
  .map((key) => Buffer.from(key));
const keySet = fc.uniqueArray(fc.oneof(awkwardKey, bytes({ minLength: 1, maxLength: 5 })), {
  maxLength: 400,
  size: 'max',
  selector: (key) => key.toString('hex'),
});

describe('near-end paging', () => {
  test('gives every key once and in order, however wrong the counts are', async () => {
    const lie = fc.constantFrom<((truth: number) => number) | undefined>(
      undefined,
      () => 0,
      (truth) => truth * 50,
      (truth) => Math.floor(truth / 3),
      () => 1_000_000,
      (truth) => -truth,
    );
    await fc.assert(
      fc.asyncProperty(
        keySet,
        lie,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 4 }),
        async (keys, count, maxLimit, streams) => {
          const server = new FakeRange(keys, count === undefined ? {} : { count });
          expect(await readKeys(server, { firstLimit: maxLimit, maxLimit, streams, aheadBytes: 200 })).toEqual(sorted(keys));
        },
      ),
      { numRuns: process.env.SOAK ? 3000 : 120 },
    );
  });

  test('answers in any order are put in order', async () => {
    const keys = Array.from({ length: 300 }, (_, i) => Buffer.from(`/registry/${'abcdefg'[i % 7]}/name-${i}`));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(3), { minLength: 1 }), async (delays) => {
        const server = new FakeRange(keys, { delay: (n) => delays[n % delays.length] as number });
        expect(await readKeys(server, { firstLimit: 5, maxLimit: 5, streams: 3 })).toEqual(sorted(keys));
        expect(server.mostInFlight).toBe(3);
      }),
      { numRuns: 10 },
    );
  });

  test('walks few keys more than it reads, where open ends would be quadratic', async () => {
    const keys = Array.from({ length: 50_000 }, (_, i) =>
      Buffer.from(`/registry/${['pods', 'events', 'secrets'][i % 3]}/ns-${i % 40}/name-${i}`),
    );
    const server = new FakeRange(keys);
    expect(await readKeys(server, { firstLimit: 100, maxLimit: 400 })).toHaveLength(50_000);
    // Open ends: 50,000 keys in 126 pages walk 3,150,000.
    expect(server.walked).toBeLessThan(400_000);
    expect(server.requests).toBeLessThan(400);
    expect(server.mostInFlight).toBe(2);
  });

  test('a page that is too large is asked for again with fewer keys, down to one', async () => {
    const keys = Array.from({ length: 60 }, (_, i) => Buffer.from(`k${i}`));
    const large = new Set(['k7', 'k33']);
    const server = new FakeRange(keys, {}, (key) => Buffer.alloc(large.has(key.toString()) ? 50_000 : 100));
    expect(await readKeys(server, { firstLimit: 60, receiveBytes: 20_000 })).toEqual(sorted(keys));
  });

  test('a page that does not come in time is asked for with fewer keys, and pages stay smaller', async () => {
    const keys = Array.from({ length: 400 }, (_, i) => Buffer.from(`k${i}`));
    const server = new FakeRange(keys, {}, () => Buffer.alloc(1000));
    let slow = 0;
    const call: FakeRange['call'] = async (method, request, options) => {
      const answer = await server.call(method, request, options);
      if (answer.length < 150_000) return answer;
      slow++;
      throw rpcError({ code: 4, details: 'Deadline exceeded' }, 'fake');
    };
    const reader = new PageReader({ call }, EVERY_KEY, 0n, { signal, pages: { firstLimit: 400, streams: 1 } });
    await reader.first();
    let count = 0;
    for await (const page of reader.pages()) count += page.count;
    expect(count).toBe(400);
    expect(slow).toBeLessThan(4);
    const dead = { call: async () => Promise.reject(rpcError({ code: 4, details: '' }, 'fake')) };
    await expect(new PageReader(dead, EVERY_KEY, 0n, { signal }).first()).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('nothing more is asked for once the pages are no longer wanted', async () => {
    const server = new FakeRange(
      Array.from({ length: 1000 }, (_, i) => Buffer.from(`k${i}`)),
      { delay: () => 1 },
    );
    const reader = new PageReader(server, EVERY_KEY, 0n, { signal, pages: { firstLimit: 5, maxLimit: 5 } });
    await reader.first();
    for await (const page of reader.pages()) if (page.count > 0) break;
    const { requests } = server;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.requests).toBe(requests);
  });

  test('pages that wait are bounded', async () => {
    const keys = Array.from({ length: 2000 }, (_, i) => Buffer.from(`${i % 10}/${i}`));
    const server = new FakeRange(keys, { delay: (n) => (n === 1 ? 30 : 0) });
    const pages = { firstLimit: 10, maxLimit: 10, streams: 4, aheadBytes: 2000 };
    const reader = new PageReader(server, EVERY_KEY, 0n, { signal, pages });
    await reader.first();
    const iterator = reader.pages();
    await iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.requests).toBeLessThan(30);
  });

  test('keys that were not asked for, and "more" without any, are errors', async () => {
    const honest = new FakeRange([Buffer.from('a'), Buffer.from('b'), Buffer.from('c')]);
    const deaf = { call: (method: string) => honest.call(method, Buffer.from([0x0a, 1, 0x61, 0x12, 1, 0])) };
    const beyond = new PageReader(deaf, rangesOf({ prefixes: [Buffer.from('b')], excludePrefixes: [] }), 0n, { signal });
    await expect(beyond.first()).rejects.toMatchObject({ code: 'failed' });
    const empty = { call: async () => Buffer.from([0x18, 1, 0x20, 5]) };
    await expect(new PageReader(empty, EVERY_KEY, 0n, { signal }).first()).rejects.toMatchObject({ code: 'failed' });
  });

  test('the first failure ends the reading', async () => {
    const server = new FakeRange(
      Array.from({ length: 100 }, (_, i) => Buffer.from(`${i}`)),
      {},
      () => Buffer.alloc(5000),
    );
    const pages = { firstLimit: 10, maxLimit: 10 };
    const call: FakeRange['call'] = async (method, request, options) => {
      if (server.requests === 4) throw new Error('gone');
      return server.call(method, request, options);
    };
    const reader = new PageReader({ call }, EVERY_KEY, 0n, { signal, pages });
    await reader.first();
    const readAll = async (): Promise<void> => {
      for await (const page of reader.pages()) expect(page.count).toBeGreaterThan(0);
    };
    await expect(readAll()).rejects.toThrow('gone');
  });
});

describe('limitRate', () => {
  test('holds over all streams together', async () => {
    const keys = Array.from({ length: 60 }, (_, i) => Buffer.from(`k${i}`));
    const server = new FakeRange(keys, {}, () => Buffer.alloc(1000));
    const reader = new PageReader(server, EVERY_KEY, 0n, { signal, limitRate: 40_000, pages: { firstLimit: 5, maxLimit: 5 } });
    const started = Date.now();
    await reader.first();
    let total = 0;
    for await (const page of reader.pages()) total += page.bytes.length;
    // 60 KB at 40 KB/s, of which the first second's worth and two pages in flight are free.
    expect(Date.now() - started).toBeGreaterThan(((total - 40_000 - 12_000) / 40_000) * 1000);
    expect(Date.now() - started).toBeLessThan(5000);
  });
});
