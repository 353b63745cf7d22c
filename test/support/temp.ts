import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A new directory that goes when the test file has ended. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'etcdferry-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
