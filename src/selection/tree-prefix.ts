import { FerryError } from '../errors.js';
import type { KeySelection } from '../model/source.js';
import { isCleanPath } from '../model/tree-path.js';

/**
 * Refuses prefixes that no path of a v2 tree can begin with: whoever gives one means another.
 *
 * @throws FerryError `usage`
 */
export function requireTreePrefixes({ prefixes, excludePrefixes }: KeySelection): void {
  const stray = [...prefixes, ...excludePrefixes].find((prefix) => !canBeginPath(prefix));
  if (stray === undefined) return;
  throw new FerryError('usage', `no path of a v2 tree begins with ${JSON.stringify(stray.toString())}`, {
    hint: 'A path begins with a slash and has no empty part and none that is . or .., like /app/config.',
  });
}

/** A prefix that ends within a part, or before one, can be gone on with. */
function canBeginPath(prefix: Buffer): boolean {
  return prefix.length === 0 || isCleanPath(Buffer.concat([prefix, Buffer.from('x')]));
}
