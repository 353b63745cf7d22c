import { describe, expect, test } from 'vitest';
import { openArchive } from '../../src/archive/open.js';
import { packArchive } from '../../src/archive/pack.js';
import { proveArchive } from '../../src/archive/prove.js';
import { recordAt } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { type Content, cutInto, kv, memoryRecords, memorySink, memorySource } from './memory.js';

async function packed(content: Content) {
  const sink = memorySink();
  const account = await packArchive(memoryRecords(content), sink, { compress: 'gzip', toolVersion: '0.1.0' }, quietRun());
  return { account, bytes: sink.bytes() };
}

describe('an archive', () => {
  test('gives back what was packed', async () => {
    const records = Array.from({ length: 30000 }, (_, i) => kv(`/registry/pods/${String(i).padStart(7, '0')}`, `value ${i} `.repeat(60)));
    const { account, bytes } = await packed({ batches: cutInto(records, 1000) });
    expect(account.records).toBe(records.length);
    expect(account.size).toBe(bytes.length);
    const reader = await openArchive(memorySource(bytes));
    expect(reader.manifest).toEqual(account.manifest);
    const found: Buffer[] = [];
    for await (const batch of reader.records()) for (let i = 0; i < batch.count; i++) found.push(recordAt(batch, i));
    expect(found.length).toBe(records.length);
    expect(Buffer.concat(found).equals(Buffer.concat(records))).toBe(true);
    expect(await proveArchive(memorySource(bytes), quietRun())).toEqual(account);
  });
});
