import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferry, jsonOf } from '../support/cli.js';
import { revisionOf } from '../support/compare.js';
import { EtcdServer, etcdVersions, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { expectSame, gather, indexOf, keysOfServer, keysOfTree, type MovedTree, treeOfServer } from '../support/migrated.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client, writeArticleTree, writeEveryKind } from '../support/v2.js';
import { fixtureAnswers, UnpackedDataDir, V2_FIXTURES } from '../support/v2-data.js';

const V2 = ['--enable-v2'];
const HIDDEN = ['/_top', '/app/_hidden', '/app/_hidden/_more'];
const includeHidden = HIDDEN.flatMap((path) => ['--include-hidden', path]);
/** A lease has whole seconds, counted from when it was granted, and etcdctl cuts off the rest. */
const LEASE_WITHIN = 3;

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

interface Report {
  readonly keys?: number;
  readonly written: number | { readonly written: number; readonly equal: number; readonly leasesGranted: number };
  readonly notes: readonly { readonly code: string; readonly count: number; readonly lossy: boolean }[];
}

const report = (result: CliResult): Report => jsonOf(result) as Report;
const fixtureTree = (fixture: string): MovedTree => fixtureAnswers(fixture).reduce((tree, node) => gather(node, tree), gather({}));
const codes = (result: CliResult): string[] => report(result).notes.map(({ code }) => code);

describe("the article's tree", () => {
  let source: EtcdServer;

  beforeAll(async () => {
    source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    await writeArticleTree(new V2Client(source.endpoint));
  });
  afterAll(() => source.stop());

  test.concurrent('goes from server to archive to server, and to v3, with nothing lost and nothing to say', async () => {
    await using copy = await EtcdServer.start(etcdWithV2(), { args: V2 });
    await using target = await EtcdServer.start(newestEtcd());
    const backup = await etcdferry(['backup', '--api', 'v2', '--from', source.endpoint, '--to', at('article.tar')]);
    expect(backup.stderr).toMatch(/^backed up 4 nodes \(.*\) at index \d+ to .*article\.tar \(.*\) in .*\n$/);
    expect(backup.exit).toBe(0);
    expect((await etcdferry(['ls', at('article.tar')])).stdout.toString()).toBe('/bar/\n/bar/that\n/bar/this\n/foo\n');
    expect((await etcdferry(['get', at('article.tar'), '/bar/this'])).stdout.toString()).toBe('that');

    const restore = await etcdferry(['restore', '--from', at('article.tar'), '--to', copy.endpoint]);
    expect(restore.stderr).toMatch(/^wrote 4 nodes/);
    expect(restore.exit).toBe(0);
    expectSame(await treeOfServer(copy), await treeOfServer(source), 0);

    const migrate = await etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint]);
    expect(migrate.stderr).toMatch(/wrote 3 keys/);
    expect(migrate.exit).toBe(0);
    const printed = await target.etcdctl('get', '--prefix', '/');
    expect(printed.split('\n')).toEqual(['/bar/that', 'other', '/bar/this', 'that', '/foo', 'bar']);
  });

  test.concurrent('can be chosen from and renamed on the way', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const args = ['migrate', '--from', source.endpoint, '--to', target.endpoint];
    expect(await etcdferry([...args, '--prefix', '/bar/', '--map', '/bar/=/new/'])).toMatchObject({ exit: 0 });
    expect(await etcdferry([...args, '--prefix', '/foo', '--strip-prefix', '/', '--add-prefix', 'old.'])).toMatchObject({ exit: 0 });
    expect([...(await keysOfServer(target)).keys()]).toEqual(['/new/that', '/new/this', 'old.foo']);
    const collision = await etcdferry([...args, '--map', '/bar/this=/x', '--map', '/bar/that=/x']);
    expect(collision).toMatchObject({ exit: 2, stderr: expect.stringMatching(/two keys would both become/) });
  });

  test.concurrent('what is in the target stays as it is, unless it may be overwritten', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await target.etcdctl('put', '/foo', 'mine');
    const args = ['migrate', '--from', source.endpoint, '--to', target.endpoint];
    const refused = await etcdferry(args);
    expect(refused).toMatchObject({ exit: 11, stderr: expect.stringContaining('/foo') });
    expect(await revisionOf(target)).toBe(2);
    expect(await etcdferry([...args, '--on-conflict', 'skip'])).toMatchObject({ exit: 0 });
    expect(await target.etcdctl('get', '/foo', '--print-value-only')).toBe('mine');
    expect(await etcdferry([...args, '--on-conflict', 'overwrite'])).toMatchObject({ exit: 0 });
    expect(await target.etcdctl('get', '/foo', '--print-value-only')).toBe('bar');
  });
});

