import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import type { ObjectStore } from '../../src/storage/object-store.js';
import { openS3Store } from '../../src/storage/s3-store.js';
import { FakeHttp } from '../support/fake-http.js';
import { s3Environment } from '../support/s3-server.js';

const before = { ...process.env };
beforeAll(() => void Object.assign(process.env, s3Environment()));
afterAll(() => {
  process.env = before;
});

const SIZE = 1_000_000;
const PIECE = Buffer.alloc(1 << 20, 0x20);
/** What a stand-in does in the place of an answer. */
type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers HEAD for an object of a megabyte, and everything else as it is told to. */
function bucket(answer: Answer) {
  return FakeHttp.start((request, response) => {
    request.resume();
    if (request.method !== 'HEAD') return answer(request, response);
    response.writeHead(200, { etag: '"x"', 'content-length': SIZE }).end();
  });
}

const openAt = (endpoint: string, signal?: AbortSignal): Promise<ObjectStore> =>
  openS3Store({ bucket: 'bucket', key: 'prefix', text: 's3://bucket/prefix' }, { endpoint }, signal);

/** Every way in which a store reads from its server. */
const READS: readonly (readonly [string, (store: ObjectStore) => Promise<unknown>])[] = [
  ['a listing', (store) => store.list('')],
  ['a listing of uploads', (store) => store.unfinished()],
  ['a small object', (store) => store.get('a')],
  ['the edge of an object', async (store) => (await store.open('a')).read(0, 10)],
  ['the middle of an object', async (store) => (await store.open('a')).read(500_000, 10)],
];

describe('an answer that has no end', () => {
  const outcomes: readonly (readonly [string, Answer])[] = [
    ['of 200', (_, response) => endless(response.writeHead(200, { etag: '"x"', 'content-type': 'application/xml' }))],
    ['of 206', (_, response) => endless(response.writeHead(206, { etag: '"x"', 'content-range': 'bytes 0-9/1000000' }))],
    ['of an error', (_, response) => endless(response.writeHead(404, { 'content-type': 'application/xml' }))],
  ];
  for (const [kind, answer] of outcomes) {
    test.each(READS)(`${kind} is cut off, and told as the server’s: %s`, async (_, read) => {
      sent = 0;
      await using server = await bucket(answer);
      const store = await openAt(server.endpoint);
      const failure: unknown = await read(store).catch((thrown) => thrown);
      expect(failure).toBeInstanceOf(FerryError);
      expect((failure as FerryError).message).toMatch(/s3:\/\/bucket.*server.*sends more than the \d+ bytes/);
      // What lies in sockets' buffers comes on top of what was taken.
      expect(sent).toBeLessThan(64 << 20);
      await store.close();
    });
  }
});

let sent = 0;

function endless(response: ServerResponse): void {
  const more = (): void => {
    while (!response.destroyed) {
      sent += PIECE.length;
      if (!response.write(PIECE)) return void response.once('drain', more);
    }
  };
  more();
}

describe('a listing that has no end', () => {
  const page = (contents: string, token: string): string =>
    `<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>${contents}</ListBucketResult>`;

  test('is given up when it has more objects than a repository can have', async () => {
    let pages = 0;
    const keys = Array.from({ length: 60_000 }, (_, i) => `<Contents><Key>prefix/${i}</Key><Size>1</Size></Contents>`).join('');
    await using server = await bucket((_, response) => void response.end(page(keys, String(++pages))));
    await expect((await openAt(server.endpoint)).list('')).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringMatching(/100000 objects/),
    });
    expect(pages).toBe(2);
  });
});

