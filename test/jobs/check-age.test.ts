import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkAge } from '../../src/jobs/check-age.js';
import { quietRun } from '../../src/model/run.js';
import type { Repository } from '../../src/storage/repository.js';
import { addArchive, newRepository, SUMMARY } from '../support/repository.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const HOUR = 3_600_000;
const NOW = Date.parse('2024-03-10T12:00Z');
const run = quietRun();
let count = 0;

const repositoryOf = async (...archives: [name: string, hoursAgo: number, summary?: object][]): Promise<Repository> => {
  const repository = await newRepository(join(directory, String(++count)));
  for (const [name, hoursAgo, summary] of archives) await addArchive(repository, name, NOW - hoursAgo * HOUR, summary);
  return repository;
};
const LIMIT = { maxAge: 26 * HOUR, now: NOW };

describe('check-age', () => {
  test('looks at the newest archive of each NAME', async () => {
    const repository = await repositoryOf(['a', 50], ['a', 25], ['b', 27], ['b', 90]);
    const report = await checkAge(repository, LIMIT, run);
    expect(report.fresh).toBe(false);
    expect(report.names.map(({ name, fresh, age }) => [name, fresh, age])).toEqual([
      ['a', true, 25 * HOUR],
      ['b', false, 27 * HOUR],
    ]);
    expect(await checkAge(repository, { ...LIMIT, names: ['a'] }, run)).toMatchObject({ fresh: true });
    expect(await checkAge(repository, { ...LIMIT, maxAge: 27 * HOUR }, run)).toMatchObject({ fresh: true });
  });

  test('counts a backup that found nothing changed', async () => {
    const repository = await repositoryOf(['a', 90, { unchangedAt: NOW - HOUR }], ['a', 80]);
    expect((await checkAge(repository, LIMIT, run)).names).toMatchObject([{ fresh: true, age: HOUR }]);
  });

  test('counts, where that is required, only what passed verify', async () => {
    const verified = { verified: { ...SUMMARY.verified, content: NOW } };
    const repository = await repositoryOf(['a', 1], ['a', 25, verified], ['b', 1], ['b', 30, verified], ['c', 1]);
    expect((await checkAge(repository, LIMIT, run)).fresh).toBe(true);
    const { names, fresh } = await checkAge(repository, { ...LIMIT, require: 'verify' }, run);
    expect(fresh).toBe(false);
    expect(names.map(({ name, fresh, age }) => [name, fresh, age])).toEqual([
      ['a', true, 25 * HOUR],
      ['b', false, 30 * HOUR],
      ['c', false, undefined],
    ]);
  });

  test('is not fooled by an archive of the future', async () => {
    const warnings: string[] = [];
    const repository = await repositoryOf(['a', -48], ['a', 30]);
    const report = await checkAge(repository, LIMIT, { ...run, warn: (line) => void warnings.push(line) });
    expect(report.names).toMatchObject([{ fresh: false, age: 30 * HOUR }]);
    expect(warnings).toEqual([expect.stringContaining('is dated in the future')]);
    expect((await checkAge(await repositoryOf(['a', -0.05]), LIMIT, run)).names).toMatchObject([{ fresh: true, age: 0 }]);
    expect((await checkAge(await repositoryOf(['a', -0.1]), LIMIT, run)).names).toMatchObject([{ fresh: false }]);
  });

  test('counts an archive by its own time where it was found unchanged in the future', async () => {
    const repository = await repositoryOf(['a', 30, { unchangedAt: NOW + 48 * HOUR }]);
    expect((await checkAge(repository, LIMIT, run)).names).toMatchObject([{ fresh: false, age: 30 * HOUR }]);
  });

  test('has nothing to say of what is not there', async () => {
    await expect(checkAge(await repositoryOf(), LIMIT, run)).rejects.toMatchObject({ code: 'empty-repository', exit: 2 });
    await expect(checkAge(await repositoryOf(['a', 1]), { ...LIMIT, names: ['b'] }, run)).rejects.toMatchObject({ exit: 2 });
  });
});
