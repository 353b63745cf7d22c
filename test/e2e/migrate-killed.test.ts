import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliOptions, type CliResult, etcdferry, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, freePort, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';
import { numbers } from '../support/v2-workload.js';

const KEYS = 20_000;
const MOMENTS = process.env.SOAK === undefined ? 5 : 50;
/** Every tenth key expires, in one of so many seconds. */
const SECONDS = 150;
const directory = temporaryDirectory();

interface Held {
  readonly key: string;
  readonly value: string;
  readonly version: number;
  readonly lease: string;
}

/** Everything a server holds, with the leases that it has, told by etcdctl. */
async function heldBy(server: EtcdServer): Promise<{ keys: Held[]; leases: string[] }> {
  const text = (await server.etcdctl('get', '', '--from-key', '-w', 'json')).replace(/"lease":(\d+)/g, '"lease":"$1"');
  const { kvs = [] } = JSON.parse(text) as { kvs?: (Omit<Held, 'value' | 'lease'> & Partial<Held>)[] };
  const leases = (await server.etcdctl('lease', 'list')).split('\n').slice(1).filter(Boolean).sort();
  return { keys: kvs.map(({ key, value = '', version, lease = '0' }) => ({ key, value, version, lease })), leases };
}

const used = (keys: readonly Held[]): string[] =>
  [...new Set(keys.map(({ lease }) => BigInt(lease)))]
    .filter((id) => id !== 0n)
    .map((id) => id.toString(16))
    .sort();

