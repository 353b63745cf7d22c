import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { quietRun } from '../../src/model/run.js';
import type { Repository } from '../../src/storage/repository.js';
import { etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { addArchive, newRepository, SUMMARY } from '../support/repository.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const DAY = 86_400_000;
const NOW = Date.now();
let count = 0;

async function tenDays(...names: string[]): Promise<{ path: string; repository: Repository }> {
  const path = join(directory, String(++count));
  const repository = await newRepository(path);
  for (let day = 10; day > 0; day--) for (const name of names) await addArchive(repository, name, NOW - day * DAY);
  return { path, repository };
}

const archivesIn = (path: string): string[] => readdirSync(path).filter((name) => name.endsWith('.tar'));

describe('prune', () => {
  test('says in a dry run why each archive stays or goes, then does it', async () => {
    const { path } = await tenDays('a', 'b');
    const policy = ['--keep-last', '2', '--keep-within', '3d'];
    const dry = await etcdferryInside(['prune', path, ...policy, '--dry-run']);
    expect(dry, dry.stderr).toMatchObject({ exit: 0 });
    const lines = dry.stdout.toString().trimEnd().split('\n');
    expect(lines).toHaveLength(21);
    expect(lines[1]).toMatch(/^stays {3}a-\d{8}T\d{6}\.\d{3}Z-r1\.etcd\.tar {3}within 3d, last$/);
    expect(lines[4]).toMatch(/^goes {4}a-.* {3}not within 3d of the newest, not of the last 2$/);
    expect(dry.stderr).toMatch(/^would remove 14 archives \(42 B\) from .*, 6 kept\n$/);
    expect(archivesIn(path)).toHaveLength(20);
    const done = await etcdferryInside(['prune', path, ...policy, '--json']);
    expect(jsonOf(done)).toMatchObject({ schema: 'etcdferry.prune/v1', dryRun: false, removed: 14, kept: 6, archives: expect.any(Array) });
    expect(archivesIn(path)).toHaveLength(6);
  });

  test('takes -1 and "unlimited" for all', async () => {
    const { path } = await tenDays('a');
    for (const all of [['--keep-daily', '-1'], ['--keep-daily=-1'], ['--keep-last', 'unlimited']]) {
      expect(await etcdferryInside(['prune', path, ...all]), all.join(' ')).toMatchObject({ exit: 0 });
    }
    expect(archivesIn(path)).toHaveLength(10);
  });

  test.each([
    ['no policy', [], /everything would go/],
    ['one that keeps nothing', ['--keep-daily', '0'], /would keep nothing/],
    ['no number', ['--keep-daily', 'x'], /--keep-daily: "x" is not a number of archives/],
    ['no span', ['--keep-within', '4w'], /--keep-within: "4w" is not a span/],
  ])('refuses %s: 2', async (_, policy, says) => {
    const { path } = await tenDays('a');
    const { exit, stderr } = await etcdferryInside(['prune', path, ...policy]);
    expect(stderr).toMatch(says);
    expect(exit).toBe(2);
    expect(archivesIn(path)).toHaveLength(10);
  });

  test('gives way to a run that holds the lock: 14, who and since when', async () => {
    const { path, repository } = await tenDays('a');
    await using _lock = await repository.lock({ kind: 'shared', name: 'a' }, { doing: 'backup' }, quietRun());
    const { exit, stderr } = await etcdferry(['prune', path, '--keep-last', '1']);
    expect(stderr).toMatch(new RegExp(`locked by backup of a \\(on .+, process ${process.pid}\\) since \\d{4}-`));
    expect(exit).toBe(14);
  });
});

describe('check-age', () => {
  test('tells each NAME apart: 4 when one is too old', async () => {
    const { path, repository } = await tenDays('old');
    await addArchive(repository, 'new', NOW - 3_600_000, { verified: { ...SUMMARY.verified, content: NOW } });
    const late = await etcdferryInside(['check-age', path, '--max-age', '20h']);
    expect(late).toMatchObject({ exit: 4 });
    expect(late.stdout.toString()).toMatch(/^new: fresh, 60 min \(new-.*\)\nold: too old, 24 h \(old-.*\)\n$/);
    expect(late.stderr).toBe('etcdferry: too old (over 20h): old\n  Look at the log of the last backup.\n');
    expect(await etcdferryInside(['check-age', path, '--max-age', '26h'])).toMatchObject({ exit: 0 });
    expect(await etcdferryInside(['check-age', path, '--max-age', '2h', '--name', 'new', '--require', 'verify'])).toMatchObject({
      exit: 0,
    });
    const unproven = await etcdferryInside(['check-age', path, '--max-age', '26h', '--require', 'verify', '--json']);
    expect(unproven).toMatchObject({ exit: 4 });
    expect(jsonOf(unproven)).toMatchObject({
      schema: 'etcdferry.check-age/v1',
      fresh: false,
      names: [
        { name: 'new', fresh: true, ageSeconds: expect.any(Number) },
        { name: 'old', fresh: false },
      ],
    });
  });

  test('answers 2 for an empty repository, one that is not there, and a NAME it does not hold', async () => {
    const path = join(directory, 'empty');
    mkdirSync(path);
    for (const args of [[path], [join(directory, 'missing')], [(await tenDays('a')).path, '--name', 'b']]) {
      const { exit, stderr } = await etcdferryInside(['check-age', ...args, '--max-age', '26h']);
      expect({ exit, lines: stderr.trimEnd().split('\n').length }, stderr).toEqual({ exit: 2, lines: 2 });
    }
  });
});
