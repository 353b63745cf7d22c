import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { showKey } from '../../src/convert/key-text.js';
import type { AuthData } from '../../src/model/auth.js';
import { recordAt } from '../../src/model/batch.js';
import type { Note } from '../../src/model/note.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING } from '../../src/model/source.js';
import { openDataDirV3 } from '../../src/readers/data-dir-v3.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { EtcdServer, etcdVersions } from '../support/etcd.js';
import { LAZY, restarted } from '../support/tail.js';
import { jwtFlags, TailWorkload } from '../support/tail-workload.js';
import { numbers } from '../support/v2-workload.js';
import { base64, keyspaceOf, keyValueLine, v3 } from '../support/v3-workload.js';

/** `TAIL_SEED` chooses the first seed, `TAIL_MINUTES` how long each version is tried in a soak, `TAIL_ETCD=regex` some of the versions. */
const SEED = Number(process.env.TAIL_SEED ?? 1);
const MINUTES = process.env.SOAK === undefined ? 0 : Number(process.env.TAIL_MINUTES ?? 5);
const STEPS = 120;
const VERSIONS = etcdVersions().filter(({ version }) => new RegExp(process.env.TAIL_ETCD ?? '').test(version));
/** What a reading that equals etcd's may tell: that this etcd itself judged otherwise before it was killed. */
const HARMLESS = ['auth-revision-outdated', 'txn-refused-when-asked', 'password-not-replayed', 'auth-changes-missing'];

/** All that a tail comes to, in lines. */
interface State {
  readonly revision: bigint;
  readonly lines: readonly string[];
  readonly leases: readonly string[];
  readonly auth: readonly string[];
}

async function readDataDir(path: string, etcdVersion?: string): Promise<State & { readonly notes: readonly Note[] }> {
  const options = { location: path, selection: EVERYTHING, tmpDir: tmpdir(), ...(etcdVersion === undefined ? {} : { etcdVersion }) };
  const source = await openDataDirV3(path, options, quietRun());
  const [lines, leases]: [string[], string[]] = [[], []];
  for await (const batch of source.leases()) for (const { id, grantedTtl } of batch) leases.push(`${id} ${grantedTtl}`);
  for await (const batch of source.records()) {
    for (let i = 0; i < batch.count; i++) lines.push(keyValueLine(decodeKeyValue(recordAt(batch, i))));
  }
  const auth = authLines(await source.auth());
  await source.close();
  return { revision: source.info.revision ?? 0n, lines, leases: leases.sort(), auth, notes: source.notes.list() };
}

function authLines(auth: AuthData | undefined): string[] {
  const permission = (type: string, key: Buffer, end: Buffer): string => `${type} ${key.toString('base64')} ${end.toString('base64')}`;
  return [
    `enabled ${auth?.enabled === true}`,
    ...(auth?.users ?? []).map(({ name, roles }) => `user ${name}: ${roles.join(' ')}`),
    ...(auth?.roles ?? []).map(
      ({ name, permissions }) => `role ${name}: ${permissions.map((p) => permission(p.type, p.key, p.rangeEnd)).join(', ')}`,
    ),
  ];
}

/** What etcd makes of the files, started again. */
async function stateOf({ endpoint }: EtcdServer): Promise<State> {
  const { token } = (await v3(endpoint, 'auth/authenticate', { name: 'root', password: 'root' })) as { token?: string };
  const { alarms = [] } = (await v3(endpoint, 'maintenance/alarm', {}, token)) as { alarms?: Record<string, unknown>[] };
  // Under CORRUPT nothing can be read.
  for (const alarm of alarms) await v3(endpoint, 'maintenance/alarm', { ...alarm, action: 'DEACTIVATE' }, token);
  const { revision, lines, leases } = await keyspaceOf(endpoint, token);
  const used = new Set(lines.map((line) => (JSON.parse(line) as string[])[5]));
  return { revision, lines, leases: leases.filter((lease) => used.has(lease.split(' ')[0])), auth: await authOf(endpoint, token) };
}

async function authOf(endpoint: string, token: string | undefined): Promise<string[]> {
  const call = (method: string, body: Record<string, unknown>): Promise<Record<string, unknown>> =>
    v3(endpoint, `auth/${method}`, body, token);
  const { users = [] } = (await call('user/list', {})) as { users?: string[] };
  const { roles = [] } = (await call('role/list', {})) as { roles?: string[] };
  const lines = [`enabled ${token !== undefined}`];
  for (const name of users)
    lines.push(`user ${name}: ${((await call('user/get', { name })) as { roles?: string[] }).roles?.join(' ') ?? ''}`);
  for (const role of roles) {
    const { perm = [] } = (await call('role/get', { role })) as { perm?: { permType?: string; key?: string; range_end?: string }[] };
    const shown = perm.map(({ permType = 'READ', key = '', range_end = '' }) => `${permType.toLowerCase()} ${key} ${range_end}`);
    // From 3.6 on etcd shows a permission of root that is stored nowhere.
    lines.push(`role ${role}: ${shown.filter((line) => role !== 'root' || line !== 'readwrite  AA==').join(', ')}`);
  }
  return lines;
}

