import { selectWithEnds } from '../convert/v2-select.js';
import type { RecordBatch } from '../model/batch.js';
import type { KeySelection, Source, SourceInfo } from '../model/source.js';
import { selectRecords } from '../selection/select.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import { decodeNode } from '../wire/node.js';
import { REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES } from '../wire/revision-key.js';

const TOMBSTONE_MARK = 0x74;

/** A record as it is shown: of a v3 keyspace or of a v2 tree. */
export interface Entry {
  /** v3: the key. v2: the path. */
  readonly key: Buffer;
  readonly value: Buffer;
  /** v2 only: a directory. */
  readonly dir: boolean;
  /** v3: create revision. v2: created index. */
  readonly created: bigint;
  /** v3: mod revision. v2: modified index. */
  readonly modified: bigint;
  /** v3 only. */
  readonly version: bigint;
  /** v3 only: lease id, 0n for none. */
  readonly lease: bigint;
  /** v2 only: nanoseconds since the Unix epoch, 0n when permanent. */
  readonly expiration: bigint;
}

/**
 * A source's records as they are shown and compared: of a v2 tree the selected nodes alone, with the
 * ends that directories above them give them.
 */
export function shownRecords(source: Source): AsyncIterable<RecordBatch> {
  const { api, selection } = source.info;
  return api === 'v2' ? selectWithEnds(source.records(), selection) : source.records();
}

/** The same of those of its records that a selection chooses, too: of what another source was taken with. */
export function sharedRecords(source: Source, selection: KeySelection): AsyncIterable<RecordBatch> {
  return source.info.api === 'v2' ? selectWithEnds(source.records(), selection) : selectRecords(source.records(), selection);
}

/** Decodes the records of a batch one by one; keys and values share its memory. */
export function* entriesOf(batch: RecordBatch, info: Pick<SourceInfo, 'api' | 'order'>): Iterable<Entry> {
  for (let i = 0; i < batch.count; i++) {
    const [start, end] = [batch.starts[i] as number, batch.ends[i] as number];
    if (info.api === 'v2') yield nodeEntry(batch.bytes, start, end);
    else yield keyEntry(batch.bytes, info.order === 'revision' ? afterRevisionKey(batch.bytes, start) : start, end);
  }
}

/** In a history a revision key stands first; a deletion's is one byte longer, and no KeyValue begins with that byte. */
function afterRevisionKey(bytes: Buffer, start: number): number {
  return start + (bytes[start + REVISION_KEY_BYTES] === TOMBSTONE_MARK ? TOMBSTONE_KEY_BYTES : REVISION_KEY_BYTES);
}

function keyEntry(bytes: Buffer, start: number, end: number): Entry {
  const kv = decodeKeyValue(bytes, start, end);
  const { key, value, version, lease } = kv;
  return { key, value, dir: false, created: kv.createRevision, modified: kv.modRevision, version, lease, expiration: 0n };
}

function nodeEntry(bytes: Buffer, start: number, end: number): Entry {
  const { path, dir, value, createdIndex, modifiedIndex, expiration } = decodeNode(bytes, start, end);
  return { key: path, value, dir, created: createdIndex, modified: modifiedIndex, version: 0n, lease: 0n, expiration };
}