describe('a tree that every kind of write has left', () => {
  let source: EtcdServer;
  let tree: MovedTree;

  beforeAll(async () => {
    source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    await writeArticleTree(new V2Client(source.endpoint));
    await writeEveryKind(new V2Client(source.endpoint));
    tree = await treeOfServer(source, HIDDEN);
    const backup = await etcdferry([
      'backup',
      '--api',
      'v2',
      '--from',
      source.endpoint,
      '--to',
      at('tree.tar'),
      ...includeHidden,
      '--json',
    ]);
    // The API does not tell the bytes of a value that is not UTF-8.
    expect(backup).toMatchObject({ exit: 3 });
    expect(report(backup).notes).toMatchObject([{ code: 'value-not-utf8', count: 1, examples: ['/binary'] }]);
    expect(await etcdferry(['verify', at('tree.tar')])).toMatchObject({ exit: 0 });
  });
  afterAll(() => source.stop());

  for (const etcd of etcdVersions()) {
    test.concurrent(`its archive restores into the v2 store of etcd ${etcd.version}, and once only`, async () => {
      await using target = await EtcdServer.start(etcd, { args: V2 });
      const restore = (...more: string[]) => etcdferry(['restore', '--from', at('tree.tar'), '--to', target.endpoint, '--json', ...more]);
      const untouched = await indexOf(target);
      const planned = await restore('--dry-run');
      expect(planned).toMatchObject({ exit: 0 });
      expect(report(planned).written).toBe(tree.size);
      expect(await indexOf(target)).toBe(untouched);

      const first = await restore();
      expect(first).toMatchObject({ exit: 0 });
      expect(report(first)).toMatchObject({ written: tree.size, notes: [] });
      expectSame(await treeOfServer(target, HIDDEN), tree, 1);

      const before = await indexOf(target);
      const again = await restore();
      expect(again).toMatchObject({ exit: 0 });
      expect(report(again)).toMatchObject({ written: 0, overwritten: 0, equal: tree.size });
      expect(await indexOf(target)).toBe(before);
    });

    test.concurrent.each([
      ['live', () => ['--from', source.endpoint, ...includeHidden], ['value-not-utf8']],
      ['in an archive', () => ['--from', at('tree.tar')], []],
    ])(`%s, it becomes the keys of etcd ${etcd.version}, and once only`, async (_, from, saysToo) => {
      await using target = await EtcdServer.start(etcd);
      const migrate = (...more: string[]) => etcdferry(['migrate', ...from(), '--to', target.endpoint, '--json', ...more]);
      const keys = keysOfTree(tree);
      const planned = await migrate('--dry-run');
      expect(report(planned)).toMatchObject({ dryRun: true, keys: keys.size, written: { written: keys.size } });
      expect(await revisionOf(target)).toBe(1);
      expect(await target.etcdctl('lease', 'list')).toBe('found 0 leases');

      const first = await migrate();
      // Empty directories have no place in v3.
      expect(first).toMatchObject({ exit: 3, stderr: '' });
      expect(codes(first).sort()).toEqual(['empty-directory', 'expiration-rounded', ...saysToo].sort());
      expect(report(first).notes).toContainEqual(expect.objectContaining({ code: 'empty-directory', count: 3 }));
      expect(report(first)).toMatchObject({ written: { written: keys.size, leasesGranted: 4 } });
      expectSame(await keysOfServer(target), keys, LEASE_WITHIN);

      const before = await revisionOf(target);
      const again = await migrate();
      expect(report(again)).toMatchObject({ written: { written: 0, equal: keys.size, leasesGranted: 0 } });
      expect(await revisionOf(target)).toBe(before);
      expect(await target.etcdctl('lease', 'list')).toMatch(/^found 4 leases/);
    });
  }

  test.concurrent('it becomes an archive of keys, which restores like any other, and once only', async () => {
    const keys = keysOfTree(tree);
    const migrate = (...more: string[]) => etcdferry(['migrate', '--from', at('tree.tar'), '--to', at('keys.tar'), '--json', ...more]);
    expect(await migrate('--dry-run')).toMatchObject({ exit: 3 });
    expect(existsSync(at('keys.tar'))).toBe(false);
    expect(report(await migrate())).toMatchObject({ keys: keys.size, archive: { records: keys.size } });
    expect(await migrate()).toMatchObject({ exit: 11 });
    expect(await etcdferry(['verify', at('keys.tar')])).toMatchObject({ exit: 0 });
    await using target = await EtcdServer.start(newestEtcd());
    const restore = () => etcdferry(['restore', '--from', at('keys.tar'), '--to', target.endpoint, '--lease-ttl', 'deadline', '--json']);
    expect(await restore()).toMatchObject({ exit: 0 });
    expectSame(await keysOfServer(target), keys, LEASE_WITHIN);
    const before = await revisionOf(target);
    expect(report(await restore())).toMatchObject({ written: 0, equal: keys.size });
    // A migration of the live tree finds the same keys, and the same leases by their ids.
    const live = await etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, ...includeHidden, '--json']);
    expect(report(live)).toMatchObject({ written: { written: 0, equal: keys.size, leasesGranted: 0 } });
    expect(await revisionOf(target)).toBe(before);
  });

  test("a stopped member's files give all of it: hidden nodes unasked, and every byte", async () => {
    await source.kill();
    await using target = await EtcdServer.start(newestEtcd());
    const migrate = () => etcdferry(['migrate', '--from', source.dataDir, '--to', target.endpoint, '--json']);
    const first = await migrate();
    expect(first).toMatchObject({ exit: 3 });
    const lossy = report(first).notes.filter((note) => note.lossy);
    expect(lossy).toMatchObject([{ code: 'empty-directory', count: 3 }]);
    expectSame(await keysOfServer(target), keysOfTree(tree), LEASE_WITHIN);
    const { kvs } = JSON.parse(await target.etcdctl('get', '/binary', '-w', 'json')) as { kvs: [{ value: string }] };
    expect(Buffer.from(kvs[0].value, 'base64').toString('latin1')).toBe('\xff\xfeok\xc3\xa9\xef\xbf\xbd');
    const before = await revisionOf(target);
    expect(report(await migrate())).toMatchObject({ written: { written: 0, leasesGranted: 0 } });
    expect(await revisionOf(target)).toBe(before);
  });
});