/** Keys whose lines are in one of both alone. */
function differingKeys(a: readonly string[], b: readonly string[]): string[] {
  const lines = new Set([...a.filter((line) => !b.includes(line)), ...b.filter((line) => !a.includes(line))]);
  return [...new Set([...lines].map((line) => showKey(Buffer.from((JSON.parse(line) as string[])[0] ?? '', 'base64'))))];
}

/** @returns the lossy notes of the reading that does not know the release */
async function round(etcd: (typeof VERSIONS)[number], seed: number): Promise<string[]> {
  const below = numbers(seed);
  const dir = mkdtempSync(join(tmpdir(), 'etcdferry-tail-'));
  try {
    const args = [...LAZY, '--bcrypt-cost', '4', ...(below(3) === 0 ? jwtFlags(dir) : [])];
    await using server = await EtcdServer.start(etcd, { args });
    const workload = new TailWorkload(server.endpoint, below);
    await workload.begin();
    // What makes etcd write its database meanwhile is undone: all that follows is in the WAL alone.
    const db = join(server.dataDir, 'member/snap/db');
    const before = readFileSync(db);
    for (let i = 0; i < STEPS; i++) await workload.step();
    await server.kill('SIGKILL');
    writeFileSync(db, before);

    const truth = await restarted(server, args.slice(LAZY.length), stateOf);
    const { notes, ...known } = await readDataDir(server.dataDir, etcd.version);
    expect({ seed, ...known }).toEqual({ seed, ...truth });
    expect(notes.filter(({ code, lossy }) => lossy && !HARMLESS.includes(code))).toEqual([]);

    const { notes: doubts, ...unknown } = await readDataDir(server.dataDir);
    const named = doubts.find(({ code }) => code === 'depends-on-patch-release')?.examples.join(', ');
    for (const key of differingKeys(unknown.lines, truth.lines)) expect([seed, named]).toEqual([seed, expect.stringContaining(key)]);
    if (named === undefined) expect({ seed, ...unknown }).toEqual({ seed, ...truth });
    return doubts.filter(({ lossy }) => lossy).map(({ code }) => code);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

type Call = readonly [method: string, body: Record<string, unknown>];

const DELETE_FROM_A = { request_delete_range: { key: base64('a'), range_end: base64('\0') } };
/** What etcd dies of, and again at each start; by the versions that do. */
const KILLERS: readonly { readonly minors: RegExp; readonly call: Call; readonly named: RegExp }[] = [
  {
    minors: /^3\.[4567]$/,
    call: [
      'kv/txn',
      { success: [{ request_txn: { success: [DELETE_FROM_A] } }, { request_put: { key: base64('a'), ignore_lease: true } }] },
    ],
    named: /^entry \d+: txn of "a", "a"$/,
  },
  {
    minors: /^3\.[45]$/,
    call: ['kv/txn', { success: [{ request_txn: { success: [{ request_range: { key: base64('a'), sort_target: 99 } }] } }] }],
    named: /^entry \d+: txn$/,
  },
  { minors: /^3\.5$/, call: ['maintenance/alarm', { action: 'ACTIVATE', memberID: '1', alarm: 99 }], named: /^entry \d+: alarm$/ },
  // Not all of 3.4 do.
  { minors: /^3\.4$/, call: ['auth/role/grant', { name: 'r' }], named: /^whether etcd dies of entry \d+$/ },
];

describe.each(VERSIONS)('the tail of the WAL of a killed etcd $version', (etcd) => {
  test('ends before an entry that kills etcd, which is named', async () => {
    for (const { call, named } of KILLERS.filter(({ minors }) => minors.test(etcd.minor))) {
      await using server = await EtcdServer.start(etcd, { args: LAZY });
      for (const key of ['a', 'b']) await v3(server.endpoint, 'kv/put', { key: base64(key), value: base64(key) });
      await v3(server.endpoint, 'auth/role/add', { name: 'r' });
      const { lines, revision } = await keyspaceOf(server.endpoint);
      const dead = new Promise((resolve) => server.process.once('exit', resolve));
      await v3(server.endpoint, ...call).catch(() => undefined);
      await dead;
      // It does not come back from it either.
      await expect(restarted(server, [], async () => {})).rejects.toThrow(/ended/);

      const { notes, ...read } = await readDataDir(server.dataDir);
      expect(read).toMatchObject({ lines, revision });
      expect(notes.find(({ code }) => /^(wal-entry-kills-etcd|depends-on-patch-release)$/.test(code))).toMatchObject({
        lossy: true,
        examples: [expect.stringMatching(named)],
      });
    }
  });

  test('comes to what the same etcd makes of it, and what hangs on the release is named', { timeout: (MINUTES + 2) * 60_000 }, async () => {
    const end = Date.now() + MINUTES * 60_000;
    const counts = new Map<string, number>();
    let rounds = 0;
    for (let seed = SEED; rounds === 0 || Date.now() < end; seed++, rounds++) {
      for (const code of new Set(await round(etcd, seed))) counts.set(code, (counts.get(code) ?? 0) + 1);
    }
    console.log(`WAL tails, etcd ${etcd.version}: ${rounds} rounds from seed ${SEED}; with ${JSON.stringify([...counts])}`);
  });
});
