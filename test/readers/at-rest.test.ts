import { appendFileSync, linkSync, mkdirSync, readFileSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { watchFile, watchMember, whileAtRest } from '../../src/readers/at-rest.js';
import { openSnapshotFile, type SnapshotFileOptions } from '../../src/readers/snapshot-file.js';
import { hashKv } from '../../src/readers/snapshot-file-hashkv.js';
import { openFile } from '../../src/storage/file.js';
import { memorySource, testdata } from '../support/bytes.js';
import { etcdferryInside } from '../support/cli.js';
import { failure } from '../support/cluster.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { bindMount } from '../support/mount.js';
import { leasesOf, recordsOf } from '../support/snapshots.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const PAGE = 4096;
const NO_LOCKS = { locks: at('nothing'), mountinfo: at('nothing') };
const quiet = (): void => {};
const whole = testdata('etcd-v3/v3-35.db.gz');

/** A file of long ago: what is written to it now has another time, however coarse the clock of the file system is. */
function make(path: string, content: string | Buffer): void {
  writeFileSync(path, content);
  utimesSync(path, 1_000_000, 1_000_000);
}

/** One byte of the file is another, in place. */
async function write(path: string, offset: number): Promise<void> {
  const handle = await open(path, 'r+');
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, offset);
  await handle.write(Buffer.from([(buffer[0] as number) ^ 1]), 0, 1, offset);
  await handle.close();
}

const CHANGES: Readonly<Record<string, (path: string) => unknown>> = {
  'a page': (path) => write(path, 40 * PAGE),
  'its size': (path) => appendFileSync(path, Buffer.alloc(PAGE)),
  'its time': (path) => utimesSync(path, 1, 1),
};

test.each([0, PAGE])('a meta page at %s that changes is told, even where the time of the file stays', async (offset) => {
  const file = Buffer.from(whole);
  const watch = await watchFile(memorySource(file), 'x.db', quiet, NO_LOCKS);
  await watch.check();
  file[offset + 64] = (file[offset + 64] as number) ^ 1;
  expect(await failure(watch.check())).toMatchObject({ code: 'damaged', message: expect.stringMatching(/changed while it was read/) });
});

describe.each(Object.entries(CHANGES))('a file of which %s changes while it is read', (_, change) => {
  const READS: Readonly<Record<string, (source: Source) => Promise<unknown>>> = {
    leases: leasesOf,
    users: (source) => source.auth(),
    records: recordsOf,
  };
  const options = (path: string, history: boolean): SnapshotFileOptions => {
    return { location: path, path, selection: EVERYTHING, tmpDir: directory, hash: 'unchecked', history };
  };

  test.each(Object.keys(READS).flatMap((read) => [false, true].map((history) => ({ read, history }))))(
    'is damaged to whoever reads its $read (history: $history)',
    async ({ read, history }) => {
      const path = at('changing.db');
      make(path, whole.subarray(0, -32));
      const source = await openSnapshotFile(await openFile(path), options(path, history), quietRun());
      await change(path);
      const error = await failure((READS[read] as (source: Source) => Promise<unknown>)(source));
      expect(error).toMatchObject({ code: 'damaged', message: expect.stringMatching(/changed while it was read/) });
      await source.close();
    },
  );

  test('is damaged to whoever read all of it but the end', async () => {
    const path = at('changing.db');
    make(path, whole.subarray(0, -32));
    const source = await openSnapshotFile(await openFile(path), options(path, true), quietRun());
    const records = source.records()[Symbol.asyncIterator]();
    await records.next();
    await change(path);
    const rest = async (): Promise<void> => {
      while ((await records.next()).done !== true);
    };
    expect(await failure(rest())).toMatchObject({ code: 'damaged', message: expect.stringMatching(/changed while it was read/) });
    await source.close();
  });
});

test('damage in a file that stays as it is remains what was found', async () => {
  const watch = await watchFile(memorySource(Buffer.from(whole)), 'x.db', quiet, NO_LOCKS);
  const cut = (): Promise<Buffer> => memorySource(whole).read(whole.length, 1);
  expect(await failure(whileAtRest(watch, cut))).not.toMatchObject({ message: expect.stringMatching(/changed/) });
});

test('where locks cannot be seen, only a file that could be a running one is warned of', async () => {
  const warned: string[] = [];
  const warn = (message: string): unknown => warned.push(message);
  await watchFile(memorySource(whole), 'snapshot.db', warn, NO_LOCKS);
  expect(warned).toEqual([]);
  await watchFile(memorySource(whole.subarray(0, -32)), 'raw.db', warn, NO_LOCKS);
  expect(warned).toEqual([expect.stringMatching(/^raw\.db: cannot tell here whether a running etcd uses it/)]);
});

