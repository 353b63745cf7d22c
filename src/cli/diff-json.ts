import type { Entry } from '../jobs/entries.js';
import type { ReadableValue } from '../jobs/readable-value.js';
import { unifiedDiff } from '../jobs/unified-diff.js';
import type { Api } from '../model/source.js';
import type { ShownDifference } from './diff-text.js';
import { bytesField, hexId, rawJson } from './json.js';

/** A line of `diff --json`: the whole record of each side that has one, and of changed texts the unified diff. */
export function differenceJson({ api, kind, key, parts, left, right, leftValue, rightValue }: ShownDifference): object {
  const [before, after] = [leftValue?.text, rightValue?.text];
  const lines = kind === 'changed' && before !== undefined && after !== undefined ? unifiedDiff(before, after) : undefined;
  return {
    schema: 'etcdferry.diff/v1',
    change: kind,
    ...bytesField('key', key),
    ...(kind === 'changed' ? { parts } : {}),
    ...(left === undefined ? {} : { from: sideJson(left, leftValue, api) }),
    ...(right === undefined ? {} : { to: sideJson(right, rightValue, api) }),
    ...(lines === undefined || lines.length === 0 ? {} : { diff: lines.join('\n') }),
  };
}

function sideJson(entry: Entry, value: ReadableValue | undefined, api: Api): object {
  const { dir, created, modified, version, lease, expiration } = entry;
  return {
    ...(api === 'v2'
      ? { dir, createdIndex: created, modifiedIndex: modified, expires: expiration !== 0n }
      : { createRevision: created, modRevision: modified, version, ...(lease === 0n ? {} : { lease: hexId(lease) }) }),
    valueBytes: entry.value.length,
    ...(value === undefined ? {} : valueJson(value)),
  };
}

function valueJson({ kind, apiVersion, json, bytes, locked }: ReadableValue): object {
  if (locked !== undefined) return { encrypted: locked, valueBase64: bytes.toString('base64') };
  if (json === undefined) return bytesField('value', bytes);
  return { apiVersion, kind, object: rawJson(json.toString()) };
}
