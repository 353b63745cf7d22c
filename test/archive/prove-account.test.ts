import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { proveAccount } from '../../src/archive/prove-account.js';
import { type SampledSummary, sampledRecords } from '../../src/archive/prove-sample.js';
import { quietRun } from '../../src/model/run.js';
import { cutInto, kv, memorySource } from './memory.js';
import { LEASES, packed, rewritten, smallArchive } from './samples.js';

/** Values that do not compress, so that each fills a segment's 8 MiB with a few others. */
function incompressible(count: number) {
  return Array.from({ length: count }, (_, i) => kv(`key ${String(i).padStart(4, '0')}`, Buffer.alloc(3 << 20, i)));
}

/** An archive of seven segments. */
const large = packed({ leases: [LEASES], batches: cutInto(incompressible(14), 5) });

async function sampled(bytes: Buffer, part: number, of: number): Promise<SampledSummary & { seen: number }> {
  const proof = sampledRecords(memorySource(bytes), { part, of }, quietRun());
  for (let seen = 0; ; ) {
    const step = await proof.next();
    if (step.done === true) return { ...step.value, seen };
    seen += step.value.count;
  }
}

describe('proveAccount', () => {
  test('takes a few small reads, and tells what the manifest states', async () => {
    const values = Array.from({ length: 7 }, (_, i) => kv(`key ${i}`, Buffer.concat([randomBytes(200_000), Buffer.alloc(9 << 20)])));
    const { account, bytes } = await packed({ leases: [LEASES], batches: cutInto(values, 5) });
    const source = memorySource(bytes);
    const summary = await proveAccount(source, quietRun());
    expect({ ...summary, sha256: account.sha256, leaseDigest: account.leaseDigest }).toEqual(account);
    expect(source.reads.length).toBeLessThanOrEqual(summary.manifest.entries.length + 5);
    expect(source.reads.every(([, length]) => length <= 4096)).toBe(true);
  });

  test('reads what is near at once, and no more than 128 KiB', async () => {
    const { bytes } = await large;
    const source = memorySource(bytes);
    const { manifest } = await proveAccount(source, quietRun());
    expect(manifest.entries.length).toBeGreaterThan(8);
    expect(source.reads.length).toBeLessThanOrEqual(4 + Math.ceil(bytes.length / (64 << 10)));
    expect(source.reads.every(([, length]) => length <= 128 << 10)).toBe(true);
  });

  test('finds any bit of a tar header, of padding and of the frame; content is left to others', async () => {
    const { bytes } = await smallArchive();
    const { manifest } = await proveAccount(memorySource(bytes), quietRun());
    const content = manifest.entries.filter(({ name }) => name !== 'etcdferry.json');
    const isContent = (at: number): boolean => content.some(({ offset, size }) => at >= offset && at < offset + size);
    for (let at = 0; at < bytes.length; at += 37) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
      const found = proveAccount(memorySource(damaged), quietRun()).then(
        () => 'fine',
        (thrown: { code: string }) => thrown.code,
      );
      expect([at, await found]).toEqual([at, isContent(at) ? 'fine' : 'damaged']);
    }
  });

  test('tells damage before an unknown version', async () => {
    const future = await rewritten((await smallArchive()).bytes, { formatVersion: 9 });
    await expect(proveAccount(memorySource(future), quietRun())).rejects.toMatchObject({ code: 'unknown-format' });
    future[100] = (future[100] as number) ^ 1;
    await expect(proveAccount(memorySource(future), quietRun())).rejects.toMatchObject({ code: 'damaged' });
  });
});

describe('sampledRecords', () => {
  test('all parts together read every segment once', async () => {
    const { account, bytes } = await large;
    expect(account.manifest.segments.length).toBe(7);
    for (const of of [1, 2, 3, 7, 10]) {
      const parts = await Promise.all(Array.from({ length: of }, (_, part) => sampled(bytes, part, of)));
      expect(parts.map(({ segments }) => segments).reduce((a, b) => a + b)).toBe(7);
      expect(parts.map(({ seen }) => seen).reduce((a, b) => a + b)).toBe(14);
      expect(parts.every(({ seen, records }) => seen === records)).toBe(true);
    }
  });

  test('a damaged segment is found by its part, damaged leases by every part', async () => {
    const { account, bytes } = await large;
    const flipped = (offset: number): Buffer => {
      const damaged = Buffer.from(bytes);
      damaged[offset] = (damaged[offset] as number) ^ 1;
      return damaged;
    };
    const fate = (damaged: Buffer, part: number): Promise<string> =>
      sampled(damaged, part, 7).then(
        () => 'fine',
        (thrown: { code: string }) => thrown.code,
      );
    const inSegment = flipped((account.manifest.segments[4]?.offset ?? 0) + 20);
    expect(await Promise.all([0, 1, 2, 3, 4, 5, 6].map((part) => fate(inSegment, part)))).toEqual([
      'fine',
      'fine',
      'fine',
      'fine',
      'damaged',
      'fine',
      'fine',
    ]);
    const inLeases = flipped((account.manifest.entries.find(({ kind }) => kind === 'leases')?.offset ?? 0) + 20);
    expect(await fate(inLeases, 3)).toBe('damaged');
  });
});
