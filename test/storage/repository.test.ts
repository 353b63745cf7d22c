import { readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { quietRun } from '../../src/model/run.js';
import { thisProcess } from '../../src/sort/process-owner.js';
import { openDirectoryStore } from '../../src/storage/directory-store.js';
import { encodeLock, type LockRecord } from '../../src/storage/lock-record.js';
import type { ObjectStore } from '../../src/storage/object-store.js';
import { Repository } from '../../src/storage/repository.js';
import { encodeSummary, parseSummary, summaryOfAccount } from '../../src/storage/stored-summary.js';
import { smallArchive } from '../archive/samples.js';
import { addArchive, newRepository, SUMMARY } from '../support/repository.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const run = quietRun();
const BACKUP = { doing: 'backup' };
const PRUNE = { doing: 'prune' };
let count = 0;

/** The same store, with methods of its own. */
function storeWith(store: ObjectStore, methods: Partial<ObjectStore>): ObjectStore {
  return new Proxy(store, {
    get: (_, name) => {
      const own = methods[name as keyof ObjectStore] ?? store[name as keyof ObjectStore];
      return typeof own === 'function' ? own.bind(store) : own;
    },
  });
}

async function emptyRepository(): Promise<{ path: string; repository: Repository }> {
  const path = join(directory, String(++count));
  return { path, repository: await newRepository(path) };
}

describe('a repository', () => {
  test('lists its archives by NAME and time, and nothing else', async () => {
    const { path, repository } = await emptyRepository();
    for (const [name, time] of [
      ['b', 5],
      ['a', 2_000],
      ['a', 1_000],
    ] as const)
      await addArchive(repository, name, time);
    writeFileSync(join(path, 'README'), '');
    const archives = await repository.archives();
    expect(archives.map(({ name, time }) => [name, time])).toEqual([
      ['a', 1_000],
      ['a', 2_000],
      ['b', 5],
    ]);
    expect(await repository.summaries(archives)).toEqual([SUMMARY, SUMMARY, SUMMARY]);
  });

  test('chooses by NAME and time', async () => {
    const { repository } = await emptyRepository();
    await expect(repository.choose({}, run)).rejects.toMatchObject({ code: 'empty-repository' });
    await addArchive(repository, 'a', 1_000);
    await addArchive(repository, 'a', 2_000);
    expect(await repository.choose({}, run)).toMatchObject({ time: 2_000 });
    expect(await repository.choose({ at: 1_999 }, run)).toMatchObject({ time: 1_000 });
    expect(await repository.choose({ at: 2_000 }, run)).toMatchObject({ time: 2_000 });
    await expect(repository.choose({ at: 999 }, run)).rejects.toMatchObject({ code: 'not-found' });
    await addArchive(repository, 'b', 3_000);
    await expect(repository.choose({}, run)).rejects.toMatchObject({ code: 'usage' });
    expect(await repository.choose({ name: 'b' }, run)).toMatchObject({ time: 3_000 });
    await expect(repository.choose({ name: 'c' }, run)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('passes over an archive dated in the future, with a warning, unless a time reaches it', async () => {
    const { repository } = await emptyRepository();
    const now = Date.now();
    const warnings: string[] = [];
    const heard = { ...run, warn: (line: string) => void warnings.push(line) };
    const [near, far] = [now + 6 * 60_000, now + 365 * 86_400_000];
    await addArchive(repository, 'a', far);
    await expect(repository.choose({}, heard)).rejects.toMatchObject({ code: 'not-found', hint: expect.stringMatching(/--at/) });
    await addArchive(repository, 'a', now - 1_000);
    await addArchive(repository, 'a', near);
    warnings.length = 0;
    expect(await repository.choose({}, heard)).toMatchObject({ time: now - 1_000 });
    expect(warnings).toEqual([expect.stringMatching(/2 archives are dated in the future \(a-.*, a-.*\) and are passed over/)]);
    expect(await repository.choose({ at: now }, heard)).toMatchObject({ time: now - 1_000 });
    expect(await repository.choose({ at: near }, heard)).toMatchObject({ time: near });
    expect(await repository.choose({ at: far }, heard)).toMatchObject({ time: far });
    expect(warnings).toHaveLength(1);
    // Clocks are minutes apart without being wrong.
    await addArchive(repository, 'b', now + 4 * 60_000);
    expect(await repository.choose({ name: 'b' }, heard)).toMatchObject({ time: now + 4 * 60_000 });
    expect(warnings).toHaveLength(1);
  });

  test('takes back an archive whose stored bytes are not what was written', async () => {
    const { path } = await emptyRepository();
    const store = await openDirectoryStore(path, { create: false });
    const open: ObjectStore['open'] = async (name) => {
      writeFileSync(join(path, name), 'abd');
      return store.open(name);
    };
    const repository = new Repository(storeWith(store, { open }));
    await expect(addArchive(repository, 'a', 1_000)).rejects.toMatchObject({ code: 'damaged' });
    expect(readdirSync(path)).toEqual(['.etcdferry']);
  });

  test('never overwrites, and does not offer to', async () => {
    const { repository } = await emptyRepository();
    await addArchive(repository, 'a', 1_000);
    const taken = { code: 'in-the-way', hint: expect.stringMatching(/nothing is overwritten/) };
    await expect(addArchive(repository, 'a', 1_000)).rejects.toMatchObject(taken);
    const name = { name: 'a', time: 2_000, revision: 1n, encrypted: false };
    const [first, second] = [await repository.create(name, run), await repository.create(name, run)];
    await first.finish();
    await expect(second.finish()).rejects.toMatchObject(taken);
    await second.abort();
  });

  test('keeps when an archive passed, and forgets it when it is found damaged', async () => {
    const { repository } = await emptyRepository();
    await addArchive(repository, 'a', 1_000);
    const archive = await repository.choose({}, run);
    await repository.markUnchanged(archive, 77_000);
    // An archive of an earlier time found it unchanged later.
    await repository.markUnchanged(archive, 66_000);
    // A clock that ran ahead for one night is not the last word.
    await repository.markUnchanged(archive, Date.now() + 86_400_000);
    await repository.markUnchanged(archive, 77_000);
    await repository.markVerified(archive, 'content');
    const content = (await repository.summary(archive))?.verified.content ?? 0;
    expect(Date.now() - content).toBeLessThan(10_000);
    await repository.markVerified(archive, 'bytes');
    expect(await repository.summary(archive)).toMatchObject({ verified: { content }, unchangedAt: 77_000 });
    await repository.markDamaged(archive);
    expect(await repository.summary(archive)).toMatchObject({ verified: {}, damagedAt: expect.any(Number) });
    await repository.remove(archive);
    expect(await repository.archives()).toEqual([]);
    expect(await repository.summary(archive)).toBeUndefined();
  });

  test('keeps of an archive what its account says', async () => {
    const { account } = await smallArchive();
    const summary = summaryOfAccount(account, { size: 9, sha256: 'd'.repeat(64) });
    expect(summary).toMatchObject({ records: 3, leases: 2, digests: account.digests, size: 9, sha256: 'd'.repeat(64), verified: {} });
    expect(parseSummary(encodeSummary(summary))).toEqual(summary);
  });

  test('summaries are read as they were written', () => {
    const time = fc.option(fc.integer({ min: 0, max: 4e12 }), { nil: undefined });
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.nat(),
        time,
        time,
        time,
        (revision, records, bytes, content, damagedAt) => {
          const verified = { ...(bytes === undefined ? {} : { bytes }), ...(content === undefined ? {} : { content }) };
          const summary = {
            ...SUMMARY,
            revision,
            records,
            verified,
            ...(damagedAt === undefined ? {} : { damagedAt, unchangedAt: damagedAt }),
          };
          expect(parseSummary(encodeSummary(summary))).toEqual(summary);
        },
      ),
    );
    for (const text of ['', 'null', '{}', '[]', '{"schema":"etcdferry.summary/v1"}'])
      expect(parseSummary(Buffer.from(text))).toBeUndefined();
  });
});

describe('locks', () => {
  test('backups share, one at a time per NAME; an exclusive one is alone', async () => {
    const { repository } = await emptyRepository();
    const shared = (name: string) => repository.lock({ kind: 'shared', name }, BACKUP, run);
    const exclusive = () => repository.lock({ kind: 'exclusive' }, PRUNE, run);
    const [a, b] = [await shared('a'), await shared('b')];
    await expect(shared('a')).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringMatching(/backup of a .*process \d+.* since 20/),
    });
    await expect(exclusive()).rejects.toMatchObject({ code: 'locked' });
    await a.release();
    await b.release();
    const alone = await exclusive();
    await expect(shared('c')).rejects.toMatchObject({ code: 'locked', message: expect.stringMatching(/locked by prune/) });
    await alone.release();
    await (await shared('c')).release();
  });

  test('of many asked for at once exactly one of each NAME is held', async () => {
    const { repository, path } = await emptyRepository();
    const names = ['x', 'x', 'x', 'x', 'x', 'y', 'y', 'y'];
    const taken = await Promise.allSettled(names.map((name) => repository.lock({ kind: 'shared', name }, BACKUP, run)));
    const held = taken.flatMap((result, i) => (result.status === 'fulfilled' ? [names[i]] : []));
    expect(held.sort()).toEqual(['x', 'y']);
    for (const result of taken) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'locked' });
    expect(readdirSync(join(path, '.etcdferry/locks'))).toHaveLength(2);
  });

  test('are waited for', async () => {
    const { repository } = await emptyRepository();
    const first = await repository.lock({ kind: 'exclusive' }, PRUNE, run);
    const warnings: string[] = [];
    const waiting = repository.lock({ kind: 'exclusive' }, { ...PRUNE, wait: 10_000 }, { ...run, warn: (line) => warnings.push(line) });
    setTimeout(() => first.release(), 300);
    await (await waiting).release();
    expect(warnings).toHaveLength(1);
    const again = await repository.lock({ kind: 'exclusive' }, PRUNE, run);
    await expect(repository.lock({ kind: 'exclusive' }, { ...PRUNE, wait: 200 }, run)).rejects.toMatchObject({ code: 'locked' });
    await again.release();
  });

  test.each([
    ['of a process that is gone', async () => ({ owner: { ...(await thisProcess()), pid: 2 ** 22 + 1 } }), true],
    ['of a pid that is used again', async () => ({ owner: { ...(await thisProcess()), started: '1' } }), true],
    ['of a process that runs', async () => ({ owner: await thisProcess() }), false],
    ['of another machine', async () => ({ owner: { ...(await thisProcess()), host: 'elsewhere', pid: 2 ** 22 + 1 } }), false],
    ['of another container', async () => ({ owner: { ...(await thisProcess()), space: 'x', pid: 2 ** 22 + 1 } }), false],
  ] as const)('left behind %s', async (_, change, dead) => {
    const { repository, path } = await emptyRepository();
    await (await repository.lock({ kind: 'exclusive' }, PRUNE, run)).release();
    const lock: LockRecord = { id: 'x', request: { kind: 'exclusive' }, doing: 'prune', since: 1, held: true, ...(await change()) };
    const file = join(path, '.etcdferry/locks/x.json');
    writeFileSync(file, encodeLock(lock));
    const taken = repository.lock({ kind: 'exclusive' }, PRUNE, run);
    if (dead) await (await taken).release();
    else await expect(taken).rejects.toMatchObject({ code: 'locked' });
    const old = new Date(Date.now() - 15 * 60_000 - 5_000);
    if (!dead) utimesSync(file, old, old);
    await (await repository.lock({ kind: 'exclusive' }, PRUNE, run)).release();
    expect(readdirSync(join(path, '.etcdferry/locks'))).toEqual([]);
  });

  test('that are exclusive need no space on a full disk, and keep everybody out all the same', async () => {
    const { path } = await emptyRepository();
    const store = await openDirectoryStore(path, { create: false });
    const put: ObjectStore['put'] = async (name, bytes) => {
      if (bytes.length > 0) throw new FerryError('no-space', 'no space left on the device');
      await store.put(name, bytes);
    };
    const [full, other] = [new Repository(storeWith(store, { put })), new Repository(store)];
    await expect(full.lock({ kind: 'shared', name: 'a' }, BACKUP, run)).rejects.toMatchObject({ code: 'no-space' });
    const lock = await full.lock({ kind: 'exclusive' }, PRUNE, run);
    expect(lock.heldAt).toBeGreaterThan(Date.now() - 60_000);
    await lock.check();
    for (const request of [{ kind: 'exclusive' }, { kind: 'shared', name: 'a' }] as const) {
      for (const repository of [full, other])
        await expect(repository.lock(request, BACKUP, run)).rejects.toMatchObject({ exit: expect.any(Number) });
      await expect(other.lock(request, BACKUP, run)).rejects.toMatchObject({ code: 'locked' });
    }
    await lock.release();
    const shared = await other.lock({ kind: 'shared', name: 'a' }, BACKUP, run);
    await expect(full.lock({ kind: 'exclusive' }, PRUNE, run)).rejects.toMatchObject({ code: 'locked' });
    await shared.release();
    expect(readdirSync(join(path, '.etcdferry/locks'))).toEqual([]);
  });

  test('cleared away by another are lost to their owner', async () => {
    const { repository, path } = await emptyRepository();
    const lock = await repository.lock({ kind: 'exclusive' }, PRUNE, run);
    await lock.check();
    rmSync(join(path, '.etcdferry/locks'), { recursive: true });
    await expect(lock.check()).rejects.toMatchObject({ code: 'locked' });
    expect(lock.signal.aborted).toBe(true);
  });

  test('of what is no lock we know keep everybody out', async () => {
    const { repository, path } = await emptyRepository();
    await (await repository.lock({ kind: 'exclusive' }, PRUNE, run)).release();
    writeFileSync(join(path, '.etcdferry/locks/x.json'), '{"schema":"etcdferry.lock/v9"}');
    await expect(repository.lock({ kind: 'shared', name: 'a' }, BACKUP, run)).rejects.toMatchObject({ code: 'locked' });
  });

  test('clear away what dead runs left of their NAME, and no more', async () => {
    const { repository, path } = await emptyRepository();
    await addArchive(repository, 'a', 1_000);
    await repository.create({ name: 'a', time: 2_000, revision: 1n, encrypted: false }, run);
    await repository.create({ name: 'b', time: 2_000, revision: 1n, encrypted: false }, run);
    const unfinished = () => readdirSync(join(path, '.etcdferry/unfinished')).map((name) => name.slice(0, 2));
    await (await repository.lock({ kind: 'shared', name: 'a' }, BACKUP, run)).release();
    expect(unfinished()).toEqual(['.b']);
    writeFileSync(join(path, '.etcdferry/summaries/a-20240101T000000.000Z-r1.etcd.tar.json'), '');
    writeFileSync(join(path, '.etcdferry/summaries/notes.json'), '');
    await (await repository.lock({ kind: 'exclusive' }, PRUNE, run)).release();
    expect(unfinished()).toEqual([]);
    expect(readdirSync(join(path, '.etcdferry/summaries'))).toEqual([expect.stringMatching(/^a-1970/), 'notes.json']);
    expect(await repository.archives()).toHaveLength(1);
  });

  const ARCHIVE = '20240101T000000.000Z-r1.etcd.tar';
  const [HELD, GONE] = ['00000000-0000-4000-8000-000000000001.json', '00000000-0000-4000-8000-000000000002.json'];
  /** Which lock clears away what was begun under a name: at once, or when it is as old as a dead lock. */
  const LEFT: readonly (readonly [what: string, name: string, cleared: (lock: 'a' | 'exclusive', isOld: boolean) => boolean])[] = [
    ['an archive of the NAME', `a-${ARCHIVE}`, () => true],
    ['an encrypted one of the NAME', `a-${ARCHIVE}.age`, () => true],
    ['an archive of another NAME', `b-${ARCHIVE}`, (lock) => lock === 'exclusive'],
    ['an archive whose NAME begins with the NAME', `a-b-${ARCHIVE}`, (lock) => lock === 'exclusive'],
    ['an archive of another repository', `sub/a-${ARCHIVE}`, () => false],
    ['an archive that is no name of ours', `a-${ARCHIVE}.part`, () => false],
    ['a summary of the NAME', `a-${ARCHIVE}.json`, (_, isOld) => isOld],
    ['a summary of another NAME', `b-${ARCHIVE}.json`, (lock, isOld) => isOld && lock === 'exclusive'],
    ['a lock that is there', HELD, () => false],
    ['a lock that is not there', GONE, (_, isOld) => isOld],
    ["another program's", 'dump.sql', () => false],
    ["another program's in a folder", 'pg/dump.sql', () => false],
    ["another program's below .etcdferry", '.etcdferry/dump.json', () => false],
  ];
  test.each(LEFT)('clear away what was begun and is ours: %s', async (_, name, cleared) => {
    for (const lock of ['a', 'exclusive'] as const) {
      for (const isOld of [false, true]) {
        const { path } = await emptyRepository();
        const store = await openDirectoryStore(path, { create: false });
        const names = [name];
        const startedAt = Date.now() - (isOld ? 3_600_000 : 0);
        const unfinished = async () => names.map((left) => ({ name: left, startedAt, clear: async () => void names.pop() }));
        const get = async (asked: string) => (asked.endsWith(`locks/${HELD}`) ? Buffer.from('{}') : store.get(asked));
        const repository = new Repository(storeWith(store, { unfinished, get }));
        const request = lock === 'a' ? ({ kind: 'shared', name: 'a' } as const) : ({ kind: 'exclusive' } as const);
        await (await repository.lock(request, BACKUP, run)).release();
        expect(names.length, `${lock}, ${isOld ? 'old' : 'new'}`).toBe(cleared(lock, isOld) ? 0 : 1);
      }
    }
  });
});
