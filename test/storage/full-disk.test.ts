import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { prune } from '../../src/jobs/prune.js';
import { quietRun } from '../../src/model/run.js';
import { openDirectoryStore } from '../../src/storage/directory-store.js';
import { createFile } from '../../src/storage/file.js';
import { Repository } from '../../src/storage/repository.js';
import { spool } from '../../src/storage/spool.js';
import { mountTmpfs } from '../support/mount.js';
import { addArchive } from '../support/repository.js';

/**
 * A full file system and a read-only one. To mount them takes root; without it a warning says what
 * is not tried.
 */
const disk = mkdtempSync(join(tmpdir(), 'etcdferry-full-'));
const readOnly = mkdtempSync(join(tmpdir(), 'etcdferry-ro-'));
let unmountDisk: (() => void) | undefined;
let unmountReadOnly: (() => void) | undefined;

beforeAll(() => {
  unmountDisk = mountTmpfs(disk, 'size=1m', 'a full disk');
  unmountReadOnly = mountTmpfs(readOnly, 'size=1m,ro', 'a read-only file system');
});

afterAll(() => {
  unmountDisk?.();
  unmountReadOnly?.();
  for (const path of [disk, readOnly]) rmSync(path, { recursive: true });
});

describe('a full disk', () => {
  test('ends a file with no-space, naming it, and leaves nothing', async () => {
    const path = join(disk, 'a.tar');
    const sink = await createFile(path, { overwrite: false });
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 40; i++) await sink.write(Buffer.alloc(100_000));
      await sink.finish();
    };
    if (unmountDisk) await expect(fill()).rejects.toMatchObject({ code: 'no-space', exit: 1, message: expect.stringContaining(path) });
    await sink.abort();
    expect(readdirSync(disk)).toEqual([]);
  });

  test('ends spooling with no-space, and names another directory as the way out', async () => {
    const stream = (async function* () {
      for (let i = 0; i < 40; i++) yield Buffer.alloc(100_000);
    })();
    const spooled = spool(stream, disk, quietRun());
    if (unmountDisk) await expect(spooled).rejects.toMatchObject({ code: 'no-space', hint: expect.stringContaining('--tmp-dir') });
    else await (await spooled).close();
    expect(readdirSync(disk)).toEqual([]);
  });
});

test('a full disk is pruned', async () => {
  if (unmountDisk === undefined) return;
  const repository = new Repository(await openDirectoryStore(disk, { create: false }));
  for (const time of [1_000, 2_000, 3_000]) await addArchive(repository, 'a', time);
  const fill = (): void => {
    for (;;) appendFileSync(join(disk, 'other'), Buffer.alloc(4_096));
  };
  expect(fill).toThrow(/ENOSPC/);
  expect(await prune(repository, { policy: { last: 1 }, dryRun: false }, quietRun())).toMatchObject({ kept: 1, removed: 2 });
  expect((await repository.archives()).map(({ time }) => time)).toEqual([3_000]);
  expect(readdirSync(join(disk, '.etcdferry/locks'))).toEqual([]);
});

test('a read-only file system is told as such', async () => {
  const made = createFile(join(readOnly, 'a'), { overwrite: false });
  if (unmountReadOnly) await expect(made).rejects.toMatchObject({ code: 'not-writable', message: expect.stringContaining('read-only') });
  else await (await made).abort();
});