describe('the trees in testdata, left by some thousand writes', () => {
  const hidden = ['--include-hidden', '/app/_hidden'];

  test('served once more, one goes from server to archive to server, and to v3', async () => {
    using unpacked = new UnpackedDataDir('v34');
    const [source, copy, target] = await Promise.all([
      EtcdServer.start(etcdWithV2(), { dataDir: unpacked.path, args: [...V2, '--force-new-cluster'] }),
      EtcdServer.start(etcdWithV2(), { args: V2 }),
      EtcdServer.start(newestEtcd()),
    ]);
    try {
      const tree = await treeOfServer(source, ['/app/_hidden']);
      expect(tree.size).toBeGreaterThan(1500);
      const backup = await etcdferry(['backup', '--api', 'v2', '--from', source.endpoint, '--to', at('v34.tar'), ...hidden, '--json']);
      expect(backup.exit).toBe(3);
      expect(codes(backup)).toEqual(['value-not-utf8']);
      expect(await etcdferry(['restore', '--from', at('v34.tar'), '--to', copy.endpoint])).toMatchObject({ exit: 0 });
      expectSame(await treeOfServer(copy, ['/app/_hidden']), tree, 1);
      await etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, ...hidden]);
      expectSame(await keysOfServer(target), keysOfTree(tree), LEASE_WITHIN);
    } finally {
      await Promise.all([source.stop(), copy.stop(), target.stop()]);
    }
  });

  test.concurrent.each(V2_FIXTURES)('the files of %s become the keys its server told of', async (fixture) => {
    using unpacked = new UnpackedDataDir(fixture);
    await using target = await EtcdServer.start(newestEtcd());
    expect((await etcdferry(['migrate', '--from', unpacked.path, '--to', target.endpoint])).exit).toBe(3);
    const told = keysOfTree(fixtureTree(fixture));
    // Hidden nodes of which the server told nothing come along.
    const keys = [...(await keysOfServer(target))].filter(([key]) => told.has(key) || !key.includes('/_'));
    expectSame(new Map(keys), told, LEASE_WITHIN);
  });
});

