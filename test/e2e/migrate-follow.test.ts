import type { ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferry, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { expectSame, keysOfServer, keysOfTree, treeOfServer } from '../support/migrated.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';
import { numbers, randomV2Operation, v2 } from '../support/v2-workload.js';

const SECONDS = process.env.SOAK === undefined ? 4 : 20;
const PER_SECOND = 200;
/** More than the source remembers. */
const BURST = 1_200n;
/** A lease has whole seconds, and etcdctl tells what is left of it in whole seconds. */
const LEASE_WITHIN = 2;
const V2 = ['--enable-v2'];
const directory = temporaryDirectory();

interface Report {
  readonly followed: { events: number; written: number; deleted: number; skipped: number; rereads: number; largestLag: number };
  readonly proof?: object;
  readonly notes: { code: string; lossy: boolean }[];
}

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(200);
}

/** Follows, and does something while the follower follows. */
async function following(
  source: EtcdServer,
  target: EtcdServer,
  args: readonly string[],
  meanwhile: (child: ChildProcess) => Promise<void>,
): Promise<CliResult> {
  let doing: Promise<void> = Promise.resolve();
  const result = await etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, '--follow', '--json', ...args], {
    when: {
      says: /following the source/,
      act: (child) => {
        doing = meanwhile(child);
        doing.catch(() => child.kill('SIGKILL'));
      },
    },
  });
  await doing;
  return result;
}

const report = (result: CliResult): Report => jsonOf(result) as Report;

/** One of the changes that watchers are told of: each is carried over by its event. */
function change(client: V2Client, below: (n: number) => number): Promise<unknown> {
  const pick = (list: readonly string[]): string => list[below(list.length)] as string;
  const dir = pick(['/a', '/a/b', '/a/b/c', '/d', '/d/e']);
  const path = `${dir}/${pick(['k1', 'k2', 'k3', '%C3%BC', 'x'])}`;
  const ttl = pick(['', '', '', '&ttl=1', '&ttl=2', '&ttl=900']);
  const keys = (method: string, target: string, form = ''): Promise<unknown> => client.send(method, `/keys${target}`, form);
  switch (below(10)) {
    case 0:
      return keys('PUT', path, `value=${below(99)}&prevExist=${pick(['true', 'false'])}${ttl}`);
    case 1:
      return keys('PUT', path, `value=new&prevValue=${below(9)}${ttl}`);
    case 2:
      return keys('DELETE', path);
    case 3:
      return keys('DELETE', `${path}?prevValue=${below(9)}`);
    case 4:
      return keys('DELETE', `${pick([dir, `/mortal${below(5)}`])}?recursive=true`);
    case 5:
      return keys('POST', pick([dir, '/queue']), `value=job${ttl}`);
    case 6:
      return keys('PUT', `/mortal${below(5)}`, `dir=true&prevExist=false&ttl=${1 + below(3)}`);
    case 7:
      return keys('PUT', `/mortal${below(5)}/child${below(3)}`, `value=v${ttl}`);
    default:
      return keys('PUT', path, `value=${below(9)}${ttl}`);
  }
}

/** Does operations, so many a second. */
async function work(seconds: number, operation: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  const running = new Set<Promise<unknown>>();
  for (let i = 0; i < seconds * PER_SECOND; i++) {
    const one = operation().finally(() => running.delete(one));
    running.add(one);
    await sleep(Math.max(0, started + (1000 * i) / PER_SECOND - performance.now()));
  }
  await Promise.all(running);
}

const FOLLOW = ['--empty-dirs', 'drop', '--drop-expired', '--until-idle', '3s'];

