import { describe, expect, test } from 'vitest';
import type { SnapshotStream } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { FerryError } from '../../src/errors.js';
import type { Note } from '../../src/model/note.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING } from '../../src/model/source.js';
import { openLiveV3 } from '../../src/readers/live-v3.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { type Answers, EtcdStandIn, Refusal } from '../support/etcd-stand-in.js';

const STATUS = { version: '3.5.16', dbSize: 4096, leader: 2 };
/** What one blob of bytes is as a SnapshotResponse. */
const BLOB = Buffer.from([0x1a, 0x03, 1, 2, 3]);
const ALARM_OF_ANOTHER = { ...STATUS, errors: ['memberID:77 alarm:CORRUPT '] };

/** Members that any snapshot may be of, but not one that is up to date. */
const DOUBTFUL: readonly (readonly [name: string, answers: Answers, said: string])[] = [
  ['has no leader', { Status: { ...STATUS, leader: 0, errors: ['etcdserver: no leader'] } }, 'has no leader'],
  ['is a learner', { Status: { ...STATUS, isLearner: true } }, 'is a learner'],
  ['has the alarm CORRUPT', { Status: { ...STATUS, errors: ['memberID:2 alarm:CORRUPT '] } }, 'has the alarm CORRUPT'],
  ['has it as newer protobuf prints it', { Status: { ...STATUS, errors: ['memberID:2  alarm:CORRUPT'] } }, 'has the alarm CORRUPT'],
  [
    'is in a cluster with it, where nothing is read',
    { Status: ALARM_OF_ANOTHER, Range: new Refusal(15, 'etcdserver: corrupt cluster') },
    'does not answer a read that the members agree on (the cluster says that it is corrupt (alarm CORRUPT))',
  ],
  [
    'does not reach the others',
    { Status: STATUS, Range: new Refusal(14, 'etcdserver: request timed out') },
    'does not answer a read that the members agree on (request timed out)',
  ],
];

async function open(members: readonly EtcdStandIn[], allowStale: boolean): Promise<SnapshotStream & AsyncDisposable> {
  const cluster = await connectV3(
    clusterOptions(
      members.map(({ endpoint }) => endpoint),
      { commandTimeout: 1000, allowStale },
    ),
  );
  try {
    return Object.assign(await cluster.snapshot(), { [Symbol.asyncDispose]: () => cluster.close() });
  } catch (thrown) {
    await cluster.close();
    throw thrown;
  }
}

async function bytesOf(blobs: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const blob of blobs) bytes += blob.length;
  return bytes;
}

const start = (answers: Answers = {}, is = {}): Promise<EtcdStandIn> =>
  EtcdStandIn.start({ members: [2, 3], ...is }, answers, (stream) => {
    stream.write(BLOB);
    stream.end();
  });

describe.each(DOUBTFUL)('a member that %s', (_, answers, said) => {
  test('gives no snapshot', async () => {
    await using member = await start(answers);
    const error = await failure(open([member], false));
    expect([error.code, error.exit]).toEqual(['not-up-to-date', 10]);
    const isAlarm = said === 'has the alarm CORRUPT';
    const alarm = `${member.endpoint}: the member ${said}: what it holds may be wrong`;
    expect(error.message).toBe(isAlarm ? alarm : `a snapshot could be older than its cluster: ${member.endpoint} ${said}`);
    expect(error.hint).toContain('--allow-stale');
    expect(member.count('Snapshot')).toBe(0);
  });

  test('gives one to who takes what it has, with what speaks against it', async () => {
    await using member = await start(answers);
    await using snapshot = await open([member], true);
    expect(snapshot).toMatchObject({ doubt: said, atLeast: 0n, status: { memberId: 2n } });
    expect(await bytesOf(snapshot.blobs)).toBe(3);
  });

  test.each([[false], [true]])(
    'is passed over where another endpoint leads to one that is up to date (--allow-stale %s)',
    async (allowStale) => {
      await using member = await start(answers);
      await using sound = await start({}, { member: 3 });
      await using snapshot = await open([member, sound], allowStale);
      expect(snapshot).toMatchObject({ atLeast: 100n, status: { memberId: 3n } });
      expect(snapshot.doubt).toBeUndefined();
      await bytesOf(snapshot.blobs);
      expect([member.count('Snapshot'), sound.count('Snapshot')]).toEqual([0, 1]);
    },
  );
});

test("another member's alarm says nothing of one that answers", async () => {
  await using member = await start({ Status: ALARM_OF_ANOTHER });
  await using snapshot = await open([member], false);
  expect(snapshot.doubt).toBeUndefined();
});

