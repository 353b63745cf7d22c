import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectOneClearLine } from '../support/clear-line.js';
import { etcdferry, jsonOf } from '../support/cli.js';
import { revisionOf } from '../support/compare.js';
import { EtcdServer, etcdVersions, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { FakeHttp } from '../support/fake-http.js';
import { expectSame, keysOfServer, keysOfTree, treeOfServer } from '../support/migrated.js';
import { V2Client, writeEveryKind } from '../support/v2.js';

const VALUES = 3_000;
/** The order of bytes is another than the tree's wherever names go on with one of these. */
const name = (i: number): string => `/many/${['a', 'a-b', 'a.b', 'a0', 'b'][i % 5]}/${i}`;
const MEBIBYTE = 2 ** 20;

let source: EtcdServer;

beforeAll(async () => {
  source = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
  const client = new V2Client(source.endpoint);
  await writeEveryKind(client);
  await client.putMany(Array.from({ length: VALUES }, (_, i) => [name(i), `${i} ${'x'.repeat(700)}`]));
  for (let i = 0; i < 20; i++) await client.put(`/many/mortal/${i}`, 'has a lease', `&ttl=${900 + i}`);
});
afterAll(() => source.stop());

/** The source's answers, with something done when a mebibyte and a half of the tree has been passed on. */
function passingOn(then: (answer: Parameters<RequestListener>[1]) => Promise<void> | void): RequestListener {
  return async (request, answer) => {
    const real = await fetch(`${source.endpoint}${request.url}`);
    const body = Buffer.from(await real.arrayBuffer());
    answer.writeHead(real.status, Object.fromEntries(real.headers));
    if (body.length < 2 * MEBIBYTE) return void answer.end(body);
    answer.write(body.subarray(0, 1.5 * MEBIBYTE));
    await then(answer);
    answer.end(body.subarray(1.5 * MEBIBYTE));
  };
}

async function migratedKeys(target: EtcdServer): Promise<number> {
  return Number(/"Count" : (\d+)/.exec(await target.etcdctl('get', '', '--prefix', '--keys-only', '--limit=1', '-w', 'fields'))?.[1]);
}

/** Resolves when the target holds some of the keys. */
async function somethingWritten(target: EtcdServer): Promise<void> {
  while ((await migratedKeys(target)) === 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe.each(etcdVersions())('a v2 tree into an empty etcd $version', (etcd) => {
  test('is written while it is read: key by key with leases, and once only', async () => {
    await using target = await EtcdServer.start(etcd);
    let written = 0;
    await using slow = await FakeHttp.start(
      passingOn(async () => {
        await somethingWritten(target);
        written = await migratedKeys(target);
      }),
    );
    const first = await etcdferry(['migrate', '--from', slow.endpoint, '--to', target.endpoint, '--json']);
    const expected = keysOfTree(await treeOfServer(source));
    expect(first.exit).toBe(3);
    expect(jsonOf(first)).toMatchObject({
      keys: expected.size,
      written: { records: expected.size, written: expected.size, equal: 0, leftOut: 0, leasesGranted: 24 },
    });
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(expected.size);
    expectSame(await keysOfServer(target), expected, 3);

    const revision = await revisionOf(target);
    const second = await etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, '--json']);
    expect(jsonOf(second)).toMatchObject({ keys: expected.size, written: { written: 0, equal: expected.size, leasesGranted: 0 } });
    expect(await revisionOf(target)).toBe(revision);
    const notes = (document: unknown): unknown => (document as { notes: unknown }).notes;
    expect(notes(jsonOf(first))).toEqual(notes(jsonOf(second)));
  });
});

describe('what happens meanwhile', () => {
  test.concurrent('an answer cut short is told of, with the part that was written; run again, it is finished', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await using cut = await FakeHttp.start(
      passingOn(async (answer) => {
        await somethingWritten(target);
        answer.destroy();
        await once(answer, 'close');
      }),
    );
    const failed = await etcdferry(['migrate', '--from', cut.endpoint, '--to', target.endpoint]);
    expect(failed.exit).toBe(10);
    expect(failed.stderr).toMatch(/127\.0\.0\.1:\d+.* cut before the answer was whole/);
    expect(failed.stderr).toContain('the cluster holds a part of what was to be written; the same command, run again, finishes it');
    const part = await migratedKeys(target);

    const again = await etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, '--json']);
    const expected = keysOfTree(await treeOfServer(source));
    expect(jsonOf(again)).toMatchObject({ written: { equal: part, written: expected.size - part } });
    expectSame(await keysOfServer(target), expected, 3);
  });

  test.concurrent('a key that appears in the target is in the way, and stays as it is', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const last = '/sorted/a.b';
    await using slow = await FakeHttp.start(
      passingOn(async () => {
        await somethingWritten(target);
        await target.etcdctl('put', last, 'mine');
      }),
    );
    const result = await etcdferry(['migrate', '--from', slow.endpoint, '--to', target.endpoint]);
    expect(result.exit).toBe(11);
    expect(result.stderr).toContain(`key "${last}" appeared in the target while it was being written`);
    expect(result.stderr).toContain('the cluster holds a part');
    expect(await target.etcdctl('get', last, '--print-value-only')).toBe('mine');
  });

  test.concurrent('an endpoint that fails before a mebibyte came is passed over', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await using bad = await FakeHttp.start((_, answer) => {
      answer.writeHead(200, { 'x-etcd-index': '4', 'content-length': 100 });
      answer.write('{"action":"get","node":{', () => answer.destroy());
    });
    const result = await etcdferry(['migrate', '--from', `${bad.endpoint},${source.endpoint}`, '--to', target.endpoint, '--json']);
    expect(result.exit).toBe(3);
    expect(await migratedKeys(target)).toBe(keysOfTree(await treeOfServer(source)).size);
  });

  test.concurrent('a key in the way from the start is told before anything is written', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    await target.etcdctl('put', '/sorted/a.b', 'mine');
    const result = await etcdferry(['migrate', '--from', source.endpoint, '--to', target.endpoint, '--quiet']);
    expectOneClearLine(result, 11, /1 key is in the target with another value.*nothing was written/);
    expect(await migratedKeys(target)).toBe(1);
  });
});