describe('a random workload of 200 operations a second ends in equal trees', () => {
  const seed = randomInt(2 ** 31);
  const below = numbers(seed);

  test('by its events alone', async () => {
    await using source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    await using target = await EtcdServer.start(newestEtcd());
    const client = new V2Client(source.endpoint);
    for (let i = 0; i < 100; i++) await change(client, below);
    const result = await following(source, target, FOLLOW, () => work(SECONDS, () => change(client, below)));
    console.log(`seed ${seed}:`, report(result).followed);
    expect(result.exit, result.stderr).toBe(0);
    expect(report(result).followed).toMatchObject({ skipped: 0, rereads: 0 });
    expect(report(result).followed.events).toBeGreaterThan(SECONDS * PER_SECOND * 0.2);
    // The last reading of the tree found nothing that was not carried over.
    expect(jsonOf(result)).toMatchObject({ written: { written: 0, overwritten: 0, deleted: 0, leasesGranted: 0 } });
    expectSame(await keysOfServer(target), keysOfTree(await treeOfServer(source)), LEASE_WITHIN);
  }, 120_000);

  test('with refreshed TTLs, hidden nodes, and a burst past the event history', async () => {
    await using source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    await using target = await EtcdServer.start(newestEtcd());
    const operation = () => randomV2Operation(source.endpoint, below, { anyNames: false });
    for (let i = 0; i < 200; i++) await operation();
    const result = await following(source, target, FOLLOW, async (child) => {
      await work(SECONDS / 2, operation);
      // Nothing can be heard in time while the follower stands still.
      child.kill('SIGSTOP');
      const index = async (): Promise<bigint> => (await v2(source.endpoint, 'GET', '/')).index;
      const end = (await index()) + BURST;
      while ((await index()) < end) await Promise.all(Array.from({ length: 32 }, operation));
      child.kill('SIGCONT');
      for (let i = 0; i < PER_SECOND / 2; i++) await operation();
    });
    console.log(`seed ${seed}:`, report(result).followed, result.exit === 4 ? JSON.stringify(report(result).proof) : '');
    expect([0, 3], result.stderr).toContain(result.exit);
    const lossy = report(result).notes.filter((note) => note.lossy);
    expect(lossy.map(({ code }) => code)).toEqual(result.exit === 0 ? [] : ['value-not-utf8']);
    expect(result.stderr).toContain('the source has forgotten changes');
    expect(report(result).followed).toMatchObject({ skipped: 0 });
    expectSame(await keysOfServer(target), keysOfTree(await treeOfServer(source)), LEASE_WITHIN);
  }, 120_000);
});

