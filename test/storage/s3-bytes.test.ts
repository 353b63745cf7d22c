import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { proveAccount } from '../../src/archive/prove-account.js';
import { quietRun } from '../../src/model/run.js';
import { S3Bytes } from '../../src/storage/s3-bytes.js';
import { cutInto, kv } from '../archive/memory.js';
import { LEASES, packed } from '../archive/samples.js';

/** A bucket with one object in it, and the ranges that were asked for. */
function bucketWith(object: Buffer, failures = 0) {
  const asked: string[] = [];
  const client = {
    send: async ({ input: { Range } }: { readonly input: { readonly Range: string } }) => {
      asked.push(Range);
      if (asked.length <= failures) throw new Error('no answer');
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(Range) as unknown as [string, string, string];
      return { Body: Readable.from([object.subarray(Number(start), Number(end) + 1)]) };
    },
  } as unknown as S3Client;
  const named = { bucket: 'b', key: 'k', name: 's3://b/k', size: object.length, etag: '"1"' };
  return { asked, bytes: new S3Bytes(client, named, () => {}) };
}

const patterned = (size: number): Buffer => Buffer.from(Array.from({ length: size }, (_, i) => i % 251));

describe('an object in a bucket', () => {
  test('is asked for its ends once, for the rest at every read', async () => {
    const object = patterned(400_000);
    const { asked, bytes } = bucketWith(object);
    for (const [offset, length] of [
      [0, 10],
      [5, 100_000],
      [131_000, 72],
      [131_000, 73],
      [200_000, 5],
      [399_990, 10],
      [300_000, 100_000],
      [0, 400_000],
    ] as const)
      expect((await bytes.read(offset, length)).equals(object.subarray(offset, offset + length)), `${length} at ${offset}`).toBe(true);
    expect(asked).toEqual(['bytes=0-131071', 'bytes=131000-131072', 'bytes=200000-200004', 'bytes=268928-399999', 'bytes=0-399999']);
  });

  test('that is small is asked for once, by reads side by side too; what is given is the caller’s', async () => {
    const object = patterned(200_000);
    const { asked, bytes } = bucketWith(object);
    const [first, second] = await Promise.all([bytes.read(0, 150_000), bytes.read(100_000, 100_000)]);
    first.fill(0);
    expect(second.equals(object.subarray(100_000))).toBe(true);
    expect((await bytes.read(0, 10)).equals(object.subarray(0, 10))).toBe(true);
    expect(asked).toHaveLength(1);
    await expect(bytes.read(199_999, 2)).rejects.toMatchObject({ code: 'damaged' });
  });

  test('is asked again after a failure', async () => {
    const { asked, bytes } = bucketWith(patterned(100), 1);
    await expect(bytes.read(0, 10)).rejects.toMatchObject({ code: 'failed' });
    expect(await bytes.read(0, 10)).toHaveLength(10);
    expect(asked).toHaveLength(2);
  });

  test('that is an archive gives its account by one request a segment, and two for its ends', async () => {
    // Values that do not compress, and fill a segment each.
    const records = Array.from({ length: 12 }, (_, i) => kv(`key ${i + 10}`, Buffer.concat([randomBytes(600_000), Buffer.alloc(9 << 20)])));
    const { bytes: archive } = await packed({ leases: [LEASES], batches: cutInto(records, 1) });
    const { asked, bytes } = bucketWith(archive);
    const { manifest } = await proveAccount(bytes, quietRun());
    const { length } = manifest.segments;
    expect(length).toBe(12);
    expect(asked.length).toBeGreaterThan(length - 2);
    expect(asked.length).toBeLessThanOrEqual(length + 2);
    expect(new Set(asked).size).toBe(asked.length);
  });
});
