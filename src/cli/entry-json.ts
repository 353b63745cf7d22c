import type { Entry } from '../jobs/entries.js';
import type { SourceInfo } from '../model/source.js';
import { bytesField, hexId } from './json.js';

/** A record without its value, as every `--json` output has it. */
export function entryJson(entry: Entry, source: SourceInfo): object {
  if (source.api === 'v2') {
    return {
      ...bytesField('path', entry.key),
      dir: entry.dir,
      createdIndex: entry.created,
      modifiedIndex: entry.modified,
      ...(entry.expiration === 0n ? {} : { expiration: new Date(Number(entry.expiration / 1_000_000n)).toISOString() }),
    };
  }
  return {
    ...bytesField('key', entry.key),
    createRevision: entry.created,
    modRevision: entry.modified,
    version: entry.version,
    ...(entry.lease === 0n ? {} : { lease: hexId(entry.lease) }),
  };
}
