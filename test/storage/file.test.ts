import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { quietRun } from '../../src/model/run.js';
import { checkNewFile, createFile, openFile } from '../../src/storage/file.js';
import { spool } from '../../src/storage/spool.js';

const run = promisify(execFile);
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'etcdferry-file-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const NEW = { overwrite: false };

async function write(path: string, text: string, options = NEW): Promise<void> {
  const sink = await createFile(path, options);
  await sink.write(Buffer.from(text));
  await sink.finish();
}

test('a check for a dry run finds what writing would, and writes nothing', async () => {
  await expect(checkNewFile(join(dir, 'no/x.tar'), NEW)).rejects.toMatchObject({ code: 'not-found' });
  writeFileSync(join(dir, 'there.tar'), '');
  await expect(checkNewFile(join(dir, 'there.tar'), NEW)).rejects.toMatchObject({ code: 'in-the-way' });
  await checkNewFile(join(dir, 'there.tar'), { overwrite: true });
  await checkNewFile(join(dir, 'new.tar'), NEW);
  expect(readdirSync(dir)).toEqual(['there.tar']);
});

describe('a file written', () => {
  test('has its name only when finished, mode 0600, and every byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 3_000_000 }), { maxLength: 6 }), async (sizes) => {
        const path = join(dir, 'a.tar');
        const chunks = sizes.map((size, i) => Buffer.alloc(size, i + 1));
        const sink = await createFile(path, NEW);
        for (const chunk of chunks) await sink.write(chunk);
        expect(readdirSync(dir)).toEqual([expect.stringMatching(/^\.a\.tar\.[0-9a-z]+-[0-9a-z]+-[0-9a-f]{8}-[0-9a-z]+\.tmp$/)]);
        await sink.finish();
        await sink.abort();
        expect(readdirSync(dir)).toEqual(['a.tar']);
        expect(statSync(path).mode & 0o777).toBe(0o600);
        expect(readFileSync(path).equals(Buffer.concat(chunks))).toBe(true);
        rmSync(path);
      }),
      { numRuns: 15 },
    );
  });

  test('is gone when aborted, before and after bytes were written', async () => {
    const sink = await createFile(join(dir, 'a'), NEW);
    await sink.write(Buffer.alloc(5_000_000));
    await sink.abort();
    await sink.abort();
    expect(readdirSync(dir)).toEqual([]);
  });

  test('never replaces another without overwrite, even one that came while it was written', async () => {
    const path = join(dir, 'a');
    const sink = await createFile(path, NEW);
    writeFileSync(path, 'theirs');
    await expect(sink.finish()).rejects.toMatchObject({ code: 'in-the-way', exit: 11 });
    await sink.abort();
    expect(readdirSync(dir)).toEqual(['a']);
    expect(readFileSync(path, 'utf8')).toBe('theirs');
    await expect(createFile(path, NEW)).rejects.toMatchObject({ code: 'in-the-way', message: `${path}: exists already` });
  });

  test('replaces another with overwrite, but no directory and no device', async () => {
    const path = join(dir, 'a');
    await write(path, 'one');
    await write(path, 'two', { overwrite: true });
    expect(readFileSync(path, 'utf8')).toBe('two');
    mkdirSync(join(dir, 'd'));
    symlinkSync('/dev/null', join(dir, 'null'));
    await expect(createFile(join(dir, 'd'), { overwrite: true })).rejects.toMatchObject({ code: 'in-the-way' });
    await expect(createFile('/dev/null', { overwrite: true })).rejects.toMatchObject({ code: 'in-the-way' });
    await expect(createFile(join(dir, 'null'), { overwrite: true })).rejects.toMatchObject({ code: 'in-the-way' });
  });

  test('needs its directory, and permission', async () => {
    await expect(createFile(join(dir, 'no', 'a'), NEW)).rejects.toMatchObject({
      code: 'not-found',
      message: `writing ${join(dir, 'no', 'a')}: ${join(dir, 'no')} is not a directory that exists`,
    });
    writeFileSync(join(dir, 'file'), '');
    await expect(createFile(join(dir, 'file', 'a'), NEW)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('where nothing can be written', () => {
  test('the error names the path and the reason', async () => {
    // Root may write to any directory, but not to /proc.
    const locked = process.getuid?.() === 0 ? '/proc/self' : join(dir, 'locked');
    if (locked !== '/proc/self') {
      mkdirSync(locked);
      chmodSync(locked, 0o500);
    }
    const found = await createFile(join(locked, 'a'), NEW).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(found).toMatchObject({ message: expect.stringContaining(join(locked, 'a')) });
    expect(['not-writable', 'not-found']).toContain((found as { code: string }).code);
  });
});

describe('a file read', () => {
  test('gives any range, and nothing beyond its end', async () => {
    const path = join(dir, 'a');
    writeFileSync(path, '0123456789');
    const source = await openFile(path);
    expect(source).toMatchObject({ name: path, size: 10 });
    expect(String(await source.read(3, 4))).toBe('3456');
    expect((await source.read(10, 0)).length).toBe(0);
    await expect(source.read(8, 3)).rejects.toMatchObject({ code: 'damaged' });
    await expect(source.read(-1, 3)).rejects.toMatchObject({ code: 'damaged' });
    await expect(source.read(0, 2 ** 40)).rejects.toMatchObject({ code: 'damaged' });
    writeFileSync(path, '012');
    await expect(source.read(3, 4)).rejects.toMatchObject({ code: 'damaged' });
    await source.close();
  });

  test('must be there, and be a file', async () => {
    await expect(openFile(join(dir, 'none'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(openFile(dir)).rejects.toMatchObject({ code: 'usage' });
    await expect(openFile('/dev/null')).rejects.toMatchObject({ code: 'usage' });
    await run('mkfifo', [join(dir, 'pipe')]);
    await expect(openFile(join(dir, 'pipe'))).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('a spooled stream', () => {
  test('can be read anywhere, and leaves no name behind', async () => {
    const chunks = [Buffer.from('abc'), Buffer.alloc(0), Buffer.alloc(3_000_000, 'd')];
    const stream = (async function* () {
      yield* chunks;
    })();
    const source = await spool(stream, dir, quietRun());
    expect(readdirSync(dir)).toEqual([]);
    expect(source.size).toBe(3_000_003);
    expect(String(await source.read(1, 4))).toBe('bcdd');
    await source.close();
  });

  test('that breaks off leaves nothing, and its own error', async () => {
    const stream = (async function* () {
      yield Buffer.alloc(10);
      throw new Error('broken pipe');
    })();
    await expect(spool(stream, dir, quietRun())).rejects.toThrow('broken pipe');
    expect(readdirSync(dir)).toEqual([]);
    await expect(spool(stream, join(dir, 'no'), quietRun())).rejects.toMatchObject({ code: 'not-found' });
  });
});