describe('each kind of change', () => {
  let source: EtcdServer;
  let client: V2Client;

  beforeAll(async () => {
    source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    client = new V2Client(source.endpoint);
    await client.put('/old/changed', '1');
    await client.put('/old/deleted', '1');
    await client.put('/old/dir/a', '1');
    await client.put('/old/dir/b/c', '1');
    await client.put('/old/file-to-dir', '1');
    await client.write('PUT', '/old/mortal', 'dir=true&ttl=1000');
    await client.put('/old/mortal/child', '1');
    await client.put('/app/_hidden/a', '1');
    await client.put('/app/_other/a', '1');
  });
  afterAll(() => source.stop());

  test('arrives, hidden ones as far as they were asked for, before the follower is told to end', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const result = await following(
      source,
      target,
      ['--include-hidden', '/app/_hidden', '--empty-dirs', 'drop', '--drop-expired'],
      async (child) => {
        await client.put('/old/changed', '2');
        await client.put('/old/changed', '3', '&prevValue=2');
        await client.write('DELETE', '/old/deleted');
        const { node } = await client.put('/new/cad', '1');
        await client.write('DELETE', '/new/cad', `prevIndex=${node.modifiedIndex}`);
        await client.write('DELETE', '/old/dir', 'recursive=true');
        await client.put('/old/dir/again', '1');
        await client.write('PUT', '/old/file-to-dir', 'dir=true');
        await client.put('/new/short', '1', '&ttl=1');
        await client.put('/new/ttl', '1', '&ttl=500');
        await client.put('/new/permanent', '1', '&ttl=500');
        await client.put('/new/permanent', '2');
        await client.write('POST', '/new/queue', 'value=job');
        await client.write('PUT', '/old/mortal', 'dir=true&prevExist=true&ttl=2000');
        await client.put('/app/_hidden/b', '2');
        await client.write('DELETE', '/app/_hidden/a');
        await client.put('/app/_other/b', '2');
        await client.put('/app/_other/c', '2');
        await client.put('/app/seen', '1');
        await client.put('/old/refreshed', '1', '&ttl=6');
        for (let i = 0; i < 3; i++) {
          await sleep(1_500);
          await client.write('PUT', '/old/refreshed', 'ttl=6&refresh=true&prevExist=true');
        }
        // As yet without a last reading.
        await sleep(2_500);
        const tree = await treeOfServer(source, ['/app/_hidden']);
        expectSame(await keysOfServer(target), keysOfTree(tree), LEASE_WITHIN + 3);
        expect([...keysOfTree(tree).keys()]).toContain('/old/refreshed');
        child.kill('SIGINT');
      },
    );
    expect(result.exit, result.stderr).toBe(0);
    expectSame(await keysOfServer(target), keysOfTree(await treeOfServer(source, ['/app/_hidden'])), LEASE_WITHIN);
    expect([...(await keysOfServer(target)).keys()].filter((key) => key.includes('/_other'))).toEqual([]);
    expect(await target.etcdctl('get', '/new/permanent', '--print-value-only')).toBe('2');
  }, 90_000);

  test('a TTL that is refreshed long before its end arrives without an event, whichever way it changes', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await client.put('/refresh/longer', '1', '&ttl=500');
    await client.put('/refresh/shorter', '1', '&ttl=5000');
    await client.put('/refresh/permanent', '1');
    const args = ['--prefix', '/refresh/', '--empty-dirs', 'drop', '--drop-expired'];
    const left = async (key: string) => (((await keysOfServer(target)).get(key)?.expires ?? 0) - Date.now()) / 1000;
    const result = await following(source, target, args, async (child) => {
      await client.write('PUT', '/refresh/longer', 'ttl=3000&refresh=true&prevExist=true');
      await client.write('PUT', '/refresh/shorter', 'ttl=900&refresh=true&prevExist=true');
      await until(async () => (await left('/refresh/longer')) > 2_000 && (await left('/refresh/shorter')) < 1_000);
      await client.write('PUT', '/refresh/permanent', 'ttl=700&refresh=true&prevExist=true');
      await until(async () => (await left('/refresh/permanent')) > 600);
      child.kill('SIGINT');
    });
    expect(result.exit, result.stderr).toBe(0);
    expect(jsonOf(result)).toMatchObject({ written: { written: 0, overwritten: 0 } });
  });

  test('a directory that expires reaches what is made below it, though none of it was there at first', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await client.write('PUT', '/above', 'dir=true&ttl=800');
    const result = await following(
      source,
      target,
      ['--prefix', '/above/', '--prefix', '/old/changed', '--empty-dirs', 'drop'],
      async (child) => {
        await client.put('/above/late', '1');
        await until(async () => (await keysOfServer(target)).has('/above/late'));
        expect((await keysOfServer(target)).get('/above/late')?.expires).toBeDefined();
        child.kill('SIGINT');
      },
    );
    expect(result.exit, result.stderr).toBe(0);
  });

  test("what somebody else writes in the target is left alone, and is the end's verdict", async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const state = ['--state', join(directory, 'foreign')];
    const result = await following(source, target, ['--prefix', '/f/', '--allow-empty', ...state, '--until-idle', '2s'], async () => {
      await client.put('/f/mine', '1');
      await client.put('/f/theirs', '1');
      await client.put('/f/theirs-gone', '1');
      while ((await keysOfServer(target)).size < 3) await sleep(100);
      await target.etcdctl('put', '/f/theirs', 'of somebody else');
      await target.etcdctl('put', '/f/theirs-gone', 'of somebody else');
      await target.etcdctl('put', '/f/beside', 'of somebody else');
      await client.put('/f/mine', '2');
      await client.put('/f/theirs', '2');
      await client.write('DELETE', '/f/theirs-gone');
    });
    expect(result).toMatchObject({ exit: 4, stderr: expect.stringContaining('they are left alone') });
    expect(report(result).followed).toMatchObject({ skipped: 1 });
    const values = [...(await keysOfServer(target))].map(([key, { value }]) => `${key}=${value}`).sort();
    const theirs = 'of somebody else';
    expect(values).toEqual([`/f/beside=${theirs}`, '/f/mine=2', `/f/theirs-gone=${theirs}`, `/f/theirs=${theirs}`].sort());
  });

  test('is renamed like the first copy; directories go with --map too', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await client.put('/m/a/1', '1');
    await client.put('/m/b/1', '1');
    const args = ['--prefix', '/m/', '--map', '/m/a/=/x/', '--map', '/m/b/=/x/b-', '--until-idle', '2s', '--empty-dirs', 'drop'];
    const result = await following(source, target, args, async () => {
      await client.put('/m/a/2', '2');
      await client.put('/m/b/2', '2');
      await client.write('DELETE', '/m/b', 'recursive=true');
      await client.put('/m/b/3', '3');
    });
    expect(result.exit, result.stderr).toBe(0);
    expect([...(await keysOfServer(target)).keys()]).toEqual(['/x/1', '/x/2', '/x/b-3']);
  });

  test('a second SIGINT stops it at once; what cannot be followed is refused', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const result = await following(source, target, ['--prefix', '/old/'], async (child) => {
      child.kill('SIGSTOP');
      child.kill('SIGINT');
      child.kill('SIGCONT');
      await sleep(50);
      child.kill('SIGINT');
      await sleep(30);
      child.kill('SIGINT');
    });
    expect(result.exit === 130 || result.signal === 'SIGINT' || result.exit === 3).toBe(true);
    const refused = (...args: string[]) => etcdferry(['migrate', '--from', source.endpoint, ...args]);
    expect(await refused('--to', join(directory, 'x.tar'), '--follow')).toMatchObject({ exit: 2 });
    expect(await refused('--to', target.endpoint, '--until-idle', '3s')).toMatchObject({ exit: 2 });
    expect(await refused('--to', target.endpoint, '--follow', '--dry-run')).toMatchObject({ exit: 2 });
    expect(await refused('--to', target.endpoint, '--follow', '--empty-dirs', 'marker')).toMatchObject({ exit: 2 });
    expect((await v2(source.endpoint, 'GET', '/old')).status).toBe(200);
  });
});
