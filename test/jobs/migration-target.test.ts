import { describe, expect, it } from 'vitest';
import type { MigrateOptions } from '../../src/jobs/migrate.js';
import { readBackRequest } from '../../src/jobs/migration-target.js';

/** Under which prefixes a live target is read back when these were chosen of the tree. */
function readBack(...chosen: string[]): string[] | undefined {
  const options = {
    to: { live: { endpoints: ['http://127.0.0.1:2379'], connection: {} } },
    from: { selection: { prefixes: chosen.map((prefix) => Buffer.from(prefix)), excludePrefixes: [] } },
    write: { tmpDir: '/tmp' },
  };
  return readBackRequest(options as unknown as MigrateOptions)?.selection.prefixes.map(String);
}

describe('readBackRequest', () => {
  it('reads back what lies under the prefixes chosen', () => {
    expect(readBack('/a/', '/c')).toEqual(['/a/', '/c']);
  });

  it('reads back the whole tree when nothing was chosen, and when an empty prefix stands beside others', () => {
    expect([readBack(), readBack(''), readBack('', '/c')]).toEqual([['/'], ['/'], ['/']]);
  });
});
