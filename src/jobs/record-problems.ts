import type { Api, RecordOrder } from '../model/source.js';
import { decodeRevisionKey, REVISION_KEY_BYTES } from '../wire/revision-key.js';
import type { Entry } from './entries.js';

/** What a record's numbers are held to. */
export interface RecordRules {
  readonly api: Api;
  readonly order: RecordOrder;
  /** Of the source: no record is newer. */
  readonly revision: bigint;
}

/**
 * What of a record's revisions and versions no etcd can have written, as text that goes on after its key.
 *
 * @param bytes what holds the record, from `start` on
 * @returns undefined where there is nothing
 */
export function problemOf(entry: Entry, rules: RecordRules, bytes: Buffer, start: number): string | undefined {
  const { key, created, modified, version } = entry;
  const { api, order, revision } = rules;
  if (key.length === 0) return 'has no key';
  if (order === 'revision') return changeProblem(entry, revision, bytes, start);
  if (modified < created) return `was created at ${created} and modified at ${modified}, before`;
  if (modified > revision) return `was modified at ${modified}, after the ${api === 'v2' ? 'index' : 'revision'} ${revision} of its source`;
  if (api === 'v2') return entry.dir && entry.value.length > 0 ? 'is a directory and has a value' : undefined;
  if (created < 1n) return `has the create revision ${created}`;
  return version < 1n ? `has the version ${version}` : undefined;
}

/** Of a change in a history: its KeyValue, or the key alone where it was deleted. */
function changeProblem(
  { created, modified, version, value, lease }: Entry,
  revision: bigint,
  bytes: Buffer,
  start: number,
): string | undefined {
  const isDeletion = bytes[start + REVISION_KEY_BYTES] === 0x74;
  const { main } = decodeRevisionKey(bytes.subarray(start, start + REVISION_KEY_BYTES));
  if (main > revision) return `was changed at ${main}, after the revision ${revision} of its source`;
  if (isDeletion) return value.length > 0 || lease !== 0n ? 'was deleted, and has a value or a lease' : undefined;
  if (modified !== main) return `has the mod revision ${modified} in the change of ${main}`;
  if (created > modified || created < 1n) return `was created at ${created} and modified at ${modified}`;
  return version < 1n ? `has the version ${version}` : undefined;
}