test('keys that a server lists beside those asked for are passed over', async () => {
  const contents = ['other/a', 'prefix/a', 'prefi', 'prefix/', 'prefixed'].map(
    (key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`,
  );
  const uploads = ['other/a', 'prefix/a'].map((key) => `<Upload><Key>${key}</Key><UploadId>1</UploadId></Upload>`);
  await using server = await bucket(({ url = '' }, response) => {
    const [name, rows] = url.includes('uploads') ? ['ListMultipartUploadsResult', uploads] : ['ListBucketResult', contents];
    response.end(`<?xml version="1.0"?><${name}><IsTruncated>false</IsTruncated>${rows.join('')}</${name}>`);
  });
  const store = await openAt(server.endpoint);
  expect((await store.list('')).map(({ name }) => name)).toEqual(['a']);
  expect((await store.unfinished()).map(({ name }) => name)).toEqual(['a']);
});

describe('a signal ends the wait for a server that', () => {
  const STOPS: Answer = (_, response) => void response.writeHead(200, { etag: '"x"', 'content-length': SIZE }).write('<?xml');
  const stalls: readonly (readonly [string, Answer])[] = [
    ['says nothing', () => {}],
    ['stops in the middle of an answer', STOPS],
    ['cannot serve now, and is asked again', (_, response) => void response.writeHead(503).end()],
  ];
  const WRITES: typeof READS = [
    ['writing a small object', (store) => store.put('a', Buffer.from('x'))],
    ['removing', (store) => store.delete('a')],
    ['writing', async (store) => upload(store)],
  ];
  for (const [kind, stall] of stalls) {
    test.each([...READS, ...WRITES])(`${kind}: %s`, async (_, act) => {
      const stop = new AbortController();
      const reason = new FerryError('terminated', 'terminated');
      let asked = 0;
      // A new object's name is looked for first: it is free.
      await using server = await FakeHttp.start((request, response) => {
        request.resume();
        if (request.method === 'HEAD')
          return void response.writeHead(request.url?.endsWith('new') === true ? 404 : 200, { 'content-length': SIZE, etag: '"x"' }).end();
        asked++;
        stall(request, response);
        // In the middle of the answer, where there is one.
        setTimeout(() => stop.abort(reason), 20);
      });
      const store = await openAt(server.endpoint, stop.signal);
      expect(await act(store).catch((thrown) => failureOf(thrown))).toBe(reason);
      // Who was stopped in the middle of an answer does not ask again.
      if (stall === STOPS && READS.some(([, read]) => read === act)) expect(asked).toBe(1);
      await store.close();
    });
  }

  test('answers again: what is left is cleared up', async () => {
    const stop = new AbortController();
    const deleted: string[] = [];
    await using server = await bucket(({ method, url = '' }, response) => {
      if (method !== 'DELETE') return stop.abort(new FerryError('terminated', 'terminated'));
      deleted.push(url);
      response.writeHead(204).end();
    });
    const store = await openAt(server.endpoint, stop.signal);
    await expect(store.get('a')).rejects.toMatchObject({ code: 'terminated' });
    await store.delete('lock');
    expect(deleted).toEqual([expect.stringMatching(/^\/bucket\/prefix\/lock/)]);
    await store.close();
  });

  test('does not answer any more, when there is something to be cleared up', async () => {
    const stop = new AbortController();
    await using server = await bucket(() => stop.abort(new FerryError('terminated', 'terminated')));
    const store = await openAt(server.endpoint, stop.signal);
    await expect(store.get('a')).rejects.toMatchObject({ code: 'terminated' });
    await expect(store.delete('lock')).rejects.toBeInstanceOf(Error);
    await store.close();
  });

  async function upload(store: ObjectStore): Promise<void> {
    const sink = await store.create('new');
    try {
      for (let i = 0; i < 60; i++) await sink.write(Buffer.alloc(1 << 20));
      await sink.finish();
    } catch (thrown) {
      await sink.abort();
      throw thrown;
    }
  }

  /** What was thrown, or what it was made of. */
  function failureOf(thrown: unknown): unknown {
    return thrown instanceof FerryError && thrown.code !== 'terminated' ? thrown.cause : thrown;
  }
});
