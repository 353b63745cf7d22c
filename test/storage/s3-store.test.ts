import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { quietRun } from '../../src/model/run.js';
import type { ObjectStore } from '../../src/storage/object-store.js';
import { Repository } from '../../src/storage/repository.js';
import { openS3Store } from '../../src/storage/s3-store.js';
import { freePort } from '../support/etcd.js';
import { impostor } from '../support/impostor.js';
import { S3Server, s3Environment } from '../support/s3-server.js';
import { testsOfStore } from './store-contract.js';

const before = { ...process.env };
let prefixes = 0;

let server: S3Server;

beforeAll(async () => {
  Object.assign(process.env, s3Environment());
  server = await S3Server.start();
});
afterAll(async () => {
  process.env = before;
  await server[Symbol.asyncDispose]();
});

/** Closed when the tests have ended. */
const opened: ObjectStore[] = [];
afterAll(() => Promise.all(opened.map((store) => store.close())));

async function storeAt(endpoint: string, bucket = 'bucket'): Promise<ObjectStore> {
  const key = `some/prefix ${++prefixes}`;
  const store = await openS3Store({ bucket, key, text: `s3://${bucket}/${key}` }, { endpoint });
  opened.push(store);
  return store;
}

describe('a bucket as a store', () => {
  testsOfStore(
    () => storeAt(server.endpoint),
    (store, names) => server.fill(store.name.slice('s3://'.length), names),
  );

  test('an archive is read back and compared, from several parts', async () => {
    const repository = new Repository(await storeAt(server.endpoint));
    const bytes = randomBytes(20_000_000);
    const archive = await repository.create({ name: 'etcd', time: 0, revision: 1n, encrypted: false }, quietRun());
    for (let at = 0; at < bytes.length; at += 300_000) await archive.write(bytes.subarray(at, at + 300_000));
    await archive.finish();
    expect(archive.stored).toEqual({ size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  });

  test('a server that dies half-way ends the upload, and leaves what the next run clears away', async () => {
    const store = await storeAt(server.endpoint);
    const sink = await store.create('a');
    await sink.write(randomBytes(9_000_000));
    await expect.poll(() => server.unfinishedParts().length).toBeGreaterThan(0);
    await server.kill();
    const written = (async () => {
      for (let i = 0; i < 100; i++) await sink.write(randomBytes(1_000_000));
      await sink.finish();
    })();
    await expect(written).rejects.toMatchObject({ code: 'unreachable' });
    await sink.abort();
    await server.restart();
    expect(await store.list('')).toEqual([]);
    const [left, ...others] = await store.unfinished();
    expect(left?.name).toBe('a');
    expect(others).toEqual([]);
    await left?.clear();
    expect(server.unfinishedParts()).toEqual([]);
  });
});

test('where a server has no conditional writes, a look beforehand stands in for them', async () => {
  const store = await storeAt(server.endpoint, 'unconditional');
  for (const size of [10, 9_000_000]) {
    const sink = await store.create(`a${size}`);
    await sink.write(Buffer.alloc(size));
    await sink.finish();
    await expect(store.create(`a${size}`)).rejects.toMatchObject({ code: 'in-the-way' });
  }
  expect(await store.list('')).toHaveLength(2);
});

test('where a server cannot list unfinished uploads, none are known', async () => {
  const store = await storeAt(server.endpoint, 'plain');
  expect(await store.unfinished()).toEqual([]);
});

test('a server whose certificate is none is told nothing, whatever the environment says', async () => {
  using server = await impostor();
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  try {
    const store = await storeAt(server.url);
    await expect(store.list('')).rejects.toMatchObject({ code: 'unreachable', message: expect.stringMatching(/certificate/) });
    expect(server.asked()).toBe(0);
  } finally {
    vi.unstubAllEnvs();
  }
});

describe('what goes wrong is told by its code', () => {
  test.each([
    ['listing', (store: ObjectStore) => store.list('')],
    ['a small object', (store: ObjectStore) => store.get('a')],
    ['writing a small object', (store: ObjectStore) => store.put('a', Buffer.from('x'))],
    ['opening', (store: ObjectStore) => store.open('a')],
    ['creating', (store: ObjectStore) => store.create('a').then((sink) => sink.finish())],
  ])('%s', async (_, act) => {
    const missing = await storeAt(server.endpoint, 'missing');
    await expect(act(missing)).rejects.toMatchObject({ code: 'unreachable', message: expect.stringMatching(/no such bucket/) });
    const nobody = await storeAt(`http://127.0.0.1:${await freePort()}`);
    await expect(act(nobody)).rejects.toMatchObject({ code: 'unreachable', message: expect.stringMatching(/ECONNREFUSED/) });
    process.env.AWS_ACCESS_KEY_ID = 'REFUSED';
    const refused = await storeAt(server.endpoint);
    await expect(act(refused)).rejects.toMatchObject({ code: 'unauthorized', message: expect.stringMatching(/refuses the credentials/) });
    delete process.env.AWS_ACCESS_KEY_ID;
    const without = await storeAt(server.endpoint);
    await expect(act(without)).rejects.toMatchObject({ code: 'unauthorized', message: expect.stringMatching(/no credentials/) });
    process.env.AWS_ACCESS_KEY_ID = 'S3RVER';
  });
});
