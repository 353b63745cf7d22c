import type { KeySelection } from '../model/source.js';

/** Whether a key or path is selected, byte by byte: an exclusion wins; with no prefix all are. */
export function isSelected(key: Buffer, { prefixes, excludePrefixes }: KeySelection): boolean {
  if (excludePrefixes.some((prefix) => startsWith(key, prefix))) return false;
  return prefixes.length === 0 || prefixes.some((prefix) => startsWith(key, prefix));
}

function startsWith(key: Buffer, prefix: Buffer): boolean {
  return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}
