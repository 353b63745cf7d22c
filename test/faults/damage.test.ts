import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { etcdferryInside } from '../support/cli.js';
import { temporaryDirectory } from '../support/temp.js';
import { ACCIDENTS_SAY, DATA_DIRS_SAY, type Expected, FILES_SAY, FORGED_SAY, TARS_SAY, UNKNOWN_SAY } from './damage-expected.js';
import { ACCIDENTS, FORGED, type Make, TARS, UNKNOWN } from './damage-table.js';
import { DATA_DIRS, FILES, removeDirs } from './damaged-files.js';

/**
 * `verify` shown to fail: every kind of damage here once, with its exit status and all that is said of
 * it, to people and to machines. Nothing of an archive ever touches the disk.
 */
const directory = temporaryDirectory();
afterAll(removeDirs);

const tables: readonly (readonly [string, Readonly<Record<string, Make | (() => string)>>, Expected])[] = [
  ['archives by accident', ACCIDENTS, ACCIDENTS_SAY],
  ["archives with tar's tricks", TARS, TARS_SAY],
  ['archives made by hand, digests and all', FORGED, FORGED_SAY],
  ['archives of releases to come', UNKNOWN, UNKNOWN_SAY],
  ['snapshot files', FILES, FILES_SAY],
  ['data dirs', DATA_DIRS, DATA_DIRS_SAY],
];

describe.each(tables)('%s', (_, damages, expected) => {
  test('each kind of damage has its line in the table', () => {
    expect(expected.map(([name]) => name)).toEqual(Object.keys(damages));
  });

  test.each(expected)('%s: %i', async (name, exit, says) => {
    const made = await damages[name]?.();
    const path = typeof made === 'string' ? made : join(directory, 'damaged');
    if (typeof made !== 'string') writeFileSync(path, made as Buffer);
    const before = readdirSync(directory);
    const result = await etcdferryInside(['verify', '--json', path]);
    const [first, ...summary] = result.stdout
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).toMatchObject({ schema: 'etcdferry.verify/v1', whole: false, error: { exit, message: says.replace(/\bF\b/, path) } });
    expect(summary).toMatchObject([{ schema: 'etcdferry.verify-summary/v1', whole: 0, failed: 1, exit }]);
    expect(result.exit).toBe(exit);
    expect(readdirSync(directory)).toEqual(before);
    expect(existsSync('/etc/cron.d/x')).toBe(false);
  });
});

test('there are some hundred kinds', () => {
  const kinds = tables.flatMap(([, damages]) => Object.keys(damages));
  expect(new Set(kinds).size).toBe(kinds.length);
  expect(kinds.length).toBeGreaterThanOrEqual(100);
});
