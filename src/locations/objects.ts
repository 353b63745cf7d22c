import { FerryError } from '../errors.js';
import { ObjectWatch } from '../kubernetes/objects-seen.js';
import { objectFilter, selectsObjects } from '../kubernetes/select.js';
import { keepRecords, type RecordBatch } from '../model/batch.js';
import { delegate, type ObjectSelection, type Source } from '../model/source.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import { decodeNode } from '../wire/node.js';

/**
 * The same source with only those Kubernetes objects that are wanted, and its word that they were chosen. Directories of a v2 tree go:
 * those that objects are in are made again where they are written.
 *
 * @throws FerryError `usage` for a history, whose deletions no longer tell what they deleted
 */
export function selectObjects(source: Source, selection: ObjectSelection | undefined): Source {
  if (selection === undefined || !selectsObjects(selection)) return source;
  if (source.info.order === 'revision')
    throw new FerryError('usage', 'objects cannot be chosen from a history: leave --kind and its like away');
  const objectsSeen = new ObjectWatch(selection);
  const wanted = objectFilter(selection, objectsSeen);
  const isWanted = source.info.api === 'v2' ? nodeTest(wanted) : keyValueTest(wanted);
  const info = { ...source.info, objects: [...(source.info.objects ?? []), selection] };
  return { ...delegate(source), info, objectsSeen, records: () => filtered(source.records(), isWanted) };
}

type Test = (bytes: Buffer, start: number, end: number) => boolean;

function keyValueTest(wanted: (key: Buffer, value: Buffer) => boolean): Test {
  return (bytes, start, end) => {
    const { key, value } = decodeKeyValue(bytes, start, end);
    return wanted(key, value);
  };
}

function nodeTest(wanted: (key: Buffer, value: Buffer) => boolean): Test {
  return (bytes, start, end) => {
    const { path, dir, value } = decodeNode(bytes, start, end);
    return !dir && wanted(path, value);
  };
}

async function* filtered(batches: AsyncIterable<RecordBatch>, isWanted: Test): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) {
    const kept = keepRecords(batch, isWanted);
    if (kept.count > 0) yield kept;
  }
}
