import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { keyOf } from '../wire/keyvalue.js';
import { showKey } from './key-text.js';

/**
 * Passes v3 records on in their order, unless two have the same key: a mapping that brings two keys
 * under one name must be seen before anything is believed of it.
 *
 * @param batches records in key order
 * @throws FerryError `usage` at the second record of a key
 */
export async function* distinctKeys(batches: AsyncIterable<RecordBatch>): AsyncGenerator<RecordBatch> {
  let last: Buffer | undefined;
  for await (const batch of batches) {
    for (let i = 0; i < batch.count; i++) {
      const key = keyOf(batch.bytes, batch.starts[i], batch.ends[i]);
      if (last?.equals(key)) {
        throw new FerryError('usage', `collision: two keys would both become ${showKey(key)}`, {
          hint: 'Change --map, --strip-prefix or --add-prefix so that keys stay apart.',
        });
      }
      last = key;
    }
    yield batch;
  }
}
