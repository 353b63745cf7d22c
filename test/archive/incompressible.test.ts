import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { proveArchive } from '../../src/archive/prove.js';
import { quietRun } from '../../src/model/run.js';
import { cutInto, kv, memorySource } from './memory.js';
import { packed } from './samples.js';

test('what does not compress can be proven, though it is larger when stored', async () => {
  const records = Array.from({ length: 84 }, (_, i) => kv(`/k/${String(i).padStart(3, '0')}`, randomBytes(100_000)));
  for (let round = 0; round < 5; round++) {
    const { account, bytes } = await packed({ batches: cutInto(records, 7) });
    expect(account.manifest.segments.some(({ size, rawSize }) => size > rawSize)).toBe(true);
    await expect(proveArchive(memorySource(bytes), quietRun())).resolves.toMatchObject({ records: 84 });
  }
});
