import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { TreeNode } from '../../src/model/node.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { openDataDirV2 } from '../../src/readers/data-dir-v2.js';
import { EtcdServer, etcdVersions } from '../support/etcd.js';
import { type ApiNode, apiLines, nodeLine, treeOf } from '../support/v2-tree.js';
import { numbers, randomV2Operation, v2 } from '../support/v2-workload.js';

const OPERATIONS = 400;

function open(path: string): Promise<Source> {
  return openDataDirV2(path, { location: path, selection: EVERYTHING }, quietRun());
}

async function sortedLines(source: Source): Promise<string[]> {
  return (await treeOf(source)).map(nodeLine).sort();
}

function percentEncoded(path: Buffer): string {
  return [...path].map((byte) => (byte === 0x2f ? '/' : `%${byte.toString(16).padStart(2, '0')}`)).join('');
}

/** Asks the server for every node found that no listing shows: the hidden ones, by name. */
async function hiddenLines(endpoint: string, nodes: readonly TreeNode[]): Promise<Map<string, string>> {
  const lines = new Map<string, string>();
  for (const { path } of nodes.filter((node) => node.path.toString('latin1').includes('/_'))) {
    const { body } = await v2(endpoint, 'GET', percentEncoded(path));
    if (body.node !== undefined) apiLines(body.node, lines);
  }
  return lines;
}

/** Lets a server do a random workload, stops it, and says what it last told of its tree, the hidden nodes too. */
async function workOn(server: EtcdServer, options: { anyNames: boolean }): Promise<{ index: bigint; truth: Map<string, string> }> {
  const below = numbers(Number(process.env.SEED ?? 42));
  for (let i = 0; i < OPERATIONS; i++) await randomV2Operation(server.endpoint, below, options);
  // Whatever was to expire soon is gone, and no more SYNC takes an index.
  await sleep(1700);
  // Acknowledged, with no entry after it: a read with quorum would be one.
  await v2(server.endpoint, 'PUT', '/last', 'value=last');
  const { body, index } = await v2(server.endpoint, 'GET', '/?recursive=true');
  return { index, truth: apiLines(body.node ?? {}) };
}

describe.each(etcdVersions())('the data dir of a killed etcd $version', (etcd) => {
  test('gives the tree that the server had, with hidden nodes, names and values that are not UTF-8', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--enable-v2'] });
    const { index, truth } = await workOn(server, { anyNames: true });
    expect(await open(server.dataDir).catch((error: unknown) => error)).toMatchObject({ code: 'usage' });
    const copy = `${server.dataDir}-copy`;
    cpSync(server.dataDir, copy, { recursive: true });
    const nodes = await treeOf(await open(copy));
    rmSync(copy, { recursive: true });
    for (const [path, line] of await hiddenLines(server.endpoint, nodes)) truth.set(path, line);
    await server.kill('SIGKILL');
    const source = await open(server.dataDir);
    expect(source.info.revision).toBe(index);
    expect(await sortedLines(source)).toEqual([...truth.values()].sort());
    expect(source.notes.lossy).toBe(false);
  });

  test('gives that tree from its .snap files, and says what they have lost', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--enable-v2', '--snapshot-count', '150'] });
    const { index, truth } = await workOn(server, { anyNames: false });
    await server.kill('SIGKILL');
    const source = await open(server.dataDir);
    const lines = await sortedLines(source);
    expect(source.info.revision).toBe(index);
    expect(lines.filter((line) => !line.includes('/_'))).toEqual([...truth.values()].sort());
    expect(source.notes.list().find(({ code }) => code === 'value-not-utf8')).toMatchObject({ lossy: true });

    const snaps = readdirSync(join(server.dataDir, 'member/snap')).filter((name) => name.endsWith('.snap'));
    expect(snaps.length).toBeGreaterThan(1);
    for (const name of snaps) rmSync(join(server.dataDir, 'member/snap', name));
    const fromWal = await open(server.dataDir);
    expect(await sortedLines(fromWal)).toEqual(lines);
    expect(fromWal.notes.lossy).toBe(false);
  });

  test('has everything acknowledged by a server killed with writes in flight', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--enable-v2', '--snapshot-count', '200'] });
    const acknowledged = new Map<string, string>();
    // Once this is answered there is a leader.
    await v2(server.endpoint, 'PUT', '/first', 'value=1');
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let i = 0; ; i++) {
        const answer = await v2(server.endpoint, 'POST', `/queue${writer}`, `value=${i}`).catch(() => undefined);
        const { key, value } = (answer?.body.node ?? {}) as ApiNode;
        if (key === undefined || value === undefined) return;
        acknowledged.set(key, value);
      }
    });
    setTimeout(() => server.kill('SIGKILL'), 700);
    await Promise.all(writers);
    const found = new Map((await treeOf(await open(server.dataDir))).map(({ path, value }) => [path.toString(), value.toString()]));
    expect(acknowledged.size).toBeGreaterThan(50);
    for (const [key, value] of acknowledged) expect(found.get(key)).toBe(value);
  });
});
