import { isUtf8 } from 'node:buffer';
import { isCleanPath, isHidden } from '../model/tree-path.js';

const SLASH = 0x2f;

/** The place in a v2 tree that a v3 key's name leads to. */
export type Place =
  | {
      readonly kind: 'node';
      readonly path: Buffer;
      /** A slash was put before the name. */
      readonly slashAdded: boolean;
      /** The name ends in one slash: what marks a directory. */
      readonly marksDirectory: boolean;
      /** A part of the path begins with `_`. */
      readonly hidden: boolean;
    }
  | { readonly kind: 'not-utf8' | 'no-path' };

/**
 * Where in a v2 tree a key belongs. etcd's v2 store cleans every path as Go's path.Clean does
 * (api/v2store/store.go), so a name with an empty part, `.` or `..` would end up under another
 * one's; and it keeps its state as JSON, which has no bytes that are not UTF-8.
 *
 * @param name the key, as mapped
 */
export function placeOf(name: Buffer): Place {
  if (!isUtf8(name)) return { kind: 'not-utf8' };
  const slashAdded = name[0] !== SLASH;
  const whole = slashAdded ? Buffer.concat([Buffer.of(SLASH), name]) : name;
  const marksDirectory = whole.at(-1) === SLASH;
  const path = marksDirectory ? whole.subarray(0, -1) : whole;
  if (!isCleanPath(path)) return { kind: 'no-path' };
  return { kind: 'node', path, slashAdded, marksDirectory, hidden: isHidden(path) };
}
