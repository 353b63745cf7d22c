import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { MigrateOptions } from '../../src/jobs/migrate.js';
import { proveTree } from '../../src/jobs/migrate-back-proof.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING } from '../../src/model/source.js';
import { EtcdServer, etcdWithV2 } from '../support/etcd.js';
import { dir, file, inSeconds, type MadeNode, treeOf } from '../support/tree.js';
import { V2Client } from '../support/v2.js';

describe('what a live v2 cluster holds after a migration back', () => {
  let server: EtcdServer;
  let client: V2Client;

  beforeAll(async () => {
    server = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    client = new V2Client(server.endpoint);
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await client.send('DELETE', '/keys/t?recursive=true');
  });

  const prove = async (nodes: MadeNode[], skipped = 0) => {
    const endpoints = [server.endpoint];
    const options: MigrateOptions = {
      from: { location: { kind: 'stdio' }, connection: {}, selection: EVERYTHING, tmpDir: '/tmp', stdin: [] as never } as never,
      to: { live: { endpoints, connection: {} } },
      write: { tmpDir: '/tmp' },
      compress: 'gzip',
      toolVersion: '0',
    };
    const proof = await proveTree(treeOf(...nodes), options, skipped, quietRun());
    const { differences, revision, ...counts } = proof as NonNullable<typeof proof>;
    expect(revision).toBeGreaterThan(0n);
    return { ...counts, differences: differences.map(({ key, what }) => `${key} ${what}`) };
  };

  test('is proven where every node is there with its value and its end', async () => {
    await client.put('/t/a', '1');
    await client.put('/t/d/b', '2', '&ttl=100');
    await client.put('/t/theirs', 'x');
    const nodes = [dir('/t'), file('/t/a', '1'), dir('/t/d'), file('/t/d/b', '2', inSeconds(98)), file('/t/gone', '3', inSeconds(-1))];
    expect(await prove(nodes)).toMatchObject({ keys: 5, equal: 4, expired: 1, skipped: 0, differing: 0, differences: [] });
  });

  test('differs where a node is missing, holds something else, or ends at another time', async () => {
    await client.put('/t/changed', 'theirs');
    await client.put('/t/ends', '1', '&ttl=100');
    await client.put('/t/stays', '1');
    await client.put('/t/sooner/x', '1');
    await client.put('/t/file', '1');
    const nodes = [
      dir('/t'),
      file('/t/changed', 'ours'),
      file('/t/ends', '1', inSeconds(60)),
      dir('/t/file'),
      file('/t/file/below', '1'),
      file('/t/missing'),
      file('/t/stays', '1', inSeconds(60)),
    ];
    expect(await prove(nodes)).toMatchObject({
      keys: 7,
      equal: 1,
      differing: 6,
      differences: ['/t/changed value', '/t/ends lease', '/t/file value', '/t/file/below missing', '/t/missing missing', '/t/stays lease'],
    });
    expect(await prove(nodes, 6)).toMatchObject({ equal: 1, skipped: 6, differing: 0, differences: [] });
  });

  test('differs where a directory that is not ours takes nodes away before their time', async () => {
    await client.write('PUT', '/t', 'dir=true&ttl=50');
    await client.put('/t/x', '1');
    expect(await prove([file('/t/x', '1')])).toMatchObject({ keys: 1, equal: 0, differing: 1, differences: ['/t/x lease'] });
  });
});
