import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { batchOf } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { RecordSorter, type SortOptions, sortRecords } from '../../src/sort/sorter.js';
import { bytes } from '../support/arbitrary.js';
import { split } from '../support/snapshots.js';

const dir = mkdtempSync(join(tmpdir(), 'sort-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** Records that begin with the length of their key (one byte), the key, and then their number. */
const findKey: SortOptions['findKey'] = (all, start, _, range) => {
  range.start = start + 1;
  range.end = start + 1 + (all[start] as number);
};
const keyOf = (record: Buffer): Buffer => record.subarray(1, 1 + (record[0] as number));

function record(key: Buffer, number: number, padding = 0): Buffer {
  const tail = Buffer.alloc(4 + padding, number & 0xff);
  tail.writeUInt32BE(number);
  return Buffer.concat([Buffer.from([key.length]), key, tail]);
}

async function sorted(records: readonly Buffer[], options: Partial<SortOptions>): Promise<Buffer[]> {
  async function* batches() {
    for (let i = 0; i < records.length; i += 700) yield batchOf(records.slice(i, i + 700));
  }
  const out: Buffer[] = [];
  for await (const batch of sortRecords(batches(), { findKey, tmpDir: dir, ...options }, quietRun())) out.push(...split(batch));
  return out;
}

/** The straight way; Array.sort is stable. */
function expected(records: readonly Buffer[], { dropOlder = false, hides = () => false }: Partial<SortOptions>): Buffer[] {
  const all = [...records].sort((a, b) => Buffer.compare(keyOf(a), keyOf(b)));
  const last = dropOlder ? all.filter((one, i) => i + 1 === all.length || !keyOf(one).equals(keyOf(all[i + 1] as Buffer))) : all;
  return last.filter((one) => !hides(one, 0, one.length));
}

const hex = (records: readonly Buffer[]): string[] => records.map((one) => one.toString('hex'));

// Keys that share long prefixes, differ in zero bytes only, or are prefixes of each other.
const key = fc.oneof(
  bytes({ maxLength: 3 }),
  bytes({ maxLength: 20 }),
  fc.integer({ min: 0, max: 30 }).map((n) => Buffer.from(`/registry/pods/default/pod-${n}`)),
  fc.nat(14).map((n) => Buffer.alloc(n)),
);

describe('sorting', () => {
  test.each([{ budget: 1 << 20 }, { budget: 64 * 1024 }])(
    'gives what a stable sort in memory gives, budget $budget',
    async ({ budget }) => {
      await fc.assert(
        fc.asyncProperty(fc.array(key, { maxLength: 400 }), fc.boolean(), fc.boolean(), async (keys, dropOlder, hiding) => {
          const records = keys.map((one, i) => record(one, i, i % 50 === 49 ? 9000 : i % 97));
          const options = { budget, dropOlder, ...(hiding ? { hides: (all: Buffer, _: number, end: number) => all[end - 1] === 0 } : {}) };
          expect(hex(await sorted(records, options))).toEqual(hex(expected(records, options)));
        }),
        { numRuns: 40 },
      );
    },
  );

  test('merges in levels when there are more runs than the budget reads at once', async () => {
    // 64 KiB of memory and 8 MiB of records: over a hundred runs, four at a time. Each key comes twice.
    const records = Array.from({ length: 8000 }, (_, i) => record(Buffer.from(`k${(i * 7919) % 4000}`), i, 1000));
    for (const dropOlder of [false, true]) {
      expect(hex(await sorted(records, { budget: 1, dropOlder }))).toEqual(hex(expected(records, { dropOlder })));
    }
  });

  test('takes records larger than its budget, and its blocks', async () => {
    const records = [300_000, 3, 200_000, 131_068, 131_069, 5].map((size, i) => record(Buffer.from([9 - i]), i, size));
    expect(hex(await sorted(records, { budget: 64 * 1024 }))).toEqual(hex(expected(records, {})));
  });

  test('replaces a record by a later one that is larger than what is left of a batch', async () => {
    const sizes = Array.from({ length: 120 }, (_, i) => 1 + ((i * 37_123) % 150_000));
    const records = sizes.map((size, i) => record(Buffer.from([i % 7]), i, size));
    for (const budget of [64 * 1024, 32 << 20]) {
      expect(hex(await sorted(records, { budget, dropOlder: true }))).toEqual(hex(expected(records, { dropOlder: true })));
    }
  });

  test('gives everything again when asked again, and leaves no file', async () => {
    await using sorter = new RecordSorter({ findKey, tmpDir: dir, budget: 64 * 1024 }, quietRun());
    const records = Array.from({ length: 3000 }, (_, i) => record(Buffer.from(`k${(i * 7919) % 3000}`), i, 100));
    await sorter.add(batchOf(records));
    await sorter.finish();
    expect(readdirSync(dir)).toEqual([]);
    for (let round = 0; round < 2; round++) {
      const out: Buffer[] = [];
      for await (const batch of sorter.batches()) out.push(...split(batch));
      expect(hex(out)).toEqual(hex(expected(records, {})));
    }
  });
});

describe('what goes wrong while sorting', () => {
  const many = Array.from({ length: 3000 }, (_, i) => record(Buffer.from(`k${i}`), i, 100));

  test('a directory that is not there is named', async () => {
    const failing = sorted(many, { tmpDir: join(dir, 'missing'), budget: 64 * 1024 });
    await expect(failing).rejects.toMatchObject({ code: 'not-found', message: expect.stringContaining('missing') });
  });

  test('space is checked before anything is spilled', async () => {
    const failing = sorted(many, { budget: 64 * 1024, expectedBytes: 2 ** 52 });
    await expect(failing).rejects.toMatchObject({ code: 'no-space', exit: 1 });
  });

  test('an interrupted run stops with its reason', async () => {
    const controller = new AbortController();
    controller.abort(new FerryError('interrupted', 'stopped'));
    await using sorter = new RecordSorter({ findKey, tmpDir: dir, budget: 64 * 1024 }, quietRun(controller.signal));
    await expect(sorter.add(batchOf(many))).rejects.toMatchObject({ code: 'interrupted' });
  });
});
