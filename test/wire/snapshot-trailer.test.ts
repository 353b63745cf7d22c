import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { proveTrailer } from '../../src/wire/snapshot-trailer.js';
import { memorySource } from '../support/bytes.js';

const never = new AbortController().signal;
const sealed = (pages: Buffer): Buffer => Buffer.concat([pages, createHash('sha256').update(pages).digest()]);

// Small ones are hashed on the spot, large ones in a thread; the last piece is not a whole one.
describe.each([0, 512, 1 << 20, (1 << 20) + 512, (32 << 20) - 512, 32 << 20, (33 << 20) + 4096])('the SHA-256 after %d bytes', (size) => {
  const file = sealed(Buffer.alloc(size, 'etcd'));

  test('is accepted when right, and damage when not', async () => {
    await proveTrailer(memorySource(file), never);
    for (const at of [0, size - 1, size + 31]) {
      const changed = Buffer.from(file);
      changed[Math.max(at, 0)] = (changed[Math.max(at, 0)] as number) ^ 0x80;
      await expect(proveTrailer(memorySource(changed), never)).rejects.toMatchObject({ code: 'damaged' });
    }
  });

  test('is missed when it is not there', async () => {
    await expect(proveTrailer(memorySource(file.subarray(0, size)), never)).rejects.toMatchObject({ code: 'damaged', exit: 12 });
  });
});

test('an interrupted check stops, its thread too', async () => {
  const controller = new AbortController();
  const source = memorySource(sealed(Buffer.alloc(40 << 20)));
  const readInto = source.readInto?.bind(source);
  let reads = 0;
  source.readInto = async (target, offset) => {
    if (++reads === 3) controller.abort(new FerryError('interrupted', 'stopped'));
    await readInto?.(target, offset);
  };
  await expect(proveTrailer(source, controller.signal)).rejects.toMatchObject({ code: 'interrupted' });
});

test('a source that fails is told as it failed', async () => {
  const source = memorySource(sealed(Buffer.alloc(40 << 20)));
  source.readInto = async () => {
    throw new FerryError('unreachable', 'gone');
  };
  await expect(proveTrailer(source, never)).rejects.toMatchObject({ code: 'unreachable' });
});