describe('the files of a member', () => {
  const layout = { path: at('member'), snapDir: at('member/snap'), walDir: at('member/wal') };
  const [db, wal] = [join(layout.snapDir, 'db'), join(layout.walDir, '0000000000000000-0000000000000000.wal')];
  mkdirSync(layout.snapDir, { recursive: true });
  mkdirSync(layout.walDir);

  test.each([
    { what: 'a longer log', change: () => appendFileSync(wal, 'x') },
    { what: 'a log written to in place', change: () => write(wal, 1) },
    { what: 'a database of another time', change: () => utimesSync(db, 1, 1) },
    { what: 'a file more', change: () => writeFileSync(join(layout.snapDir, 'new.snap'), '') },
    { what: 'a file less', change: () => unlinkSync(wal) },
  ])('that changed while they were read are damaged: $what', async ({ change }) => {
    make(db, 'db');
    make(wal, 'wal');
    const watch = await watchMember(layout, quiet, NO_LOCKS);
    await watch.check();
    await change();
    expect(await failure(watch.check())).toMatchObject({ code: 'damaged', message: expect.stringMatching(/changed while it was read/) });
  });
});

describe('the file of a running etcd', () => {
  test('is refused by every command and under every name, and changes where locks cannot be seen', async () => {
    await using server = await EtcdServer.start(newestEtcd());
    await server.etcdctl('put', 'a', '1');
    const db = join(server.dataDir, 'member/snap/db');
    symlinkSync(db, at('symlink.db'));
    symlinkSync(join(server.dataDir, 'member/snap'), at('linked'));
    linkSync(db, at('hard link.db'));
    const names = [db, relative(process.cwd(), db), at('symlink.db'), at('linked/db'), at('hard link.db')];
    mkdirSync(at('bound'));
    writeFileSync(at('bound.db'), '');
    const unmounts: (() => void)[] = [];
    onTestFinished(() => {
      for (const unmount of unmounts) unmount();
    });
    for (const [from, to, name] of [
      [join(server.dataDir, 'member'), at('bound'), at('bound/snap/db')],
      [db, at('bound.db'), at('bound.db')],
    ] as const) {
      const unmount = bindMount(from, to, 'a database under a bind mount');
      if (unmount === undefined) continue;
      unmounts.push(unmount);
      names.push(name);
    }
    writeFileSync(at('good.db'), whole);
    for (const name of names) {
      const commands = [
        ['backup', '--from', name, '--to', at('none.tar')],
        ['backup', '--from', name, '--history', '--to', at('none.tar')],
        ['restore', '--from', name, '--to', at('none.db')],
        ['verify', name],
        ['inspect', name],
        ['ls', name],
        ['get', name, 'a'],
        ['diff', at('good.db'), name],
        ['hashkv', name],
      ];
      for (const command of name === db ? commands : [['verify', name]]) {
        const result = await etcdferryInside([...command, '--skip-hash-check']);
        expect(result, `${command.join(' ')}: ${result.stderr}`).toMatchObject({ exit: 2 });
        expect(result.stdout.toString() + result.stderr, command.join(' ')).toMatch(/is in use: a process holds a lock on it/);
      }
    }
    const bytes = await openFile(db);
    const watch = await watchFile(bytes, db, quiet, NO_LOCKS);
    const layout = { path: server.dataDir, snapDir: join(server.dataDir, 'member/snap'), walDir: join(server.dataDir, 'member/wal') };
    const member = await watchMember(layout, quiet, NO_LOCKS);
    await server.etcdctl('put', 'b', '2');
    expect(await failure(member.check())).toMatchObject({ code: 'damaged' });
    await expect
      .poll(
        () =>
          watch.check().then(
            () => 'at rest',
            ({ code }) => code,
          ),
        { timeout: 20_000 },
      )
      .toBe('damaged');
    await bytes.close();
  });

  test('is refused to a hash as well, and read when the etcd is stopped', async () => {
    const server = await EtcdServer.start(newestEtcd());
    const db = join(server.dataDir, 'member/snap/db');
    try {
      await server.etcdctl('put', 'a', '1');
      const bytes = memorySource(readFileSync(db));
      expect(await failure(hashKv(bytes, { path: db }))).toMatchObject({ code: 'usage' });
      linkSync(db, at('kept.db'));
    } finally {
      await server.stop();
    }
    expect(await etcdferryInside(['verify', at('kept.db'), '--skip-hash-check'])).toMatchObject({ exit: 0 });
  });
});
