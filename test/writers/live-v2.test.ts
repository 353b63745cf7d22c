import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { V2Cluster } from '../../src/cluster/v2.js';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import type { TreeNode } from '../../src/model/node.js';
import { quietRun } from '../../src/model/run.js';
import type { Source } from '../../src/model/source.js';
import { openLiveV2 } from '../../src/readers/live-v2.js';
import { type RestoreV2Options, restoreLiveV2 } from '../../src/writers/live-v2.js';
import { EtcdServer, etcdVersions, etcdWithV2 } from '../support/etcd.js';
import { dir, file, inSeconds, treeOf } from '../support/tree.js';
import { connectTo, failure, nodesOf, V2Client, writeArticleTree, writeEveryKind } from '../support/v2.js';

const run = quietRun();
const HIDDEN = ['/app/_hidden', '/app/_hidden/_more', '/_top'];
const SECOND = 1_000_000_000n;

describe.each(etcdVersions().filter(({ minor }) => minor <= '3.5'))('into etcd $version', (etcd) => {
  let source: EtcdServer;
  let target: EtcdServer;
  let from: V2Cluster;
  let to: V2Cluster;

  beforeAll(async () => {
    source = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    target = await EtcdServer.start(etcd, { args: ['--enable-v2'] });
    [from, to] = [connectTo(source.endpoint), connectTo(target.endpoint)];
    await writeArticleTree(new V2Client(source.endpoint));
    await writeEveryKind(new V2Client(source.endpoint));
  });
  afterAll(async () => {
    await Promise.all([from.close(), to.close()]);
    await Promise.all([source.stop(), target.stop()]);
  });

  const index = async (): Promise<bigint> => to.readTree(Buffer.alloc(0), async (answer) => answer.index);

  test('a whole tree arrives node by node, and a second run writes nothing', async () => {
    const tree = await openLiveV2({ cluster: from, includeHidden: HIDDEN }, run);
    const before = await index();
    const planned = await restoreLiveV2(tree, to, { dryRun: true }, run);
    expect(await index()).toBe(before);
    const report = await restoreLiveV2(tree, to, {}, run);
    expect({ ...report, dryRun: true }).toEqual(planned);
    expect(report).toMatchObject({ written: tree.info.estimatedRecords, records: tree.info.estimatedRecords, equal: 0, notes: [] });

    const copy = await openLiveV2({ cluster: to, includeHidden: HIDDEN }, run);
    const [was, is] = [await nodesOf(tree.records()), await nodesOf(copy.records())];
    const bare = (nodes: TreeNode[]) =>
      nodes.map(({ path, dir: isDir, value }) => ({ path: path.toString(), isDir, value: value.toString() }));
    expect(bare(is)).toEqual(bare(was));
    was.forEach((node, i) => {
      const drift = node.expiration - (is[i] as TreeNode).expiration;
      expect(drift <= SECOND && drift >= -SECOND, `${node.path}: ${drift} ns`).toBe(true);
    });

    const after = await index();
    expect(await restoreLiveV2(tree, to, {}, run)).toMatchObject({ written: 0, overwritten: 0, equal: was.length });
    expect(await index()).toBe(after);
    await Promise.all([tree.close(), copy.close()]);
  });

  describe('by hand', () => {
    let client: V2Client;
    const restore = (tree: Source, options: RestoreV2Options = {}) => restoreLiveV2(tree, to, options, run);
    const value = async (path: string) => (await to.get(Buffer.from(path)))?.value.toString();

    /** The paths there are now. */
    const paths = async (path = '') => {
      const now = await openLiveV2({ cluster: to, path }, run);
      const nodes = await nodesOf(now.records());
      await now.close();
      return nodes.map((node) => node.path.toString());
    };

    beforeEach(async () => {
      client = new V2Client(target.endpoint);
      await client.send('DELETE', '/keys/t?recursive=true');
    });

    test('conflicts are found before the first write, and then follow the rule', async () => {
      await client.put('/t/b', 'theirs');
      const tree = () => treeOf(dir('/t'), file('/t/a', 'ours'), file('/t/b', 'ours'), file('/t/c', 'ours', inSeconds(100)));
      const error = await failure(restore(tree()));
      expect(error).toMatchObject({
        code: 'in-the-way',
        message: expect.stringContaining('1 nodes are in the target, but not the same: "/t/b"'),
      });
      expect(await value('/t/a')).toBeUndefined();

      expect(await restore(tree(), { onConflict: 'skip' })).toMatchObject({ written: 2, skipped: 1, equal: 1 });
      expect(await value('/t/b')).toBe('theirs');
      expect(await restore(tree(), { onConflict: 'overwrite' })).toMatchObject({ written: 0, overwritten: 1, equal: 3 });
      expect(await value('/t/b')).toBe('ours');
      expect(await restore(tree())).toMatchObject({ written: 0, overwritten: 0, equal: 4 });
    });

    test('another TTL is a conflict; a permanent value gets one and loses it again', async () => {
      const expiration = inSeconds(100);
      await restore(treeOf(file('/t/x')));
      expect((await failure(restore(treeOf(file('/t/x', 'v', expiration))))).code).toBe('in-the-way');
      expect(await restore(treeOf(file('/t/x', 'v', expiration)), { onConflict: 'overwrite' })).toMatchObject({ overwritten: 1 });
      expect((await to.get(Buffer.from('/t/x')))?.expiration).toBeGreaterThan(0n);
      expect(await restore(treeOf(file('/t/x')), { onConflict: 'overwrite' })).toMatchObject({ overwritten: 1 });
      expect((await to.get(Buffer.from('/t/x')))?.expiration).toBe(0n);
    });

    test("a directory's TTL is changed where etcd can, and said where it cannot", async () => {
      await restore(treeOf(dir('/t'), dir('/t/d'), file('/t/d/x')));
      const report = await restore(treeOf(dir('/t'), dir('/t/d', inSeconds(100)), file('/t/d/y')), { onConflict: 'overwrite' });
      expect(report).toMatchObject({ overwritten: 1, written: 1 });
      const { expiration } = (await to.get(Buffer.from('/t/d'))) as TreeNode;
      expect(report.notes.map(({ code }) => code)).toEqual(expiration === 0n ? ['directory-ttl-kept'] : []);
      expect(expiration > 0n).toBe(etcd.minor === '3.4');
    });

    test('a value and a directory take the place of each other only when nothing else is lost', async () => {
      await client.put('/t/file', 'v');
      await client.write('PUT', '/t/empty', 'dir=true');
      await client.put('/t/full/x', 'v');
      const swapped = () => treeOf(file('/t/empty'), dir('/t/file'), file('/t/file/below'));
      expect((await failure(restore(swapped()))).message).toContain('3 nodes');
      expect(await restore(swapped(), { onConflict: 'skip' })).toMatchObject({ skipped: 3, written: 0 });
      expect(await restore(swapped(), { onConflict: 'overwrite' })).toMatchObject({ overwritten: 2, written: 1 });
      expect(await value('/t/file/below')).toBe('v');
      const error = await failure(restore(treeOf(file('/t/full')), { onConflict: 'overwrite' }));
      expect(error).toMatchObject({ code: 'in-the-way', message: expect.stringContaining('"/t/full"') });
      expect(await failure(restore(treeOf(file('/t/full/x/y')), { onConflict: 'overwrite' }))).toMatchObject({ code: 'in-the-way' });
    });

    test('of a part the directory above is left alone, and its TTL reaches what lies under it', async () => {
      const [early, late] = [inSeconds(100), inSeconds(200)];
      const nodes = [dir('/t', late), dir('/t/d', early), dir('/t/d/e'), file('/t/d/e/x'), file('/t/d/y'), file('/t/z')];
      const prefixes = (text: string) => ({ selection: { prefixes: [Buffer.from(text)], excludePrefixes: [] } });
      const left = async (path: string) => {
        const { expiration } = (await to.get(Buffer.from(path))) as TreeNode;
        return expiration === 0n ? 0 : Math.round(Number(expiration - inSeconds(0)) / 1e9 / 50) * 50;
      };
      await client.put('/t/other', 'v');
      expect(await restore(treeOf(...nodes), prefixes('/t/d/'))).toMatchObject({ written: 3, notes: [] });
      expect(await Promise.all(['/t', '/t/d', '/t/d/e', '/t/d/e/x', '/t/d/y'].map(left))).toEqual([0, 0, 100, 0, 100]);
      expect(await value('/t/z')).toBeUndefined();
      expect(await restore(treeOf(...nodes), prefixes('/t/d/'))).toMatchObject({ written: 0, equal: 3 });
      // In a full copy the same nodes end with the directory itself.
      await client.send('DELETE', '/keys/t?recursive=true');
      await restore(treeOf(...nodes));
      expect(await restore(treeOf(...nodes), prefixes('/t/d/'))).toMatchObject({ written: 0, equal: 3, notes: [] });
    });

    test('what is put into a directory that keeps another TTL is given the one it had', async () => {
      await client.put('/t/d/old', 'v');
      const nodes = () => treeOf(dir('/t'), dir('/t/d', inSeconds(100)), dir('/t/d/e'), file('/t/d/e/x'), file('/t/d/y'));
      expect(await restore(nodes(), { onConflict: 'skip' })).toMatchObject({ written: 3, skipped: 1 });
      expect((await to.get(Buffer.from('/t/d')))?.expiration).toBe(0n);
      for (const path of ['/t/d/e', '/t/d/y']) expect((await to.get(Buffer.from(path)))?.expiration).toBeGreaterThan(0n);
      expect(await value('/t/d/old')).toBe('v');
    });

    test('what is put below a directory of one that keeps another TTL is given the one it had, where both are there', async () => {
      await client.put('/t/d/e/old', 'v');
      const nodes = () => treeOf(dir('/t'), dir('/t/d', inSeconds(100)), dir('/t/d/e'), file('/t/d/e/x'));
      expect(await restore(nodes(), { onConflict: 'skip' })).toMatchObject({ written: 1, skipped: 2 });
      expect((await to.get(Buffer.from('/t/d/e')))?.expiration).toBe(0n);
      expect((await to.get(Buffer.from('/t/d/e/x')))?.expiration).toBeGreaterThan(0n);
    });

    test('what ends early with a directory of the target that was not chosen is named', async () => {
      await client.write('PUT', '/t', 'dir=true&ttl=50');
      const nodes = () => treeOf(dir('/t'), file('/t/x'), file('/t/y', 'v', inSeconds(20)));
      const report = await restore(nodes(), { selection: { prefixes: [Buffer.from('/t/')], excludePrefixes: [] } });
      expect(report.notes).toMatchObject([{ code: 'ends-with-target-directory', examples: ['"/t/x"'], lossy: true }]);
    });

    test('what is written into a directory that is about to end never outlives it', async () => {
      const end = inSeconds(3);
      await restore(treeOf(dir('/t'), dir('/t/d', end), file('/t/d/x')));
      expect((await to.get(Buffer.from('/t/d/x')))?.expiration).toBeGreaterThan(0n);
    });

    test('what is expired is left out, with all under it, and named', async () => {
      const tree = treeOf(dir('/t'), dir('/t/old', inSeconds(-5)), file('/t/old/x'), file('/t/old-x', 'v', inSeconds(-1)), file('/t/z'));
      const report = await restore(tree);
      expect(report).toMatchObject({ written: 2, leftOut: 3 });
      expect(report.notes).toMatchObject([
        { code: 'expired-node-dropped', count: 3, lossy: true, examples: ['"/t/old"', '"/t/old/x"', '"/t/old-x"'] },
      ]);
      expect(await paths('/t')).toEqual(['/t', '/t/z']);
    });

    test('what expires between comparing and writing is left out too', async () => {
      let calls = 0;
      const now = () => Date.now() + (calls++ === 0 ? 0 : 60_000);
      const report = await restore(treeOf(dir('/t'), dir('/t/d', inSeconds(30)), file('/t/d/x'), file('/t/y')), { now });
      expect(report).toMatchObject({ written: 2, leftOut: 2, notes: [{ code: 'expired-node-dropped', count: 2 }] });
      expect(await to.get(Buffer.from('/t/d'))).toBeUndefined();
    });

    test('paths that no v2 tree can hold are left out and named', async () => {
      const report = await restore(treeOf(file('/t//x'), file('/t/../up'), file('/t/a'), file('/t/a/b')));
      expect(report).toMatchObject({ written: 1, leftOut: 3 });
      expect(report.notes.map(({ code, count }) => [code, count])).toEqual([
        ['path-not-v2', 2],
        ['path-under-value', 1],
      ]);
    });

    test('bytes that are not UTF-8 are stored as they are, and found equal', async () => {
      const raw = Buffer.from([0xff, 0x00, 0xe2, 0x82, 0x41, 0xc3, 0xa9, 0xf0, 0x9f, 0x98]);
      expect(await restore(treeOf(file('/t/raw', raw), file('/t/text', '\ufffd')))).toMatchObject({ written: 2 });
      expect(await restore(treeOf(file('/t/raw', raw), file('/t/text', '\ufffd')))).toMatchObject({ equal: 2, written: 0 });
      const printed = await target.run('etcdctl', ['--endpoints', target.endpoint, 'get', '/t/raw'], { ETCDCTL_API: '2' });
      expect(printed).not.toContain('\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd');
      expect((await failure(restore(treeOf(file('/t/raw', Buffer.from([0xfe])))))).code).toBe('in-the-way');
    });

    test('a large tree of TTL directories comes whole with many requests in flight', async () => {
      const nodes = [dir('/t')];
      for (let d = 100; d < 150; d++) {
        nodes.push(dir(`/t/${d}`, d % 2 === 0 ? inSeconds(500) : 0n));
        for (let f = 100; f < 110; f++) nodes.push(file(`/t/${d}/${f}`, `${f}`));
      }
      expect(await restore(treeOf(...nodes), { inFlight: 16 })).toMatchObject({ written: nodes.length });
      expect(await restore(treeOf(...nodes))).toMatchObject({ equal: nodes.length, written: 0 });
    });

    test('paths are mapped and selected', async () => {
      const tree = () => treeOf(dir('/a'), file('/a/x'), dir('/b'), file('/b/y'), file('/c'));
      const options = { mapping: parseKeyMapping({ addPrefix: '/t' }), selection: { prefixes: [Buffer.from('/a')], excludePrefixes: [] } };
      expect(await restore(tree(), options)).toMatchObject({ records: 2, written: 2 });
      expect(await value('/t/a/x')).toBe('v');
      expect(await value('/t/b/y')).toBeUndefined();
    });

    test('a mapping may change the order, join directories, and take nodes out of one with a TTL', async () => {
      const tree = () =>
        treeOf(
          dir('/t'),
          dir('/t/a'),
          file('/t/a/x'),
          dir('/t/b'),
          file('/t/b/y'),
          dir('/t/m', inSeconds(300)),
          file('/t/m/n'),
          file('/t/m/o'),
        );
      const options = { mapping: parseKeyMapping({ map: ['/t/a=/t/z/sub', '/t/b=/t/z', '/t/m/n=/t/c'] }) };
      expect(await restore(tree(), options)).toMatchObject({ written: 8, notes: [] });
      expect(await paths('/t')).toEqual(['/t', '/t/c', '/t/m', '/t/m/o', '/t/z', '/t/z/sub', '/t/z/sub/x', '/t/z/y']);
      const [moved, stayed] = [await to.get(Buffer.from('/t/c')), await to.get(Buffer.from('/t/m/o'))];
      expect(Math.abs(Number(((moved?.expiration as bigint) - inSeconds(300)) / SECOND))).toBeLessThan(5);
      expect(stayed?.expiration).toBe(0n);
      const joined = { mapping: parseKeyMapping({ map: ['/t/a=/t/q', '/t/b=/t/q', '/t/m=/t/q/m'] }) };
      expect(await restore(tree(), joined)).toMatchObject({ written: 6, equal: 1 });
      const clash = { mapping: parseKeyMapping({ map: ['/t/a/x=/t/b/y'] }) };
      expect(await failure(restore(tree(), clash))).toMatchObject({ code: 'usage', hint: expect.stringContaining('mapping') });
    });

    test('a node that changes between comparing and writing is not overwritten', async () => {
      await client.put('/t/x', 'theirs');
      const changing: V2Cluster = {
        ...to,
        put: async (path, what, signal) => {
          await client.put('/t/x', 'newer');
          return to.put(path, what, signal);
        },
      };
      const error = await failure(restoreLiveV2(treeOf(file('/t/x', 'ours')), changing, { onConflict: 'overwrite' }, run));
      expect(error).toMatchObject({ code: 'in-the-way', message: expect.stringContaining('"/t/x" was changed in the target meanwhile') });
      expect(await value('/t/x')).toBe('newer');
    });

    test('a write whose answer was lost, and is tried again, is no conflict', async () => {
      const twice: V2Cluster = {
        ...to,
        put: async (path, what, signal) => {
          await to.put(path, what, signal);
          return to.put(path, what, signal);
        },
      };
      expect(await restoreLiveV2(treeOf(dir('/t'), file('/t/x'), dir('/t/y', inSeconds(50))), twice, {}, run)).toMatchObject({
        written: 3,
      });
    });

    test('stops when it is told to', async () => {
      const stop = new AbortController();
      const slow: V2Cluster = {
        ...to,
        put: async (path, what, signal) => {
          stop.abort(new Error('enough'));
          return to.put(path, what, signal);
        },
      };
      const nodes = Array.from({ length: 200 }, (_, i) => file(`/t/${1000 + i}`));
      await expect(restoreLiveV2(treeOf(...nodes), slow, { inFlight: 4 }, quietRun(stop.signal))).rejects.toThrow('enough');
      expect((await paths()).filter((path) => path.startsWith('/t/')).length).toBeLessThan(10);
    });
  });
});

test('only trees are taken', async () => {
  const tree = treeOf();
  const cluster = connectTo('http://127.0.0.1:1');
  const v3 = { ...tree, info: { ...tree.info, api: 'v3', order: 'key' } } as const;
  expect((await failure(restoreLiveV2(v3, cluster, {}, run))).code).toBe('usage');
  await cluster.close();
});
