import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { etcdferryInside } from '../support/cli.js';
import { cleanEnvironment, EtcdServer, etcdWithV2 } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (...path: string[]): string => join(directory, ...path);
const exec = promisify(execFile);

/** All that read a location, none of which may write anything. */
const READERS: Readonly<Record<string, (from: string) => string[]>> = {
  verify: (from) => ['verify', from],
  inspect: (from) => ['inspect', from],
  ls: (from) => ['ls', from],
  get: (from) => ['get', from, '/a'],
  diff: (from) => ['diff', from, from],
  backup: (from) => ['backup', '--from', from, '--to', at('none.tar')],
  restore: (from) => ['restore', '--from', from, '--to', at('none.db')],
  migrate: (from) => ['migrate', '--from', from, '--to', at('none.db')],
};

/** What a command said, on whichever stream; a verify says on stdout what is wrong with a location. */
async function run(command: readonly string[]): Promise<{ exit: number | null; said: string }> {
  const { exit, stdout, stderr } = await etcdferryInside(command);
  return { exit, said: stdout.toString() + stderr };
}

describe('a directory that is read, and is neither a data dir nor a repository', () => {
  const make = (name: string, ...files: string[]): string => {
    for (const file of files) {
      mkdirSync(at(name, file, '..'), { recursive: true });
      writeFileSync(at(name, file), 'x');
    }
    return at(name);
  };
  const SHAPES = [
    { name: 'of-0.4', files: ['conf', 'log', 'snapshot/snapshot_4_100.ss'], exit: 13, says: /a data dir of etcd 0\.4, known are 2\.0/ },
    { name: 'of-0.4-young', files: ['conf', 'log'], exit: 13, says: /a data dir of etcd 0\.4/ },
    { name: 'parent', files: ['default.etcd/member/snap/db'], exit: 2, says: /has a data dir, .*parent\/default\.etcd, in it/ },
    { name: 'parent-of-two', files: ['m1/member/snap/db', 'm2/snap/db', 'm2/wal/x'], exit: 2, says: /data dirs \(.*m1, .*m2\)/ },
    { name: 'proxy', files: ['proxy/cluster'], exit: 2, says: /of an etcd v2 proxy, which holds no keys/ },
    { name: 'snap', files: ['db'], exit: 2, says: /a part of a data dir/ },
    { name: 'wal', files: ['0000000000000000-0000000000000000.wal'], exit: 2, says: /a part of a data dir/ },
    { name: 'empty', files: [], exit: 2, says: /holds no archives/ },
    { name: 'other', files: ['notes.txt', 'sub/x'], exit: 2, says: /holds no archives/ },
  ];
  /** All for two of them; for the others those that open a location in ways of their own. */
  const commandsFor = (name: string): string[] =>
    name === 'of-0.4' || name === 'parent' ? Object.keys(READERS) : ['verify', 'inspect', 'restore'];
  for (const { name, files } of SHAPES) {
    mkdirSync(at(name), { recursive: true });
    make(name, ...files);
  }

  test.each(SHAPES.flatMap((shape) => commandsFor(shape.name).map((command) => ({ ...shape, command }))))(
    '($name) is told for what it is by $command, exit $exit',
    async ({ name, command, exit, says }) => {
      const result = await run((READERS[command] as (from: string) => string[])(at(name)));
      expect(result, result.said).toMatchObject({ exit });
      expect(result.said).toMatch(says);
      expect([existsSync(at('none.tar')), existsSync(at('none.db'))]).toEqual([false, false]);
    },
  );

  test('is told so before the flags that mean nothing to it', async () => {
    expect((await run(['backup', '--api', 'v2', '--from', at('of-0.4'), '--to', at('none.tar')])).said).toMatch(/etcd 0\.4/);
  });

  test('and a repository stays one, whatever lies beside its archives', async () => {
    const repository = make('backups', 'default.etcd/member/snap/db', 'proxy/x', 'conf', 'log');
    mkdirSync(at('backups/sub'));
    await using server = await EtcdServer.start(etcdWithV2());
    await server.etcdctl('put', '/a', '1');
    expect((await run(['backup', '--from', server.endpoint, '--to', repository])).exit).toBe(0);
    expect(await run(['ls', repository])).toMatchObject({ exit: 0, said: expect.stringContaining('/a') });
    expect((await run(['verify', repository])).exit).toBe(0);
  });
});

