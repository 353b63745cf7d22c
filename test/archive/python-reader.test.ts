import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openArchive } from '../../src/archive/open.js';
import { proveArchive } from '../../src/archive/prove.js';
import { recordAt } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { memorySource } from './memory.js';
import { packed, rewritten } from './samples.js';

/**
 * A second reader, in another language, that was written from docs/archive-format.md alone: what it
 * and the tool agree on is in the page, not in the head of whoever wrote both.
 */
const READER = join(import.meta.dirname, '../support/read_archive.py');
const FOLDER = join(import.meta.dirname, '../../testdata/archive');
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith('.tar'));

interface Account {
  readonly totals: { readonly records: number; readonly rawBytes: number; readonly leases: number };
  readonly digests: object;
  readonly leases: readonly { readonly id: string }[];
  readonly sha256: string;
  /** Entries whose stored bytes alone could be proven: zstd, before Python 3.14. */
  readonly unread: readonly string[];
}

const python = pythonVersion();
const directory = mkdtempSync(join(tmpdir(), 'etcdferry-python-'));
afterAll(() => rmSync(directory, { recursive: true }));

beforeAll(() => {
  if (python === undefined) console.warn('\n!!! python3 is not found here: the second reader of archives is NOT tried\n');
});

describe.each(python === undefined ? [] : NAMES)('%s', (name) => {
  test('counts, digests, leases and records are those that the tool reads', async () => {
    const source = memorySource(readFileSync(join(FOLDER, name)), name);
    const account = await proveArchive(source, quietRun());
    const { stdout } = await promisify(execFile)('python3', [READER, join(FOLDER, name), '--records'], { maxBuffer: 1 << 28 });
    const lines = stdout.trimEnd().split('\n');
    const found = JSON.parse(lines.pop() as string) as Account;
    const { records, rawBytes, leases, digests, sha256 } = account;
    expect(found).toMatchObject({ totals: { records, rawBytes, leases }, digests, sha256 });
    if (found.unread.length > 0) {
      console.warn(
        `\n!!! ${name}: Python ${python} has no zstd (3.14 has): of ${found.unread.length} entries only the stored bytes are proven\n`,
      );
      expect(name).toContain('zstd');
      return;
    }
    const reader = await openArchive(source);
    const expected: string[] = [];
    for await (const batch of reader.records()) for (let i = 0; i < batch.count; i++) expected.push(recordAt(batch, i).toString('hex'));
    expect(lines.length).toBe(expected.length);
    expect(lines.every((line, i) => line === expected[i])).toBe(true);
    const ids: string[] = [];
    for await (const some of reader.leases()) ids.push(...some.map(({ id }) => String(id)));
    expect(found.leases.map(({ id }) => id)).toEqual(ids);
  });

  test('it finds damage too, and tells a version of the future', async () => {
    const bytes = readFileSync(join(FOLDER, name));
    const status = async (changed: Buffer): Promise<number | undefined> => {
      const path = join(directory, name);
      writeFileSync(path, changed);
      return promisify(execFile)('python3', [READER, path]).then(
        () => 0,
        (failed: { code: number }) => failed.code,
      );
    };
    for (const at of [3, 600, 2_000, bytes.length >> 1, bytes.length - 2_500, bytes.length - 1_400, bytes.length - 1]) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ 1;
      expect(await status(flipped), `bit at ${at}`).toBe(12);
    }
    expect(await status(bytes.subarray(0, -512))).toBe(12);
    expect(await status(await rewritten(bytes, { formatVersion: 2 }))).toBe(13);
  });
});

test('an archive of chosen objects is read, too', async () => {
  if (python === undefined) return;
  const choice = { kinds: ['Secret', 'ConfigMap'], excludeKinds: [], namespaces: ['shöp'], names: [], etcdPrefixes: [] };
  const path = join(directory, 'objects.tar');
  const { bytes } = await packed({ info: { objects: [choice, { ...choice, kinds: [] }] }, batches: [] });
  writeFileSync(path, bytes);
  expect((await openArchive(memorySource(bytes))).header.objects).toEqual([choice, { ...choice, kinds: [] }]);
  const { stdout } = await promisify(execFile)('python3', [READER, path]);
  expect(JSON.parse(stdout)).toMatchObject({ totals: { records: 0 } });
});

test('the short reader of the page itself reads the archive in key order', async () => {
  if (python === undefined) return;
  const page = readFileSync(join(import.meta.dirname, '../../docs/archive-format.md'), 'utf8');
  const script = /```python\n([\s\S]*?)```/.exec(page)?.[1] as string;
  const { stdout } = await promisify(execFile)('python3', ['-c', script, join(FOLDER, 'v1-key.tar')], { maxBuffer: 1 << 28 });
  expect(stdout.trimEnd().split('\n').length).toBe(369);
});

function pythonVersion(): string | undefined {
  try {
    return execFileSync('python3', ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .replace('Python ', '')
      .trim();
  } catch {
    return undefined;
  }
}
