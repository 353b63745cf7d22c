import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { quietRun } from '../../src/model/run.js';
import { createFile } from '../../src/storage/file.js';
import { spool } from '../../src/storage/spool.js';
import { mountTmpfs } from '../support/mount.js';

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

test('a read-only file system is told as such', async () => {
  const made = createFile(join(readOnly, 'a'), { overwrite: false });
  if (unmountReadOnly) await expect(made).rejects.toMatchObject({ code: 'not-writable', message: expect.stringContaining('read-only') });
  else await (await made).abort();
});
