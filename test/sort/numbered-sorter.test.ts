import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { batchOf } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import type { NumberedRecords } from '../../src/sort/numbered-buffer.js';
import { NumberedSorter } from '../../src/sort/numbered-sorter.js';
import { split } from '../support/snapshots.js';

const dir = mkdtempSync(join(tmpdir(), 'numbered-'));
afterAll(() => rmSync(dir, { recursive: true }));

const ROOM = 17;

interface Numbered {
  readonly number: bigint;
  readonly record: Buffer;
}

/** The records as a reader of segments gives them: with something between one and the next. */
function packed(records: readonly Numbered[], gap: number): NumberedRecords {
  const apart = batchOf(records.flatMap(({ record }) => [Buffer.alloc(gap, 0xee), record]));
  return {
    bytes: apart.bytes,
    starts: apart.starts.filter((_, i) => i % 2 === 1),
    ends: apart.ends.filter((_, i) => i % 2 === 1),
    highs: Uint32Array.from(records, ({ number }) => Number(number >> 32n)),
    lows: Uint32Array.from(records, ({ number }) => Number(number & 0xffffffffn)),
    count: records.length,
  };
}

async function filled(records: readonly Numbered[], { budget = 1 << 20, gap = 2 } = {}): Promise<NumberedSorter> {
  const sorter = new NumberedSorter({ room: ROOM, tmpDir: dir, budget }, quietRun());
  for (let i = 0; i < records.length; i += 700) await sorter.add(packed(records.slice(i, i + 700), gap));
  await sorter.finish();
  return sorter;
}

async function all(sorter: NumberedSorter): Promise<Buffer[]> {
  const out: Buffer[] = [];
  for await (const batch of sorter.lentBatches()) out.push(...split(batch).map((record) => Buffer.from(record)));
  return out;
}

/** The straight way; Array.sort is stable. */
const inOrder = (records: readonly Numbered[]): Numbered[] =>
  [...records].sort((a, b) => (a.number < b.number ? -1 : a.number > b.number ? 1 : 0));

function expected(records: readonly Numbered[]): Buffer[] {
  return inOrder(records).map(({ number, record }) => {
    const room = Buffer.alloc(ROOM);
    room.writeBigUInt64BE(number);
    return Buffer.concat([room, record]);
  });
}

const hex = (records: readonly Buffer[]): string[] => records.map((one) => one.toString('hex'));

function made(count: number, size: (i: number) => number, number: (i: number) => bigint): Numbered[] {
  return Array.from({ length: count }, (_, i) => {
    const record = Buffer.alloc(4 + size(i), i & 0xff);
    record.writeUInt32BE(i);
    return { number: number(i), record };
  });
}

// Few numbers that come often, numbers that differ in one half only, and any.
const number = fc.oneof(fc.bigInt(0n, 5n), fc.bigInt(2n ** 32n - 3n, 2n ** 32n + 3n), fc.bigInt(0n, 2n ** 63n - 1n));

describe('sorting by numbers', () => {
  test.each([1 << 20, 64 * 1024])('gives what a stable sort in memory gives, each record behind its number; budget %i', async (budget) => {
    await fc.assert(
      fc.asyncProperty(fc.array(number, { maxLength: 400 }), fc.constantFrom(0, 1, 30, 100), async (numbers, gap) => {
        const records = made(
          numbers.length,
          (i) => (i % 50 === 49 ? 9000 : i % 97),
          (i) => numbers[i] as bigint,
        );
        await using sorter = await filled(records, { budget, gap });
        expect(hex(await all(sorter))).toEqual(hex(expected(records)));
      }),
      { numRuns: 40 },
    );
  });

  test('tells numbers and lengths in order, without the records', async () => {
    const records = made(
      5000,
      (i) => i % 300,
      (i) => BigInt((i * 7919) % 1000) << BigInt(i % 3 === 0 ? 33 : 0),
    );
    await using sorter = await filled(records);
    const { order, highs, lows, lengths } = sorter.lengths() ?? expect.fail('they fit the budget');
    const told = Array.from(order, (i) => [(BigInt(highs[i] as number) << 32n) + BigInt(lows[i] as number), lengths[i]]);
    expect(told).toEqual(inOrder(records).map((one) => [one.number, one.record.length]));
  });

  test('tells no lengths when they would not fit the budget', async () => {
    const records = made(
      8000,
      () => 1,
      (i) => BigInt(8000 - i),
    );
    await using sorter = await filled(records, { budget: 64 * 1024 });
    expect(sorter.lengths()).toBeUndefined();
    expect(hex(await all(sorter))).toEqual(hex(expected(records)));
  });

  test('merges in levels when there are more runs than the budget reads at once', async () => {
    const records = made(
      8000,
      () => 1000,
      (i) => BigInt((i * 7919) % 4000),
    );
    await using sorter = await filled(records, { budget: 1 });
    expect(hex(await all(sorter))).toEqual(hex(expected(records)));
  });

  test('takes records larger than its budget, and its blocks, and gives all again when asked again', async () => {
    const sizes = [300_000, 3, 200_000, 131_047, 131_048, 131_049, 131_064, 131_065, 5, 131_072];
    const records = made(
      sizes.length,
      (i) => sizes[i] as number,
      (i) => BigInt(90 - i),
    );
    for (const budget of [64 * 1024, 8 << 20]) {
      await using sorter = await filled(records, { budget });
      expect(hex(await all(sorter))).toEqual(hex(expected(records)));
      expect(hex(await all(sorter))).toEqual(hex(expected(records)));
    }
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('what goes wrong while sorting by numbers', () => {
  const many = made(
    3000,
    () => 100,
    (i) => BigInt(i),
  );

  test('a directory that is not there is named, though the spill runs beside the filling', async () => {
    await using sorter = new NumberedSorter({ room: 8, tmpDir: join(dir, 'missing'), budget: 64 * 1024 }, quietRun());
    const failing = sorter.add(packed(many, 0)).then(() => sorter.finish());
    await expect(failing).rejects.toMatchObject({ code: 'not-found', message: expect.stringContaining('missing') });
  });

  test('an interrupted run stops with its reason', async () => {
    const controller = new AbortController();
    controller.abort(new FerryError('interrupted', 'stopped'));
    await using sorter = new NumberedSorter({ room: 8, tmpDir: dir, budget: 64 * 1024 }, quietRun(controller.signal));
    await expect(sorter.add(packed(many, 0))).rejects.toMatchObject({ code: 'interrupted' });
  });
});