describe('a migration of 20,000 keys', () => {
  let source: EtcdServer;
  let client: V2Client;
  let whole: { keys: Held[]; leases: string[] };
  /** Of a run in one go: milliseconds, and bytes of its state. */
  let took = 0;
  let wrote = 0;

  const at = (state: string): string => join(directory, state);
  const sizeOf = (state: string): number => statSync(at(state), { throwIfNoEntry: false })?.size ?? 0;
  const migrate = (target: EtcdServer, state: string, more: string[] = [], options: CliOptions = {}): Promise<CliResult> =>
    etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, '--state', at(state), '--json', ...more], options);

  beforeAll(async () => {
    source = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2', '--snapshot-count', '1000000'] });
    client = new V2Client(source.endpoint);
    const body = (i: number): string => `value=${'v'.repeat(i % 200)}${i % 10 === 0 ? `&ttl=${5000 + (i % SECONDS)}` : ''}`;
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let i = next++; i < KEYS; i = next++) await client.write('PUT', `/d${i % 40}/e${i % 7}/k${i}`, body(i));
    };
    await Promise.all(Array.from({ length: 64 }, worker));
    await using target = await EtcdServer.start(newestEtcd());
    const started = performance.now();
    expect(await migrate(target, 'whole')).toMatchObject({ exit: 0 });
    took = performance.now() - started;
    wrote = sizeOf('whole');
    whole = await heldBy(target);
    expect(whole.keys).toHaveLength(KEYS);
    expect(whole.leases).toEqual(used(whole.keys));
  }, 180_000);
  afterAll(() => source.stop());

  const seed = randomInt(2 ** 31);
  const below = numbers(seed);

  /** A moment of the whole run, or one of its writing; the latter is of more interest. */
  function moment(n: number): { readonly what: string; readonly has: (state: string) => () => boolean } {
    if (n % 5 === 0) {
      const after = below(Math.ceil(took));
      return {
        what: `after ${after} ms`,
        has: () => {
          const started = performance.now();
          return () => performance.now() - started > after;
        },
      };
    }
    const size = below(wrote);
    return { what: `with ${size} of ${wrote} bytes of state`, has: (state) => () => sizeOf(state) > size };
  }

  test.each(Array.from({ length: MOMENTS }, (_, n) => n))(
    `killed at a random moment and run again, ends as one made in one go (seed ${seed}, %i)`,
    async (n) => {
      await using target = await EtcdServer.start(newestEtcd());
      const { what, has } = moment(n);
      const killed = await migrate(target, `killed-${n}`, [], { killWhen: has(`killed-${n}`) });
      const then = await heldBy(target);
      console.log(`seed ${seed}, moment ${n}: killed ${what} (${killed.signal ?? `exit ${killed.exit}`}): ${then.keys.length} keys`);
      const again = await migrate(target, `killed-${n}`);
      expect(again).toMatchObject({ exit: 0 });
      expect(jsonOf(again)).toMatchObject({ written: { equal: then.keys.length, written: KEYS - then.keys.length, overwritten: 0 } });
      const now = await heldBy(target);
      expect(now.keys.filter(({ version }) => version !== 1)).toEqual([]);
      expect(now).toEqual(whole);
    },
  );

  test('one that is killed while the source goes on changing overwrites and deletes its own keys, and no others', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await migrate(target, 'moved', [], { killWhen: () => sizeOf('moved') > wrote / 2 });
    const { keys } = await heldBy(target);
    const names = keys.map(({ key }) => Buffer.from(key, 'base64').toString());
    const [changed, deleted, shortened, foreign, foreignGone] = names.filter((_, i) => i % 15 === 3) as [
      string,
      string,
      string,
      string,
      string,
    ];
    await client.put(changed, 'changed in the source');
    await client.write('DELETE', deleted);
    await client.put(shortened, 'expires sooner', '&ttl=4000');
    await client.put('/new/key', 'new');
    await target.etcdctl('put', foreign, 'of somebody else');
    await target.etcdctl('put', foreignGone, 'of somebody else too');
    await client.write('DELETE', foreignGone);

    const refused = await migrate(target, 'moved');
    expect(refused).toMatchObject({ exit: 11, stderr: expect.stringContaining(JSON.stringify(foreign)) });
    expect(refused.stderr).toContain('1 key is in the target');
    const skipping = await migrate(target, 'moved', ['--on-conflict', 'skip']);
    expect(skipping.exit).toBe(3);
    expect(jsonOf(skipping)).toMatchObject({
      written: { overwritten: 2, deleted: 1, skipped: 1 },
      notes: expect.arrayContaining([
        expect.objectContaining({ code: 'changed-by-others', count: 1, examples: [JSON.stringify(foreignGone)] }),
      ]),
    });
    const now = await heldBy(target);
    const value = (name: string) => now.keys.find(({ key }) => key === Buffer.from(name).toString('base64'))?.value;
    const text = (name: string) => Buffer.from(value(name) ?? '', 'base64').toString();
    expect([changed, shortened, '/new/key', foreign, foreignGone].map(text)).toEqual([
      'changed in the source',
      'expires sooner',
      'new',
      'of somebody else',
      'of somebody else too',
    ]);
    expect(value(deleted)).toBeUndefined();
    expect(now.leases).toEqual(used(now.keys));
    expect(jsonOf(await migrate(target, 'moved', ['--on-conflict', 'skip']))).toMatchObject({
      written: { written: 0, overwritten: 0, deleted: 0 },
    });
  });

  test('the state is for the owner alone, named by both clusters, and of one piece of work', async () => {
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const home = at('home');
    const inHome = (...more: string[]) =>
      etcdferry(['migrate', '--from', source.endpoint, '--to', `http://127.0.0.1:${clientPort}`, '--prefix', '/d1/', '-q', ...more], {
        env: { XDG_STATE_HOME: home },
      });
    const target = await EtcdServer.start(newestEtcd(), { clientPort, peerPort });
    expect(await inHome()).toMatchObject({ exit: 0 });
    const { keys } = await heldBy(target);
    await target.stop();
    const [name, ...others] = readdirSync(join(home, 'etcdferry'));
    expect(others).toEqual([]);
    expect(name).toMatch(/^migrate-[0-9a-f]+-[0-9a-f]+-[0-9a-f]{8}\.state$/);
    const path = join(home, 'etcdferry', name as string);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(path, 'utf8').split('\n')[0] as string)).toMatchObject({ schema: 'etcdferry.migrate-state/v1' });

    // A cluster made anew on the same addresses has the same id; what is in it is not ours.
    await using anew = await EtcdServer.start(newestEtcd(), { clientPort, peerPort });
    const first = Buffer.from(keys[0]?.key as string, 'base64').toString();
    for (let i = 0; i < 60; i++) await load(anew.endpoint, [{ key: Buffer.from(first), value: Buffer.from(`of somebody else ${i}`) }]);
    const again = await inHome();
    expect(again).toMatchObject({
      exit: 11,
      stderr: expect.stringMatching(/tells of a target that was another one[\s\S]*1 key is in the target/),
    });
    expect((await heldBy(anew)).keys).toHaveLength(1);
    expect(await inHome('--state', path, '--add-prefix', '/x')).toMatchObject({ exit: 2, stderr: expect.stringContaining('other names') });
  });
});