describe('two live sides', () => {
  let source: EtcdServer;
  let target: EtcdServer;

  beforeAll(async () => {
    source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    const client = new V2Client(source.endpoint);
    await writeArticleTree(client);
    await client.send('PUT', '/auth/users/root', '{"user":"root","password":"v2 secret"}', 'application/json');
    await client.send('PUT', '/auth/enable');
    const revoke = { role: 'guest', revoke: { kv: { read: ['/*', '*'], write: ['/*', '*'] } } };
    await new V2Client(source.endpoint, 'root:v2 secret').send('PUT', '/auth/roles/guest', JSON.stringify(revoke), 'application/json');
    target = await EtcdServer.start(newestEtcd());
    await target.enableAuth('v3 secret');
    writeFileSync(at('v2'), 'v2 secret\n');
    writeFileSync(at('v3'), 'v3 secret\n');
  });
  afterAll(() => Promise.all([source.stop(), target.stop()]));

  const migrate = (env: NodeJS.ProcessEnv, ...more: string[]) =>
    etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, ...more], { env });
  const fromSource = (): string[] => ['--from-user', 'root', '--from-password-file', at('v2')];
  const intoTarget = (): string[] => ['--to-user', 'root', '--to-password-file', at('v3')];
  const keysNow = (): Promise<string> => target.etcdctl('--user', 'root:v3 secret', 'get', '', '--from-key', '--keys-only');

  test('a plain flag does not say which', async () => {
    const tried = ['user', 'password-file', 'cacert', 'insecure-skip-tls-verify', 'command-timeout'];
    const results = await Promise.all(tried.map((flag) => migrate({}, flag.startsWith('insecure') ? `--${flag}` : `--${flag}=1s`)));
    for (const [i, flag] of tried.entries()) {
      expect(results[i]).toMatchObject({ exit: 2, stderr: expect.stringContaining(`--from-${flag} or --to-${flag}`) });
    }
  });

  test('each side needs its own credentials', async () => {
    expect(await migrate({}, ...intoTarget())).toMatchObject({ exit: 10, stderr: expect.stringContaining(source.endpoint) });
    expect(await migrate({}, ...fromSource())).toMatchObject({ exit: 10, stderr: expect.not.stringContaining(source.endpoint) });
    expect(await keysNow()).toBe('');
  });

  test("the environment's credentials are for the source, and never reach the target", async () => {
    const v3 = { ETCDCTL_USER: 'root', ETCDCTL_PASSWORD: 'v3 secret' };
    expect(await migrate(v3, ...fromSource())).toMatchObject({ exit: 10, stderr: expect.not.stringContaining(source.endpoint) });
    expect(await keysNow()).toBe('');
    const v2 = { ETCDCTL_USER: 'root', ETCDCTL_PASSWORD: 'v2 secret' };
    expect(await migrate({ ...v2, ETCDCTL_ENDPOINTS: target.endpoint }, ...intoTarget())).toMatchObject({ exit: 0 });
    expect((await keysNow()).split('\n').filter(Boolean)).toEqual(['/bar/that', '/bar/this', '/foo']);
  });

  test("the environment's endpoints are a source, never a target", async () => {
    const env = { ETCDCTL_ENDPOINTS: source.endpoint };
    expect(await etcdferry(['migrate', '--to', target.endpoint, ...fromSource(), ...intoTarget()], { env })).toMatchObject({ exit: 0 });
    expect(await etcdferry(['migrate', '--from', source.endpoint], { env })).toMatchObject({ exit: 2 });
  });

  test('with one live side, plain flags and the environment are for that one', async () => {
    const env = { ETCDCTL_USER: 'root', ETCDCTL_PASSWORD: 'v2 secret' };
    expect(await etcdferry(['migrate', '--from', source.endpoint, '--to', at('one.tar')], { env })).toMatchObject({ exit: 0 });
    const flags = ['--user', 'root', '--password-file', at('v2')];
    const backup = await etcdferry(['backup', '--api', 'v2', '--from', source.endpoint, '--to', at('v2.tar'), ...flags]);
    expect(backup).toMatchObject({ exit: 0 });
    const into = ['--to', target.endpoint, '--user', 'root', '--password-file', at('v3')];
    expect(await etcdferry(['migrate', '--from', at('v2.tar'), ...into])).toMatchObject({ exit: 0 });
  });
});
