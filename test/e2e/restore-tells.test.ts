import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuthData } from '../../src/model/auth.js';
import { quietRun } from '../../src/model/run.js';
import { createFile } from '../../src/storage/file.js';
import { writeSnapshotFile } from '../../src/writers/snapshot-file.js';
import { etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { kv, sourceOf } from '../support/source.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const AUTH: AuthData = {
  enabled: true,
  users: [
    { name: 'root', roles: ['root'], passwordHash: Buffer.from('$2a$04$x') },
    { name: 'app', roles: ['app'], passwordHash: Buffer.from('$2a$04$y') },
  ],
  roles: [
    { name: 'app', permissions: [{ type: 'readwrite', key: Buffer.from('/app/'), rangeEnd: Buffer.from('/app0') }] },
    { name: 'root', permissions: [] },
  ],
};

interface Told {
  readonly target?: { readonly clusterId?: string; readonly version?: string; readonly keys?: number };
  readonly notes: readonly {
    readonly code: string;
    readonly count: number;
    readonly examples: readonly string[];
    readonly lossy: boolean;
  }[];
}

let server: EtcdServer;

beforeAll(async () => {
  server = await EtcdServer.start(newestEtcd());
  for (const [name, auth] of [
    ['auth.db', AUTH],
    ['plain.db', { enabled: false, users: [], roles: [] }],
  ] as const) {
    const records = [kv('/app/a', '1'), kv('/app/b', '2'), kv('/other', '3')];
    await writeSnapshotFile(
      sourceOf(records, { auth }),
      await createFile(at(name), { overwrite: false }),
      { tmpDir: directory, withAuth: true },
      quietRun(),
    );
  }
  for (const name of ['auth', 'plain']) {
    expect(await etcdferryInside(['backup', '--from', at(`${name}.db`), '--to', at(`${name}.tar`)])).toMatchObject({ exit: 0 });
  }
});
afterAll(() => server.stop());

async function restored(...args: readonly string[]): Promise<Told> {
  const result = await etcdferryInside(['restore', ...args, '--json']);
  expect(result.exit, result.stderr).toBe(0);
  return jsonOf(result) as Told;
}

describe.each(['auth.tar', 'auth.db'])('users and roles of %s', (from) => {
  const left = [
    { code: 'auth-left-out', count: 4, examples: ['user app', 'user root', 'role app', 'role root'], lossy: false },
    { code: 'auth-not-enabled', count: 1, lossy: false },
  ];

  test.each(['live', 'snapshot file'])('that are not written are told of (%s)', async (target) => {
    const to = target === 'live' ? server.endpoint : at(`of-${from}.db`);
    for (const dry of [['--dry-run'], []]) {
      expect((await restored('--from', at(from), '--to', to, ...dry)).notes).toMatchObject(left);
    }
  });

  test('that are written are not', async () => {
    const { notes } = await restored('--from', at(from), '--to', at(`with-${from}.db`), '--with-auth');
    expect(notes.filter(({ code }) => code.startsWith('auth'))).toEqual([]);
  });
});

test.each(['plain.tar', 'plain.db'])('of %s, which has no users, nothing is told', async (from) => {
  expect((await restored('--from', at(from), '--to', at(`of-${from}.db`))).notes).toEqual([]);
});

/** Stands before an etcd and answers plain HTTP itself, by a clock so many seconds ahead; gRPC is passed on. */
async function clockAhead(endpoint: string, seconds: number): Promise<Server> {
  const port = Number(new URL(endpoint).port);
  const front = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (first) => {
      if (first.subarray(0, 3).toString() === 'PRI') {
        const etcd = connect(port, '127.0.0.1');
        etcd.on('error', () => socket.destroy());
        etcd.write(first);
        socket.pipe(etcd).pipe(socket);
      } else {
        const date = new Date(Date.now() + seconds * 1000).toUTCString();
        socket.end(`HTTP/1.1 200 OK\r\nDate: ${date}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`);
      }
    });
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  return front;
}

test.each([
  [3600, [{ code: 'target-clock-apart', examples: ['3600 s ahead'], lossy: false }], 1400],
  [0, [], 5000],
])("deadlines are held to the target's clock, %i s ahead of this machine's", async (seconds, notes, ttl) => {
  await using own = await EtcdServer.start(newestEtcd());
  await writeSnapshotFile(
    sourceOf([kv('/leased', '1', 0x77n)], {
      leases: [{ id: 0x77n, grantedTtl: 5000n, remainingTtl: 5000n, seenAt: Date.now(), origin: 'lease' }],
    }),
    await createFile(at(`leased-${seconds}.db`), { overwrite: false }),
    { tmpDir: directory },
    quietRun(),
  );
  const front = await clockAhead(own.endpoint, seconds);
  const to = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  const told = await restored('--from', at(`leased-${seconds}.db`), '--to', to, '--lease-ttl', 'deadline');
  front.close();
  expect(told.notes).toMatchObject(notes);
  const left = Number(/remaining\((\d+)s\)/.exec(await own.etcdctl('lease', 'timetolive', '77'))?.[1]);
  expect(Math.abs(left - ttl)).toBeLessThan(30);
});

