import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { V2Cluster } from '../../src/cluster/v2.js';
import { FerryError } from '../../src/errors.js';
import type { TreeNode } from '../../src/model/node.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { compareTreePaths } from '../../src/model/tree-path.js';
import { isOneListing, type LiveV2Options, openLiveV2, streamLiveV2 } from '../../src/readers/live-v2.js';
import { EtcdServer, etcdVersions } from '../support/etcd.js';
import { FakeHttp } from '../support/fake-http.js';
import { withOtherClock } from '../support/other-clock.js';
import { connectTo, failure, nodesOf, ODD_NAMES, V2Client, writeArticleTree, writeEveryKind } from '../support/v2.js';

const run = quietRun();

describe.each(etcdVersions().filter(({ minor }) => minor <= '3.5'))('the tree of etcd $version', (etcd) => {
  let server: EtcdServer;
  let client: V2Client;
  const scratch = mkdtempSync(join(tmpdir(), 'live-v2-'));

  beforeAll(async () => {
    server = await EtcdServer.start(etcd, { args: ['--enable-v2'] });
    client = new V2Client(server.endpoint);
  });
  afterAll(async () => {
    await server.stop();
    rmSync(scratch, { recursive: true });
  });

  async function read(options: Omit<LiveV2Options, 'cluster'> = {}) {
    const cluster = connectTo(server.endpoint);
    const source = await openLiveV2({ cluster, tmpDir: scratch, ...options }, run);
    const nodes = await nodesOf(source.records());
    const again = await nodesOf(source.records());
    expect(again).toEqual(nodes);
    const streams = options.path === undefined && options.includeHidden === undefined && isOneListing(options.selection ?? EVERYTHING);
    if (streams) await expectSameAsItComes(cluster, options, nodes, source);
    await source.close();
    await cluster.close();
    return { nodes, source, paths: nodes.map(({ path }) => path.toString()) };
  }

  /** Read as it comes, the tree lacks nothing but indices of directories. */
  async function expectSameAsItComes(cluster: V2Cluster, options: Omit<LiveV2Options, 'cluster'>, nodes: TreeNode[], whole: Source) {
    const stream = await streamLiveV2({ cluster, ...options }, run);
    const bare = (all: TreeNode[]): TreeNode[] => all.map((node) => (node.dir ? { ...node, createdIndex: 0n, modifiedIndex: 0n } : node));
    expect(bare(await nodesOf(stream.records()))).toEqual(bare(nodes));
    expect(stream.notes.list()).toEqual(whole.notes.list());
    const { estimatedRecords: _, startedAt: __, ...info } = whole.info;
    expect(stream.info).toMatchObject(info);
    await stream.close();
  }

  test('an empty one has no records', async () => {
    const { nodes, source } = await read();
    expect(nodes).toEqual([]);
    // Hidden nodes may be all there is.
    expect(source.notes.list()).toMatchObject([{ code: 'hidden-not-listed', count: 1, lossy: false }]);
  });

  test('comes parents first, siblings by bytes, with indices and values', async () => {
    await writeArticleTree(client);
    const { json } = await client.send('GET', '/keys/foo');
    const { nodes, source, paths } = await read();
    expect(paths).toEqual(['/bar', '/bar/that', '/bar/this', '/foo']);
    expect(nodes.map(({ value }) => value.toString())).toEqual(['', 'other', 'that', 'bar']);
    expect(nodes.map(({ dir }) => dir)).toEqual([true, false, false, false]);
    expect(nodes[3]).toMatchObject({
      createdIndex: BigInt(json.node.createdIndex),
      modifiedIndex: BigInt(json.node.modifiedIndex),
      expiration: 0n,
    });
    expect(nodes[0]?.createdIndex).toBeGreaterThan(nodes[3]?.createdIndex as bigint);
    expect(source.info).toMatchObject({ kind: 'live', api: 'v2', order: 'tree', serverVersion: etcd.version, estimatedRecords: 4 });
    expect(source.info.revision).toBeGreaterThanOrEqual(nodes[1]?.modifiedIndex as bigint);
    expect(source.info.clusterId).toBeTypeOf('bigint');
    expect(await source.auth()).toBeUndefined();
  });

  test('holds what every kind of write leaves', async () => {
    await writeEveryKind(client);
    const before = Date.now();
    const { nodes, source, paths } = await read();
    const of = (path: string) => nodes.find((node) => node.path.toString() === path);
    const secondsLeft = (path: string) => Number(((of(path)?.expiration as bigint) - BigInt(before) * 1_000_000n) / 1_000_000_000n);

    expect(of('/app/cas')?.value.toString()).toBe('two');
    expect(of('/app/cad')).toBeUndefined();
    expect(paths.filter((path) => path.startsWith('/queue/'))).toHaveLength(5);
    expect(of('/empty')).toMatchObject({ dir: true });
    expect(of('/deep/er/empty')).toMatchObject({ dir: true });
    expect(of('/novalue')).toMatchObject({ dir: false, value: Buffer.alloc(0) });
    for (const name of ODD_NAMES) expect(of(`/odd/${name}`)?.value.toString(), name).toBe(`value of ${name} ☕ <&> \u2028\u0000`);
    for (const [path, ttl] of Object.entries({
      '/ttl/file': 300,
      '/ttl/dir': 600,
      '/ttl/dir/shorter': 200,
      '/ttl/empty': 700,
      '/app/refreshed': 900,
    })) {
      expect(Math.abs(secondsLeft(path) - ttl), path).toBeLessThan(10);
    }
    expect(of('/ttl/dir/child')?.expiration).toBe(0n);
    expect(nodes.every((node, i) => i === 0 || compareTreePaths((nodes[i - 1] as typeof node).path, node.path) < 0)).toBe(true);
    expect(paths.filter((path) => path.startsWith('/sorted/'))).toEqual(['/sorted/a', '/sorted/a/b', '/sorted/a-b', '/sorted/a.b']);

    expect(of('/binary')?.value.toString()).toBe('\ufffd\ufffdoké\ufffd');
    expect(source.notes.list()).toMatchObject([{ code: 'value-not-utf8', count: 1, examples: ['/binary'], lossy: true }]);
    expect(paths.some((path) => path.includes('/_'))).toBe(false);
  });

  test('takes in the hidden nodes that are named, in their place', async () => {
    const plain = await read();
    const { paths, nodes, source } = await read({ includeHidden: ['/app/_hidden/', '/_top', '/app/_hidden/_more', '/app'] });
    expect(nodes.every((node, i) => i === 0 || compareTreePaths((nodes[i - 1] as typeof node).path, node.path) < 0)).toBe(true);
    const added = paths.filter((path) => !plain.paths.includes(path));
    expect(added).toEqual(['/_top', '/app/_hidden', '/app/_hidden/_more', '/app/_hidden/secret']);
    expect(paths).toHaveLength(plain.paths.length + 4);
    expect(source.notes.list().map(({ code }) => code)).toEqual(['value-not-utf8']);
  });

  test('says so when hidden nodes were read at a later index', async () => {
    const cluster = connectTo(server.endpoint);
    const readTree: typeof cluster.readTree = async (path, use, signal) => {
      if (path.length > 0) await client.put('/foo', 'bar');
      return cluster.readTree(path, use, signal);
    };
    const source = await openLiveV2({ cluster: { ...cluster, readTree }, includeHidden: ['/_top'] }, run);
    expect(source.notes.list()).toContainEqual(expect.objectContaining({ code: 'hidden-at-other-index', count: 1, lossy: false }));
    await source.close();
    await cluster.close();
  });

  test('can be read from a path on, and by prefixes of paths', async () => {
    expect((await read({ path: '/ttl/dir' })).paths).toEqual(['/ttl/dir', '/ttl/dir/child', '/ttl/dir/shorter']);
    expect((await read({ path: '/foo' })).paths).toEqual(['/foo']);
    const selection = { prefixes: [Buffer.from('/sorted/a'), Buffer.from('/bar/')], excludePrefixes: [Buffer.from('/sorted/a/')] };
    expect((await read({ selection })).paths).toEqual(['/bar/that', '/bar/this', '/sorted/a', '/sorted/a-b', '/sorted/a.b']);
  });

  test('takes along the directories with a TTL above what is read or selected', async () => {
    const prefixes = (...texts: string[]) => ({ selection: { prefixes: texts.map((text) => Buffer.from(text)), excludePrefixes: [] } });
    for (const options of [prefixes('/ttl/dir/child'), { path: '/ttl/dir/child' }, prefixes('/ttl/dir/child', '/ttl/dir/s')]) {
      const { nodes, paths } = await read(options);
      expect(paths.slice(0, 2)).toEqual(['/ttl/dir', '/ttl/dir/child']);
      expect(nodes[0]).toMatchObject({ dir: true, value: Buffer.alloc(0) });
      expect(nodes[0]?.expiration).toBeGreaterThan(0n);
      expect(nodes[0]?.createdIndex).toBeGreaterThan(0n);
    }
    await client.put('/ttl/dir/_hidden/x', 'v');
    expect((await read({ includeHidden: ['/ttl/dir/_hidden'], ...prefixes('/ttl/dir/_') })).paths).toEqual([
      '/ttl/dir',
      '/ttl/dir/_hidden',
      '/ttl/dir/_hidden/x',
    ]);
  });

  test('says so when the directories above may not be looked at', async () => {
    const cluster = connectTo(server.endpoint);
    const get: typeof cluster.get = () => Promise.reject(new FerryError('unauthorized', 'no'));
    const source = await openLiveV2({ cluster: { ...cluster, get }, path: '/ttl/dir/child', tmpDir: scratch }, run);
    expect(source.notes.list()).toMatchObject([{ code: 'directory-not-readable', count: 2, examples: ['/ttl', '/ttl/dir'] }]);
    expect(await nodesOf(source.records())).toHaveLength(1);
    await source.close();
    await cluster.close();
  });

  test.each([-3600, 3600])('of a server whose clock is %i s ahead has ends by our clock, and says so', async (seconds) => {
    const honest = await read({ path: '/ttl' });
    await using other = await withOtherClock(server.endpoint, seconds);
    const cluster = connectTo(other.endpoint);
    for (const read of [openLiveV2({ cluster, tmpDir: scratch, path: '/ttl' }, run), streamLiveV2({ cluster }, run)]) {
      const source = await read;
      const nodes = (await nodesOf(source.records())).filter(({ path }) => path.toString().startsWith('/ttl/'));
      for (const { path, expiration } of nodes) {
        const right = honest.nodes.find((node) => node.path.equals(path))?.expiration as bigint;
        const apart = expiration - right;
        expect(expiration === 0n ? right === 0n : apart < 1_500_000_000n && apart > -1_500_000_000n, path.toString()).toBe(true);
      }
      const [note] = source.notes.list().filter(({ code }) => code === 'source-clock-apart');
      expect(note).toMatchObject({ examples: [`3600 s ${seconds < 0 ? 'behind' : 'ahead'}`], lossy: false });
      expect(Number(source.clockOffset?.()) / 1e9).toBeCloseTo(seconds, -1);
      expect((await cluster.get(Buffer.from('/ttl/file')))?.expiration).toBe(
        nodes.find(({ path }) => String(path) === '/ttl/file')?.expiration,
      );
      await source.close();
    }
    await cluster.close();
  });

  test('leaves out nodes whose names are not UTF-8, and all under them, and says so', async () => {
    await client.put('/bytes/%FFa/below/it', 'x');
    await client.put('/bytes/%FEb', 'x');
    await client.put('/bytes/fine', 'x');
    const { paths, source } = await read({ path: '/bytes' });
    expect(paths).toEqual(['/bytes', '/bytes/fine']);
    expect(source.notes.list()).toMatchObject([{ code: 'path-not-utf8', count: 4, lossy: true }]);
  });

  test('counts of such nodes those only that the selection may have held, as far as their paths are known', async () => {
    await client.put('/known/x%FFy', 'x');
    await client.put('/known/in/z%FE/below', 'x');
    const counted = async (prefixes: string[], excluded: string[] = []): Promise<number> => {
      const selection = { prefixes: prefixes.map((p) => Buffer.from(p)), excludePrefixes: excluded.map((p) => Buffer.from(p)) };
      const { source } = await read({ path: '/known', selection });
      return source.notes.list().find(({ code }) => code === 'path-not-utf8')?.count ?? 0;
    };
    expect(await counted(['/known/'])).toBe(3);
    expect(await counted(['/known/in/'])).toBe(2);
    expect(await counted(['/known/x'])).toBe(1);
    // What follows the known part is no character at all.
    expect(await counted(['/known/xy', '/known/in/za', '/known/other/'])).toBe(0);
    expect(await counted(['/known/'], ['/known/in/'])).toBe(1);
    expect(await counted(['/known/'], ['/known/in/z', '/known/x'])).toBe(0);
  });

  test('is refused in a line when the path is not there, or is none', async () => {
    expect(await failure(read({ path: '/nowhere' }))).toMatchObject({ code: 'not-found', message: expect.stringContaining('(/nowhere)') });
    expect(await failure(read({ includeHidden: ['/_nowhere'] }))).toMatchObject({ code: 'not-found' });
    for (const path of ['relative', '/a//b', '/a/../b', '/.']) expect(await failure(read({ path }))).toMatchObject({ code: 'usage' });
  });

  test('leaves nothing in the temporary directory', () => {
    expect(readdirSync(scratch)).toEqual([]);
  });
});

test('a node has expired when its server says so, whatever the clock', async () => {
  const node = (key: string, at: number, ttl: number) => ({
    key,
    value: 'v',
    expiration: new Date(at).toISOString(),
    ...(ttl === 0 ? {} : { ttl }),
    modifiedIndex: 5,
    createdIndex: 5,
  });
  const now = Date.now();
  const nodes = [node('/a', now - 300, 1), node('/b', now - 300, -1), node('/c', now + 60_000, 0), node('/d', now - 300, 0)];
  await using server = await FakeHttp.start((_request, response) => {
    response.setHeader('X-Etcd-Index', '9').end(JSON.stringify({ action: 'get', node: { key: '/', dir: true, nodes } }));
  });
  const cluster = connectTo(server.endpoint);
  const source = await openLiveV2({ cluster }, run);
  expect(await nodesOf(source.records())).toHaveLength(4);
  expect(source.notes.list()).toMatchObject([{ code: 'expired-node', count: 2, examples: ['/b', '/d'], lossy: false }]);
  await source.close();
  await cluster.close();
});