test('a snapshot comes after a read that the members agree on, and between two looks at whose it is', async () => {
  await using member = await start();
  await using snapshot = await open([member], false);
  await bytesOf(snapshot.blobs);
  expect(member.calls.slice(-4)).toEqual(['Status', 'Range', 'Snapshot', 'Status']);
});

test.each([
  ['another cluster', { cluster: 8 }],
  ['a member of no list', { member: 4 }],
  ['a revision of the past', { revision: 99 }],
])('a snapshot after which %s answers is not believed', async (_, change) => {
  await using member = await start();
  await using snapshot = await open([member], false);
  Object.assign(member.is, change);
  expect((await failure(bytesOf(snapshot.blobs))).code).toBe('other-cluster');
});

describe('a stream that has no end', () => {
  test.each([
    ['of bytes', Buffer.concat([Buffer.from([0x1a, 0x80, 0x80, 0x40]), Buffer.alloc(1 << 20)])],
    ['of nothing', Buffer.alloc(0)],
  ])('%s ends beyond what the database has', async (_, blob) => {
    await using member = await EtcdStandIn.start({}, {}, (stream) => {
      const more = (): void => {
        while (!stream.cancelled && stream.write(blob));
        if (!stream.cancelled) stream.once('drain', more);
      };
      more();
    });
    await using snapshot = await open([member], false);
    expect(await failure(bytesOf(snapshot.blobs))).toMatchObject({
      code: 'damaged',
      message: expect.stringContaining('its database has 4096'),
    });
  });

  test('goes on as far as the database has grown meanwhile', async () => {
    const megabyte = Buffer.concat([Buffer.from([0x1a, 0x80, 0x80, 0x40]), Buffer.alloc(1 << 20)]);
    let dbSize = 4096;
    await using member = await EtcdStandIn.start({}, { Status: () => ({ ...STATUS, dbSize }) }, (stream) => {
      dbSize = 80 << 20;
      for (let i = 0; i < 80; i++) stream.write(megabyte);
      stream.end();
    });
    await using snapshot = await open([member], false);
    expect(await bytesOf(snapshot.blobs)).toBe(80 << 20);
  });
});

test.each([
  ['before its first byte', false],
  ['in the middle', true],
])('a stream that stalls %s is ended by the signal at once', async (_, first) => {
  await using member = await EtcdStandIn.start({}, {}, (stream) => {
    if (first) stream.write(BLOB);
  });
  const stop = new AbortController();
  const cluster = await connectV3(clusterOptions(member.endpoint, { commandTimeout: 60_000 }), stop.signal);
  const reason = new FerryError('terminated', 'stop');
  const { blobs } = await cluster.snapshot();
  const taking = bytesOf(blobs);
  while (member.count('Snapshot') === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort(reason);
  await expect(taking).rejects.toBe(reason);
  await cluster.close();
});

describe('a member with the alarm CORRUPT, read by ranges', () => {
  const corrupt = { Status: { ...STATUS, errors: ['memberID:2 alarm:CORRUPT '] } };
  const read = async (members: readonly EtcdStandIn[], allowStale: boolean): Promise<Note[]> => {
    const endpoints = members.map(({ endpoint }) => endpoint);
    const cluster = await connectV3(clusterOptions(endpoints, { allowStale }));
    try {
      const source = await openLiveV3({ cluster, selection: EVERYTHING }, quietRun());
      for await (const _ of source.records());
      expect(source.info.lastingNotes ?? []).toEqual(source.notes.list());
      return source.notes.list();
    } finally {
      await cluster.close();
    }
  };

  test('is refused, also by an etcd that answers the reads', async () => {
    await using member = await start(corrupt);
    expect((await failure(read([member], false))).code).toBe('not-up-to-date');
    expect(member.count('Range')).toBe(0);
  });

  test('is passed over for one that is sound, and used only where asked for and there is no other', async () => {
    await using member = await start(corrupt);
    await using sound = await start({}, { member: 3 });
    expect(await read([member, sound], true)).toEqual([]);
    expect(member.count('Range')).toBe(0);
    sound.stop();
    expect(await read([member, sound], true)).toMatchObject([{ code: 'member-not-up-to-date', lossy: false }]);
    expect((await failure(read([member, sound], false))).exit).toBe(10);
  });

  test('is noticed also when the alarm comes while it is read', async () => {
    let answered = 0;
    await using member = await start({ Range: () => ({ count: ++answered }), Status: () => (answered > 0 ? corrupt.Status : STATUS) });
    expect((await failure(read([member], false))).code).toBe('not-up-to-date');
  });

  test("is not asked about where the user may not ask, and another member's alarm is none", async () => {
    await using silent = await start({ Status: new Refusal() });
    await using other = await start({ Status: ALARM_OF_ANOTHER });
    expect(await read([silent], false)).toEqual([]);
    expect(await read([other], false)).toEqual([]);
  });
});