describe('the target as it was before', () => {
  test('is told by a dry run and by the run, counted at the names that keys get there', async () => {
    await using own = await EtcdServer.start(newestEtcd());
    const [, id = ''] = /"cluster_id":(\d+)/.exec(await own.etcdctl('endpoint', 'status', '-w', 'json')) ?? [];
    const clusterId = BigInt(id).toString(16);
    const { version } = own.etcd;
    for (const key of ['/copy/a', '/copy/z', '/app/x']) await own.etcdctl('put', key, '1');
    const copied = ['--from', at('plain.tar'), '--to', own.endpoint, '--prefix', '/app/', '--map', '/app/=/copy/', '--on-conflict', 'skip'];
    for (const [dry, keys] of [
      [['--dry-run'], 2],
      [[], 2],
      [['--dry-run'], 3],
    ] as const) {
      const { target } = await restored(...copied, ...dry);
      expect(target).toEqual({ clusterId, version, keys });
    }
    expect((await restored('--from', at('plain.tar'), '--to', own.endpoint, '--dry-run')).target).toMatchObject({ keys: 4 });
    const said = await etcdferryInside(['restore', '--from', at('plain.tar'), '--to', own.endpoint]);
    expect(said.stderr + said.stdout.toString()).toMatch(
      new RegExp(`\\(cluster ${clusterId}, etcd ${version}, with 4 keys there before\\)`),
    );
  });

  test('lacks what the user may not ask', async () => {
    await using own = await EtcdServer.start(newestEtcd());
    await own.etcdctl('user', 'add', 'app:secret');
    await own.etcdctl('role', 'add', 'app');
    await own.etcdctl('role', 'grant-permission', 'app', 'readwrite', '/app/', '/app0');
    await own.etcdctl('user', 'grant-role', 'app', 'app');
    await own.enableAuth('root');
    const login = ['--to', own.endpoint, '--user', 'app:secret', '--dry-run'];
    const all = await etcdferryInside(['restore', '--from', at('plain.tar'), ...login, '--json']);
    expect(all.exit).toBe(10);
    const { target } = await restored('--from', at('plain.tar'), '--prefix', '/app/', ...login);
    expect(target?.keys).toBe(0);
  });

  test('of a v2 tree is told too', async () => {
    await using own = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    await own.etcdctl2('set', '/app/a', '1');
    await own.etcdctl2('set', '/app/d/b', '2');
    await own.etcdctl2('set', '/else', '3');
    expect(await etcdferryInside(['backup', '--api', 'v2', '--from', own.endpoint, '--to', at('v2.tar')])).toMatchObject({ exit: 0 });
    await own.etcdctl2('set', '/app/c', '4');
    const { target } = await restored('--from', at('v2.tar'), '--to', own.endpoint, '--prefix', '/app');
    expect(target).toEqual({ clusterId: expect.stringMatching(/^[0-9a-f]{1,16}$/), version: own.etcd.version, keys: 3 });
  });
});

describe('flags that a target has no use for', () => {
  test.each([
    ['--bump-revision', ['--bump-revision', '1000', '--mark-compacted']],
    ['--bump-revision', ['--bump-revision', '1000']],
    ['--mark-compacted', ['--mark-compacted']],
    ['--overwrite', ['--overwrite']],
  ])('a live cluster is not written with %s', async (flag, args) => {
    const result = await etcdferryInside([
      'restore',
      '--from',
      at('plain.tar'),
      '--to',
      server.endpoint,
      '--add-prefix',
      '/refused',
      ...args,
    ]);
    expect(result).toMatchObject({ exit: 2, stderr: expect.stringContaining(`${flag} is for a snapshot file`) });
    expect(await server.etcdctl('get', '--prefix', '/refused')).toBe('');
  });
});

describe('roles of which the keys are renamed', () => {
  test.each(['auth.db', 'auth.tar'])('their permissions are told to be for the old names: %s', async (source) => {
    for (const to of [server.endpoint, at('renamed.db')]) {
      const { notes } = await restored('--from', at(source), '--to', to, '--with-auth', '--add-prefix', '/new', '--dry-run');
      expect(notes).toContainEqual(expect.objectContaining({ code: 'permissions-not-renamed', examples: ['role app'], lossy: false }));
    }
    const { notes } = await restored('--from', at(source), '--to', at('same.db'), '--with-auth', '--dry-run');
    expect(notes.map(({ code }) => code)).not.toContain('permissions-not-renamed');
  });
});
