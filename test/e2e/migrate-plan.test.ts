import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferry, jsonOf } from '../support/cli.js';
import { revisionOf } from '../support/compare.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const env = { XDG_STATE_HOME: directory };

let source: EtcdServer;
let client: V2Client;

beforeAll(async () => {
  source = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
  client = new V2Client(source.endpoint);
  await client.put('/a/k', 'one');
  await client.put('/b/k', 'two');
  await client.put('/ttl', 'v', '&ttl=500');
  await client.write('PUT', '/c/empty', 'dir=true');
  await client.write('PUT', '/binary', 'value=%FF');
});
afterAll(() => source.stop());

const migrate = (...args: string[]): Promise<CliResult> => etcdferry(['migrate', ...args], { env });

describe('a dry run', () => {
  test.concurrent('prints what becomes of the tree, by which rule, what is lost, and what it takes; and writes nothing', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const between = ['--from', source.endpoint, '--to', target.endpoint, '--dry-run'];
    const { exit, stdout } = await migrate(...between, '--map', '/a/=/z/', '--empty-dirs', 'marker');
    const text = stdout.toString();
    expect(exit).toBe(3);
    expect(text).toMatch(/^nodes +8, 4 directories among them$/m);
    expect(text).toMatch(/^keys they become +5 \(/m);
    expect(text).toMatch(/^leases +1$/m);
    expect(text).toMatch(/^ +1 +keys renamed +--map \/a\/=\/z\/$/m);
    expect(text).toMatch(/^ +1 +keys with a TTL, which expire when they would have +--ttl exact \(default\)$/m);
    expect(text).toMatch(/^ +1 +empty directories +--empty-dirs marker$/m);
    expect(text).toMatch(/^no place in v3\n +1 +values that are not UTF-8.*\/binary/m);
    expect(text).toMatch(/hidden nodes: no server lists them/);
    expect(text).toMatch(/^time, about +less than a second$/m);
    expect(text).toMatch(/^space, about .* now\)$/m);
    expect(await revisionOf(target)).toBe(1);
  });

  test.concurrent('names collisions with all that collides, and what is in the way in the target', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await target.etcdctl('put', '/b/k', 'mine');
    const between = ['--from', source.endpoint, '--to', target.endpoint, '--dry-run'];
    const colliding = await migrate(...between, '--map', '/a/=/b/', '--report', at('collision.html'));
    expect(colliding).toMatchObject({ exit: 2 });
    expect(colliding.stdout.toString()).toContain('COLLISIONS: 1 key that more than one node would become\n  /b/k: /a/k, /b/k\n');
    expect(readFileSync(at('collision.html'), 'utf8')).toContain('Two nodes would become one key');
    const blocked = await migrate(...between, '--json');
    expect(blocked).toMatchObject({ exit: 11, stderr: '' });
    expect(jsonOf(blocked)).toMatchObject({
      schema: 'etcdferry.migrate/v1',
      verdict: 'planned',
      plan: { collisions: { count: 0 }, inTheWay: { count: 1, examples: [{ key: '/b/k' }] }, estimate: { bytes: expect.any(Number) } },
      written: { written: 3, skipped: 0 },
    });
    expect(await migrate(...between, '--on-conflict', 'overwrite')).toMatchObject({ exit: 3 });
    writeFileSync(at('there.tar'), '');
    const file = await migrate('--from', source.endpoint, '--to', at('there.tar'), '--dry-run');
    expect(file).toMatchObject({ exit: 11 });
    expect(file.stdout.toString()).toMatch(/IN THE WAY: .*there\.tar already exists/);
  });
});

describe('a plan that was kept', () => {
  test.concurrent('is carried out as it was made, without a flag given again', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const flags = ['--map', '/a/=/z/', '--ttl', 'permanent', '--empty-dirs', 'drop', '--exclude-prefix', '/binary'];
    const planned = await migrate(
      '--from',
      source.endpoint,
      '--to',
      target.endpoint,
      ...flags,
      '--dry-run',
      '--save-plan',
      at('good.json'),
    );
    expect(planned).toMatchObject({ exit: 0 });
    expect(JSON.parse(readFileSync(at('good.json'), 'utf8'))).toMatchObject({ schema: 'etcdferry.migrate-plan/v1', keys: 3 });
    expect(await migrate('--plan', at('good.json'), '--report', at('good.json'))).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('is one of the files that are read'),
    });
    expect(await migrate('--plan', at('good.json'))).toMatchObject({ exit: 0, stderr: expect.stringMatching(/wrote 3 keys/) });
    expect(await target.etcdctl('get', '', '--prefix', '--keys-only')).toBe('/b/k\n\n/ttl\n\n/z/k');
    expect(await target.etcdctl('lease', 'list')).toBe('found 0 leases');
  });

  test.concurrent('is refused when the source has become something else, and good again when it is what it was', async () => {
    await using old = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    const writer = new V2Client(old.endpoint);
    await writer.put('/a', 'one');
    await writer.put('/_hidden', 'does not count');
    expect(await migrate('--from', old.endpoint, '--to', at('moved.tar'), '--dry-run', '--save-plan', at('moved.json'))).toMatchObject({
      exit: 0,
    });
    await writer.put('/b', 'more');
    const refused = await migrate('--plan', at('moved.json'));
    expect(refused).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('moved on since the plan was made: keys without a TTL were 1 then and are 2 now'),
    });
    expect(existsSync(at('moved.tar'))).toBe(false);
    await writer.write('DELETE', '/b');
    await writer.put('/_hidden', 'still does not');
    expect(await migrate('--plan', at('moved.json'))).toMatchObject({ exit: 0 });
  });

  test.concurrent('takes no other rules, and is told from what is no plan', async () => {
    writeFileSync(at('no.json'), '{"schema":"etcdferry.migrate/v1"}');
    writeFileSync(at('broken.json'), '{');
    const rule = await migrate('--plan', at('no.json'), '--ttl', 'exact');
    expect(rule).toMatchObject({ exit: 2, stderr: expect.stringContaining('--ttl goes into a plan when it is made') });
    expect(await migrate('--plan', at('no.json'))).toMatchObject({ exit: 13 });
    expect(await migrate('--plan', at('no.json'), '--follow')).toMatchObject({ exit: 2, stderr: expect.stringContaining('stands still') });
    expect(await migrate('--plan', at('broken.json'))).toMatchObject({ exit: 12 });
    expect(await migrate('--plan', at('missing.json'))).toMatchObject({ exit: 2 });
    expect(await migrate('--from', source.endpoint, '--to', at('x.tar'), '--save-plan', at('x.json'))).toMatchObject({ exit: 2 });
  });
});