describe('a data dir', () => {
  const etcd = etcdWithV2();
  const V2_KEYS = ['/app/k1', '/app/k2'];
  const V3_KEYS = ['/v3/a', '/v3/b'];

  async function stopped(name: string, fill: (server: EtcdServer) => Promise<void>): Promise<void> {
    mkdirSync(at(name));
    const server = await EtcdServer.start(etcd, { args: ['--enable-v2', '--backend-batch-limit', '1'], dataDir: at(name) });
    await fill(server);
    await server.stop();
  }
  const putV2 = async (server: EtcdServer): Promise<void> => {
    for (const key of V2_KEYS) await server.etcdctl2('set', key, 'x');
  };
  const putV3 = async (server: EtcdServer): Promise<void> => {
    for (const key of V3_KEYS) await server.etcdctl('put', key, 'x');
  };

  beforeAll(async () => {
    await stopped('v2', putV2);
    await stopped('v3', putV3);
    await stopped('both', async (server) => {
      await putV2(server);
      await putV3(server);
    });
    await stopped('none', async () => {});
    for (const [name, flags] of [
      ['etcdctl-backup', []],
      ['etcdctl-backup-with-v3', ['--with-v3']],
    ] as const) {
      const args = ['backup', '--data-dir', at('both'), '--backup-dir', at(name), ...flags];
      await exec(join(etcd.dir, 'etcdctl'), args, { env: { ...cleanEnvironment(), ETCDCTL_API: '2' } });
    }
    cpSync(at('v2'), at('v2-broken-db'), { recursive: true });
    writeFileSync(at('v2-broken-db/member/snap/db'), 'no database');
  });

  /** What is read with no `--api`, with v2 and with v3: v2 or v3, or how it ends instead. */
  const TABLE: Readonly<Record<string, readonly [none: string, v2: string, v3: string]>> = {
    v2: ['v2', 'v2', 'all its keys are v2'],
    v3: ['v3', 'all its keys are v3', 'v3'],
    both: ['both a v2 tree and v3 keys', 'v2', 'v3'],
    none: ['nothing', 'nothing', 'nothing'],
    'etcdctl-backup': ['v2', 'v2', 'all its keys are v2'],
    'etcdctl-backup-with-v3': ['both a v2 tree and v3 keys', 'v2', 'v3'],
    'v2-broken-db': ['DAMAGED --api v2', 'v2', 'DAMAGED not a bbolt file'],
  };
  const rows = Object.entries(TABLE).flatMap(([name, cells]) =>
    cells.map((expected, i) => ({ name, api: ['', 'v2', 'v3'][i] as string, expected })),
  );

  test.each(rows)('($name) asked for "$api" gives: $expected', async ({ name, api, expected }) => {
    const flags = api === '' ? [] : ['--api', api];
    const listed = await run(['ls', at(name), ...flags]);
    const target = at(`${name}-${api}.tar`);
    const backup = await run(['backup', '--from', at(name), '--to', target, ...flags]);
    if (expected === 'v2' || expected === 'v3') {
      for (const key of expected === 'v2' ? V2_KEYS : V3_KEYS) expect(listed.said).toContain(key);
      for (const key of expected === 'v2' ? V3_KEYS : V2_KEYS) expect(listed.said).not.toContain(key);
      expect([listed.exit, backup.exit], backup.said).toEqual([0, 0]);
      return;
    }
    if (expected === 'nothing') {
      expect(listed.said).not.toMatch(/\/app\/|\/v3\//);
      expect(listed.exit).toBe(0);
      return;
    }
    const exit = expected.startsWith('DAMAGED') ? 12 : 2;
    for (const result of [listed, backup]) {
      expect(result, result.said).toMatchObject({ exit });
      expect(result.said).toContain(expected.replace('DAMAGED ', ''));
    }
    expect(existsSync(target)).toBe(false);
  });

  test.each(Object.keys(TABLE))('(%s) is verified in every store that holds keys', async (name) => {
    const [none = ''] = TABLE[name] ?? [];
    const { exit, said } = await run(['verify', at(name)]);
    const damaged = none.startsWith('DAMAGED');
    expect(exit, said).toBe(damaged ? 12 : 0);
    if (damaged) return;
    const apis = none.startsWith('both') ? ['v2', 'v3'] : [none === 'nothing' ? 'v3' : none];
    expect([...said.matchAll(/whole data dir \((v.)\)/g)].map(([, api]) => api)).toEqual(apis);
  });

  test.each([
    { name: 'v3', exit: 2, says: /all its keys are v3[\s\S]*backup and restore carry v3 keys/ },
    { name: 'v2', exit: 0, says: /proven: read back/ },
    { name: 'both', exit: 0, says: /proven: read back/ },
    { name: 'etcdctl-backup', exit: 0, says: /proven: read back/ },
  ])('($name) is migrated, or told to hold v3 keys, and nothing is proven of no keys', async ({ name, exit, says }) => {
    const target = at(`migrated-${name}.db`);
    const result = await run(['migrate', '--from', at(name), '--to', target]);
    expect(result, result.said).toMatchObject({ exit });
    expect(result.said).toMatch(says);
    if (exit !== 0) expect(result.said).not.toMatch(/proven/);
    expect(existsSync(target)).toBe(exit === 0);
    expect(readdirSync(directory).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });

  test('without any key migrates to nothing, and nothing is called proven', async () => {
    const { said } = await run(['migrate', '--from', at('none'), '--to', at('migrated-none.db')]);
    expect(said).not.toMatch(/proven/);
  });
});
