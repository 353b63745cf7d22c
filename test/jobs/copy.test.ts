import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CopyReport, copyArchives, exitOfCopy } from '../../src/jobs/copy.js';
import { parseLocation } from '../../src/locations/parse.js';
import { quietRun } from '../../src/model/run.js';
import type { Repository, StoredArchive } from '../../src/storage/repository.js';
import type { StoredSummary } from '../../src/storage/stored-summary.js';
import { etcdferryInside, jsonOf } from '../support/cli.js';
import { newRepository, SUMMARY } from '../support/repository.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const TIME = Date.parse('2024-03-01T03:00Z');
let count = 0;

interface Side {
  readonly path: string;
  readonly repository: Repository;
}

async function newSide(): Promise<Side> {
  const path = join(directory, String(++count));
  return { path, repository: await newRepository(path) };
}

/** A repository with one archive, which has the same name in all. */
async function holding(text: string, hasSummary: boolean, summary: Partial<StoredSummary> = {}): Promise<Side> {
  const side = await newSide();
  const archive = await side.repository.create({ name: 'a', time: TIME, revision: 1n, encrypted: false }, quietRun());
  await archive.write(Buffer.from(text));
  await archive.finish();
  const sha256 = createHash('sha256').update(text).digest('hex');
  if (hasSummary) await side.repository.describe(archive, { ...SUMMARY, size: text.length, sha256, ...summary });
  return side;
}

async function onlyArchive({ repository }: Side): Promise<StoredArchive> {
  return (await repository.archives())[0] as StoredArchive;
}

function copy(from: Side, to: Side, dryRun = false): Promise<CopyReport> {
  const at = ({ path }: Side) => ({ location: parseLocation(path) });
  return copyArchives({ from: at(from), to: at(to), names: [], dryRun }, quietRun());
}

const archiveIn = ({ path }: Side): string =>
  readFileSync(join(path, readdirSync(path).find((file) => file.endsWith('.tar')) ?? ''), 'latin1');

const SIDES = [true, false].flatMap((here) => [true, false].flatMap((there) => [true, false].map((dryRun) => ({ here, there, dryRun }))));

describe.each(SIDES)('two archives of one name (a summary here: $here, there: $there; dry run: $dryRun)', ({ here, there, dryRun }) => {
  test('are the same when their bytes are the same', async () => {
    const report = await copy(await holding('abc', here), await holding('abc', there), dryRun);
    expect(report.archives).toMatchObject([{ outcome: 'there' }]);
    expect(exitOfCopy(report)).toBe(0);
  });

  test.each(['abd', 'abcd'])('are not the same when their bytes differ, and nothing is overwritten: 11 (%s)', async (other) => {
    const target = await holding(other, there);
    const report = await copy(await holding('abc', here), target, dryRun);
    expect(report.archives).toMatchObject([{ outcome: 'failed', error: { code: 'in-the-way' } }]);
    expect(exitOfCopy(report)).toBe(11);
    expect(archiveIn(target)).toBe(other);
  });
});

test('a summary of another size than its archive tells nothing of it: the bytes are read', async () => {
  const target = await holding('abd', true, { size: 4, sha256: createHash('sha256').update('abc').digest('hex') });
  expect((await copy(await holding('abc', true), target)).archives).toMatchObject([{ error: { code: 'in-the-way' } }]);
  expect((await onlyArchive(target)).size).toBe(3);
});

describe('an archive that was found damaged in the target', () => {
  const DAMAGED = { verified: {}, damagedAt: Date.parse('2024-04-01T00:00Z') };

  describe.each([true, false])('(a summary in the source: %s)', (hasSummary) => {
    test.each(['abc', 'ab', 'abd'])('is no second copy, whatever its bytes are now, and is left as it is: 12 (%s)', async (text) => {
      const target = await holding('abc', true, DAMAGED);
      const { file } = await onlyArchive(target);
      if (text === 'ab') truncateSync(join(target.path, file), 2);
      const [source, other] = [await holding('abc', hasSummary), text === 'abd' ? await holding(text, true, DAMAGED) : target];
      for (const dryRun of [true, false]) {
        const report = await copy(source, other, dryRun);
        expect(report.archives).toMatchObject([{ outcome: 'damaged', error: { code: 'damaged', message: expect.stringContaining(file) } }]);
        expect(exitOfCopy(report)).toBe(12);
      }
      expect(archiveIn(other)).toBe(text);
    });

    test('is there once it has passed, or was removed and copied again', async () => {
      const source = await holding('abc', hasSummary);
      const target = await holding('abc', true, DAMAGED);
      await target.repository.markVerified(await onlyArchive(target), 'bytes');
      expect((await copy(source, target)).archives).toMatchObject([{ outcome: 'there' }]);
      await target.repository.markDamaged(await onlyArchive(target));
      rmSync(join(target.path, (await onlyArchive(target)).file));
      expect((await copy(source, target)).archives).toMatchObject([{ outcome: 'copied' }]);
      expect((await target.repository.summary(await onlyArchive(target)))?.damagedAt).toBeUndefined();
      expect((await copy(source, target)).archives).toMatchObject([{ outcome: 'there' }]);
    });
  });

  test('is named and counted apart, in text and in JSON', async () => {
    const [source, target] = [await holding('abc', true), await holding('abc', true, DAMAGED)];
    const { file } = await onlyArchive(target);
    const text = await etcdferryInside(['copy', source.path, target.path]);
    expect(text.exit).toBe(12);
    expect(text.stderr).toMatch(/etcd\.tar: was found damaged on 2024-04-01T.*\(archive-damaged\)\n.* 0 were there, 1 damaged there \(/);
    expect((await etcdferryInside(['copy', source.path, target.path, '-q'])).stderr).toContain(file);
    const json = await etcdferryInside(['copy', source.path, target.path, '--json']);
    expect(json.exit).toBe(12);
    const archives = [{ file, outcome: 'failed', note: 'archive-damaged', error: { code: 'damaged' } }];
    expect(jsonOf(json)).toMatchObject({ archives, damaged: 1, exit: 12 });
  });
});
