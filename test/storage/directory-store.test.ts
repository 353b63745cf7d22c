import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDirectoryStore } from '../../src/storage/directory-store.js';
import { temporaryDirectory } from '../support/temp.js';
import { testsOfStore } from './store-contract.js';

const directory = temporaryDirectory();
let count = 0;

function emptyDirectory(): string {
  const path = join(directory, String(++count));
  mkdirSync(path);
  return path;
}

describe('a directory as a store', () => {
  testsOfStore(
    () => openDirectoryStore(emptyDirectory(), { create: false }),
    (store, names) => {
      for (const name of names) writeFileSync(join(store.name, name), '');
    },
  );

  test('holds nothing but finished objects outside of .etcdferry', async () => {
    const path = emptyDirectory();
    const store = await openDirectoryStore(path, { create: false });
    const sink = await store.create('a');
    expect(readdirSync(path)).toEqual(['.etcdferry']);
    await sink.finish();
    expect(readdirSync(path)).toEqual(['.etcdferry', 'a']);
    expect(readdirSync(join(path, '.etcdferry/unfinished'))).toEqual([]);
    expect(statSync(join(path, 'a')).mode & 0o777).toBe(0o600);
  });

  test('must be there, unless it is to be made', async () => {
    const path = join(directory, 'not', 'there');
    await expect(openDirectoryStore(path, { create: false })).rejects.toMatchObject({ code: 'not-found' });
    await openDirectoryStore(path, { create: true });
    expect(statSync(path).mode & 0o777).toBe(0o700);
    await openDirectoryStore(path, { create: true });
  });

  test('is not made again when it goes meanwhile, as an unmounted one does', async () => {
    const path = emptyDirectory();
    const store = await openDirectoryStore(path, { create: false });
    rmSync(path, { recursive: true });
    await expect(store.create('a')).rejects.toMatchObject({ code: 'not-found' });
    await expect(store.put('a', Buffer.from('x'))).rejects.toMatchObject({ code: 'not-found' });
  });

  test('is no file', async () => {
    const path = join(emptyDirectory(), 'file');
    writeFileSync(path, '');
    await expect(openDirectoryStore(path, { create: false })).rejects.toMatchObject({ code: 'usage' });
    await expect(openDirectoryStore(path, { create: true })).rejects.toMatchObject({ code: 'usage' });
  });
});
