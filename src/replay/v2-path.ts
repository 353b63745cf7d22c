/**
 * The names a v2 path consists of, as Go's `path.Clean(path.Join("/", p))` leaves them: empty ones
 * and `.` go, `..` takes the one before with it. Paths are latin-1 strings, a character per byte.
 *
 * @returns an empty list for the root
 */
export function namesOf(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name === '..') names.pop();
    else names.push(name);
  }
  return names;
}
