import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { openDirectoryStore } from '../../src/storage/directory-store.js';
import { createFile } from '../../src/storage/file.js';
import { temporaryDirectory } from '../support/temp.js';

// As on FAT, and on some network file systems.
vi.mock('node:fs/promises', async (original) => ({
  ...(await original<typeof import('node:fs/promises')>()),
  link: () => Promise.reject(Object.assign(new Error('EPERM'), { code: 'EPERM' })),
}));

describe('where there are no hard links', () => {
  test('a file gets its name, and none that is taken', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'a');
    const [first, second] = [await createFile(path, { overwrite: false }), await createFile(path, { overwrite: false })];
    await first.finish();
    await expect(second.finish()).rejects.toMatchObject({ code: 'in-the-way' });
    await second.abort();
    expect(readdirSync(directory)).toEqual(['a']);
  });

  test('so does an object in a directory', async () => {
    const path = temporaryDirectory();
    const store = await openDirectoryStore(path, { create: false });
    const [first, second] = [await store.create('a'), await store.create('a')];
    await first.finish();
    await expect(second.finish()).rejects.toMatchObject({ code: 'in-the-way' });
    await second.abort();
    expect(readdirSync(path)).toEqual(['.etcdferry', 'a']);
    expect(await store.unfinished()).toEqual([]);
  });
});
