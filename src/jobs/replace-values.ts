import { batchOf, type RecordBatch, recordAt } from '../model/batch.js';
import { delegate, type Source } from '../model/source.js';
import { decodeKeyValue, encodeKeyValue } from '../wire/keyvalue.js';

/** What a record's value becomes; the value itself, or undefined, to leave it. */
export type ReplaceValue = (key: Buffer, value: Buffer) => Promise<Buffer | undefined> | Buffer | undefined;

/**
 * The same source of v3 records with some values replaced. A batch with none replaced goes on as it
 * is. Whatever was proven of the records no longer counts: a value may be refused, or grow.
 */
export function replaceValues(source: Source, replace: ReplaceValue): Source {
  const { largestRecord: _, ...info } = source.info;
  return { ...delegate(source), info, records: () => replaced(source.records(), replace) };
}

async function* replaced(batches: AsyncIterable<RecordBatch>, replace: ReplaceValue): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) {
    const changed = new Map<number, Buffer>();
    for (let i = 0; i < batch.count; i++) {
      const record = decodeKeyValue(batch.bytes, batch.starts[i], batch.ends[i]);
      const value = await replace(record.key, record.value);
      if (value !== undefined && value !== record.value) changed.set(i, encodeKeyValue({ ...record, value }));
    }
    yield changed.size === 0 ? batch : batchOf(Array.from({ length: batch.count }, (_, i) => changed.get(i) ?? recordAt(batch, i)));
  }
}
