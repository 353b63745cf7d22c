/** How deep: far beyond what recursion has room for. */
const DEEP = 20_000;

/** Text that opens `open` so often, and closes it again: what a parser that calls itself dies of. */
export function deepJson(before: string, open: string, inside: string, close: string, after = ''): Buffer {
  return Buffer.from(`${before}${open.repeat(DEEP)}${inside}${close.repeat(DEEP)}${after}`);
}
