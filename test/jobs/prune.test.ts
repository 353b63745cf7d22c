import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type PruneOptions, prune } from '../../src/jobs/prune.js';
import { quietRun } from '../../src/model/run.js';
import type { Repository } from '../../src/storage/repository.js';
import { addArchive, newRepository } from '../support/repository.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const DAY = 86_400_000;
const FIRST = Date.parse('2024-03-01T03:00Z');
let count = 0;

/** Ten days of backups of two clusters. */
async function tenDays(): Promise<{ path: string; repository: Repository }> {
  const path = join(directory, String(++count));
  const repository = await newRepository(path);
  for (let day = 0; day < 10; day++) for (const name of ['a', 'b']) await addArchive(repository, name, FIRST + day * DAY);
  return { path, repository };
}

const archivesIn = (path: string): string[] => readdirSync(path).filter((name) => name.endsWith('.tar'));
const summariesIn = (path: string): string[] => readdirSync(join(path, '.etcdferry/summaries'));
const daily = (days: number, more: Partial<PruneOptions> = {}): PruneOptions => ({
  policy: { daily: days },
  dryRun: false,
  zone: 'UTC',
  ...more,
});

describe('prune', () => {
  test('removes what the policy does not keep, each NAME apart, with its summary', async () => {
    const { path, repository } = await tenDays();
    const report = await prune(repository, daily(3), quietRun());
    expect(report).toMatchObject({ dryRun: false, kept: 6, removed: 14, freed: 14 * 3 });
    expect(archivesIn(path)).toEqual(
      ['a', 'b'].flatMap((name) => [8, 9, 10].map((day) => `${name}-202403${String(day).padStart(2, '0')}T030000.000Z-r1.etcd.tar`)),
    );
    expect(summariesIn(path)).toEqual(archivesIn(path).map((file) => `${file}.json`));
    expect(readdirSync(join(path, '.etcdferry/locks'))).toEqual([]);
  });

  test('leaves other NAMEs, and files that are no archives, alone', async () => {
    const { path, repository } = await tenDays();
    writeFileSync(join(path, 'notes.txt'), '');
    await prune(repository, daily(1, { names: ['b'] }), quietRun());
    expect(archivesIn(path).map((file) => file[0])).toEqual([...'aaaaaaaaaab']);
    expect(readdirSync(path)).toContain('notes.txt');
  });

  test('says in a dry run what would go and why, removes nothing and takes no lock', async () => {
    const { path, repository } = await tenDays();
    await using _lock = await repository.lock({ kind: 'shared', name: 'a' }, { doing: 'backup' }, quietRun());
    const { decisions, removed } = await prune(repository, daily(2, { dryRun: true }), quietRun());
    expect({ decisions: decisions.length, removed }).toEqual({ decisions: 20, removed: 16 });
    expect(decisions.slice(0, 3).map(({ archive, keep, reasons }) => [archive.file, keep, reasons])).toEqual([
      ['a-20240310T030000.000Z-r1.etcd.tar', true, ['daily']],
      ['a-20240309T030000.000Z-r1.etcd.tar', true, ['daily']],
      ['a-20240308T030000.000Z-r1.etcd.tar', false, ['2 daily are newer']],
    ]);
    expect(archivesIn(path)).toHaveLength(20);
  });

  test('waits for no backup that is running: 14', async () => {
    const { path, repository } = await tenDays();
    await using _lock = await repository.lock({ kind: 'shared', name: 'a' }, { doing: 'backup' }, quietRun());
    await expect(prune(repository, daily(2), quietRun())).rejects.toMatchObject({ code: 'locked', exit: 14 });
    expect(archivesIn(path)).toHaveLength(20);
  });

  test('never removes the newest that passed verify; one found damaged since did not', async () => {
    const { path, repository } = await tenDays();
    const archives = (await repository.archives()).filter(({ name }) => name === 'a');
    for (const day of [1, 3, 5]) await repository.markVerified(archives[day] as (typeof archives)[0], 'content');
    await repository.markVerified(archives[7] as (typeof archives)[0], 'bytes');
    await repository.markDamaged(archives[5] as (typeof archives)[0]);
    await prune(repository, daily(1, { names: ['a'] }), quietRun());
    expect(archivesIn(path).filter((file) => file.startsWith('a'))).toEqual([
      'a-20240304T030000.000Z-r1.etcd.tar',
      'a-20240310T030000.000Z-r1.etcd.tar',
    ]);
  });

  test('refuses a policy that would keep nothing, a NAME and a repository without archives', async () => {
    const { path, repository } = await tenDays();
    await expect(prune(repository, { policy: {}, dryRun: false }, quietRun())).rejects.toMatchObject({ code: 'usage' });
    await expect(prune(repository, daily(0), quietRun())).rejects.toMatchObject({ code: 'usage' });
    await expect(prune(repository, daily(1, { names: ['c'] }), quietRun())).rejects.toMatchObject({ code: 'not-found' });
    expect(archivesIn(path)).toHaveLength(20);
    for (const file of archivesIn(path)) rmSync(join(path, file));
    await expect(prune(repository, daily(1), quietRun())).rejects.toMatchObject({ code: 'empty-repository' });
  });

  test('stops when it is told to, and what is left is in order', async () => {
    const { path, repository } = await tenDays();
    const stop = new AbortController();
    const run = {
      ...quietRun(stop.signal),
      progress: ({ records }: { records: number }) => void (records === 4 && stop.abort(new Error('stopped'))),
    };
    await expect(prune(repository, daily(1), run)).rejects.toThrow('stopped');
    expect(archivesIn(path)).toHaveLength(16);
    expect(summariesIn(path)).toHaveLength(16);
    await prune(repository, daily(1), quietRun());
    expect(archivesIn(path)).toHaveLength(2);
  });
});
