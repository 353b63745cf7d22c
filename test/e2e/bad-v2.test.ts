import { mkdtempSync, readdirSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectOneClearLine } from '../support/clear-line.js';
import { etcdferry, jsonOf } from '../support/cli.js';
import { revisionOf } from '../support/compare.js';
import { EtcdServer, etcdVersions, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { FakeHttp } from '../support/fake-http.js';
import { treeOfServer } from '../support/migrated.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client, writeArticleTree } from '../support/v2.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

let target: EtcdServer;

beforeAll(async () => {
  target = await EtcdServer.start(newestEtcd());
});
afterAll(async () => {
  expect(await revisionOf(target)).toBe(1);
  await target.stop();
});

/** Reads a v2 tree in both ways that need one; neither may leave anything behind. */
async function expectRefused(from: readonly string[], exit: number, says: RegExp): Promise<void> {
  const own = mkdtempSync(at('refused-'));
  const [backup, migrate] = await Promise.all([
    etcdferry(['backup', '--api', 'v2', ...from, '--to', join(own, 'x.tar')]),
    etcdferry(['migrate', ...from, '--to', target.endpoint]),
  ]);
  expectOneClearLine(backup, exit, says);
  expectOneClearLine(migrate, exit, says);
  expect(readdirSync(own)).toEqual([]);
}

describe.each(etcdVersions())('etcd $version', (etcd) => {
  test.concurrent('that does not serve v2', async () => {
    await using server = await EtcdServer.start(etcd);
    await expectRefused(['--from', server.endpoint], 10, /127\.0\.0\.1:\d+ does not serve the v2 API.*\n.*--enable-v2/);
  });

  test.concurrent('that has no such path', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--enable-v2'] });
    await expectRefused(['--from', server.endpoint, '--include-hidden', '/nope'], 2, /Key not found \(\/nope\)/);
    await expectRefused(['--from', server.endpoint, '--include-hidden', 'nope'], 2, /"nope" is no path of a v2 tree/);
  });
});

const TREE = '{"action":"get","node":{"dir":true,"nodes":[{"key":"/foo","value":"bar","modifiedIndex":4,"createdIndex":4}]}}';
const HEADERS = { 'content-type': 'application/json', 'x-etcd-index': '4' };

describe('a server that', () => {
  const answers: readonly (readonly [name: string, answer: RequestListener, says: RegExp])[] = [
    [
      'redirects to itself',
      (request, answer) => void answer.writeHead(307, { location: request.url }).end(),
      /redirects more than \d+ times/,
    ],
    ['redirects to nowhere', (_, answer) => void answer.writeHead(307, { location: 'http://' }).end(), /redirects to what is no address/],
    [
      'cuts its answer short',
      (_, answer) => {
        answer.writeHead(200, { ...HEADERS, 'content-length': TREE.length });
        answer.write(TREE.slice(0, 40), () => answer.destroy());
      },
      /cut before the answer was whole/,
    ],
    [
      'cuts a chunked answer short',
      (_, answer) => {
        answer.writeHead(200, HEADERS);
        answer.write(TREE.slice(0, 40), () => answer.destroy());
      },
      /cut before the answer was whole/,
    ],
    ['ends its JSON in the middle', (_, answer) => void answer.writeHead(200, HEADERS).end(TREE.slice(0, 60)), /ends|cut/],
    ['says more than its JSON', (_, answer) => void answer.writeHead(200, HEADERS).end(`${TREE}{}`), /not the JSON of a v2 tree/],
    [
      'answers with HTML',
      (_, answer) => void answer.writeHead(200).end('<html>\n<b>It works!</b>\n</html>\n'),
      /not with the JSON.*<html>/,
    ],
    [
      'answers with HTML by an etcd',
      (_, answer) => void answer.writeHead(200, HEADERS).end('<html></html>'),
      /not the JSON of a v2 tree: "<"/,
    ],
    ['answers with other JSON', (_, answer) => void answer.writeHead(200, HEADERS).end('{"health":"true"}'), /JSON, but holds no v2 tree/],
    ['fails', (_, answer) => void answer.writeHead(503).end('no healthy upstream\n'), /HTTP 503: "no healthy upstream"/],
    ['says nothing at all', (_, answer) => void answer.destroy(), /cut before the answer was whole/],
  ];

  test.concurrent.each(answers)('%s', async (_, answer, says) => {
    await using server = await FakeHttp.start(answer);
    await expectRefused(['--from', server.endpoint], 10, says);
  });
});

describe('a tree whose TTLs run out while it is read', () => {
  test('is left out by name, never made permanent', async () => {
    await using source = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    await using copy = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    await using keys = await EtcdServer.start(newestEtcd());
    const client = new V2Client(source.endpoint);
    await writeArticleTree(client);
    await client.put('/short', 'soon gone', '&ttl=3');
    await client.write('PUT', '/brief', 'dir=true&ttl=3');
    await client.put('/brief/child', 'gone with its directory');
    await client.put('/long', 'stays', '&ttl=500');
    // As it was before they ran out, however late it is asked for.
    const tree = await fetch(`${source.endpoint}/v2/keys/?recursive=true&sorted=true`);
    const [headers, body] = [Object.fromEntries(tree.headers), await tree.text()];
    await using slow = await FakeHttp.start(async (request, answer) => {
      if (request.url?.includes('recursive=true') !== true) {
        const real = await fetch(`${source.endpoint}${request.url}`);
        answer.writeHead(real.status, Object.fromEntries(real.headers));
        return void answer.end(await real.text());
      }
      answer.writeHead(200, headers);
      answer.write(body.slice(0, body.length / 2));
      setTimeout(() => answer.end(body.slice(body.length / 2)), 4_000);
    });

    const [backup, migrate] = await Promise.all([
      etcdferry(['backup', '--api', 'v2', '--from', slow.endpoint, '--to', at('short.tar')]),
      etcdferry(['migrate', '--from', slow.endpoint, '--to', keys.endpoint, '--json']),
    ]);
    expect(migrate).toMatchObject({ exit: 3 });
    expect(jsonOf(migrate)).toMatchObject({ keys: 4, written: { written: 4, leasesGranted: 1 } });
    expect((jsonOf(migrate) as { notes: object[] }).notes).toContainEqual(
      expect.objectContaining({
        code: 'expired-node-dropped',
        count: 3,
        lossy: true,
        examples: ['"/brief"', '"/brief/child"', '"/short"'],
      }),
    );
    expect((await keys.etcdctl('get', '/', '--prefix', '--keys-only')).split('\n').filter(Boolean)).toEqual([
      '/bar/that',
      '/bar/this',
      '/foo',
      '/long',
    ]);

    // An archive keeps what was read, with the time at which it ends; who writes it looks at the clock.
    expect(backup).toMatchObject({ exit: 0, stderr: expect.stringMatching(/^backed up 8 nodes/m) });
    const restore = await etcdferry(['restore', '--from', at('short.tar'), '--to', copy.endpoint]);
    expect(restore).toMatchObject({
      exit: 3,
      stderr: expect.stringMatching(/LEFT OUT.*expired: 3 \("\/brief", "\/brief\/child", "\/short"\)/),
    });
    expect([...(await treeOfServer(copy)).keys()].sort()).toEqual(['/bar', '/bar/that', '/bar/this', '/foo', '/long']);
  });
});
