import { expect } from 'vitest';
import type { CliResult } from './cli.js';

/** One line that names what is wrong, perhaps a hint, nothing else; and no stack trace. */
export function expectOneClearLine(result: CliResult, exit: number, says: RegExp): void {
  expect(result.stderr).toMatch(says);
  expect(result.exit).toBe(exit);
  expect(result.stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
  expect(result.stderr).not.toMatch(/\n\s+at /);
}
