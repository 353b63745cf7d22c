const SLASH = 0x2f;
const UNDERSCORE = 0x5f;

/**
 * Compares two paths in tree order: parents before children, siblings by the bytes of their names.
 * That is the order of bytes, if `/` came before every other byte.
 *
 * @returns negative, 0 or positive
 */
export function compareTreePaths(a: Uint8Array, b: Uint8Array): number {
  return compareTreeSpans(a, 0, a.length, b, 0, b.length);
}

/** `compareTreePaths` of two stretches of bytes. */
export function compareTreeSpans(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): number {
  const shorter = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < shorter; i++) {
    const x = a[aStart + i] as number;
    const y = b[bStart + i] as number;
    if (x === y) continue;
    if (x === SLASH) return -1;
    if (y === SLASH) return 1;
    return x - y;
  }
  return aEnd - aStart - (bEnd - bStart);
}

/** True when `path` lies under the directory `parent` (and is not that directory itself). */
export function isUnder(path: Buffer, parent: Buffer): boolean {
  if (path.length <= parent.length || path[parent.length] !== SLASH) return false;
  return path.compare(parent, 0, parent.length, 0, parent.length) === 0;
}

/**
 * True when a part of the path begins with `_`: etcd leaves such nodes out of every listing of
 * what lies above them (store/node.go, IsHidden).
 */
export function isHidden(path: Uint8Array): boolean {
  for (let i = 1; i < path.length; i++) {
    if (path[i] === UNDERSCORE && path[i - 1] === SLASH) return true;
  }
  return false;
}

/** Whether a listing of a directory shows what lies at a path: nothing that is hidden below that directory. */
export function isListed(path: Buffer, directory: Buffer): boolean {
  return isUnder(path, directory) && !isHidden(path.subarray(directory.length));
}

/**
 * True for a path that etcd's v2 store keeps as it is: it starts with `/`, and has no empty part
 * and none that is `.` or `..` (the store cleans every path as Go's path.Clean does).
 */
export function isCleanPath(path: Uint8Array): boolean {
  if (path.length < 2 || path[0] !== SLASH) return false;
  for (let i = 0; i < path.length; ) {
    let end = path.indexOf(SLASH, i + 1);
    if (end === -1) end = path.length;
    const length = end - i - 1;
    if (length === 0) return false;
    if (length <= 2 && path[i + 1] === 0x2e && path[end - 1] === 0x2e) return false;
    i = end;
  }
  return true;
}
