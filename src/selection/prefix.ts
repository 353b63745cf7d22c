/** True when `key` begins with `prefix`; every key begins with the empty one. */
export function startsWith(key: Buffer, prefix: Buffer): boolean {
  return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}

/**
 * The first key after all keys that begin with `prefix`: what etcd's clients send as `range_end`
 * (clientv3 `GetPrefixRangeEnd`).
 *
 * @returns undefined when there is no such key: the prefix is empty or all 0xff, its range is open
 */
export function prefixEnd(prefix: Buffer): Buffer | undefined {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] as number;
    if (byte === 0xff) continue;
    const end = Buffer.from(prefix.subarray(0, i + 1));
    end[i] = byte + 1;
    return end;
  }
  return undefined;
}

/** The prefixes in ascending order, without those another one of them covers. */
export function withoutCovered(prefixes: readonly Buffer[]): Buffer[] {
  const kept: Buffer[] = [];
  for (const prefix of [...prefixes].sort(Buffer.compare)) {
    const before = kept.at(-1);
    if (before === undefined || !startsWith(prefix, before)) kept.push(prefix);
  }
  return kept;
}
