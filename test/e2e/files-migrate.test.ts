import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { etcdferry, jsonOf } from '../support/cli.js';
import { cleanEnvironment, type EtcdServer, etcdVersions, etcdWithV2 } from '../support/etcd.js';
import { restored } from '../support/restore-file.js';
import { parseRange } from '../support/snapshots.js';
import { temporaryDirectory } from '../support/temp.js';
import { fixtureTruth, UnpackedDataDir, V2_FIXTURES } from '../support/v2-data.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const NS_PER_SECOND = 1_000_000_000n;

interface Served {
  readonly value: string;
  readonly lease: bigint;
}

/** What a server serves: the value (base64) and lease of each key. */
async function served(server: EtcdServer): Promise<Map<string, Served>> {
  const { kvs } = parseRange(await server.etcdctl('get', '', '--from-key', '-w', 'json'));
  return new Map(kvs.map(({ key, value, lease }) => [key.toString(), { value: value.toString('base64'), lease }]));
}

/** What `etcdctl migrate` makes of a copy of the directory, served by an etcd of its version. */
async function migratedByEtcdctl(dataDir: string, copy: string): Promise<Map<string, Served>> {
  cpSync(dataDir, copy, { recursive: true });
  const etcd = etcdWithV2();
  const env = { ...cleanEnvironment(), ETCDCTL_API: '3' };
  execFileSync(join(etcd.dir, 'etcdctl'), ['migrate', '--data-dir', copy], { env, stdio: 'ignore' });
  await using server = await restored(etcd, join(copy, 'member/snap/db'), { skipHashCheck: true });
  return await served(server);
}

/** When a node goes, in nanoseconds since the Unix epoch: at its own expiration or that of a directory above it; 0n for never. */
function expirations(fixture: string): Map<string, bigint> {
  const own = new Map(
    [...fixtureTruth(fixture)].map(([path, line]) => [path, BigInt((JSON.parse(line) as string[])[5] as string)] as const),
  );
  const earliest = (path: string): bigint => {
    const above = path.slice(0, path.lastIndexOf('/'));
    const [mine, theirs] = [own.get(path) ?? 0n, above === '' ? 0n : earliest(above)];
    if (mine === 0n || theirs === 0n) return mine + theirs;
    return mine < theirs ? mine : theirs;
  };
  return new Map([...own.keys()].map((path) => [path, earliest(path)]));
}

describe.each(V2_FIXTURES)('the data dir of %s, migrated', (fixture) => {
  test('serves what etcdctl migrate would, hidden nodes too, with leases where TTLs were', async () => {
    using dir = new UnpackedDataDir(fixture);
    const name = (ending: string): string => at(`${fixture}.${ending}`);
    for (const ending of ['db', 'tar']) {
      // Status 3: a v3 keyspace has no empty directories, and that is told.
      const migrated = await etcdferry(['migrate', '--from', dir.path, '--to', name(ending), '--json']);
      expect(migrated, migrated.stderr).toMatchObject({ exit: 3 });
      const { notes } = jsonOf(migrated) as { notes: { code: string; lossy: boolean }[] };
      expect(notes.filter(({ lossy }) => lossy).map(({ code }) => code)).toEqual(['empty-directory']);
      expect(await etcdferry(['verify', name(ending)])).toMatchObject({ exit: 0 });
    }
    const theirs = await migratedByEtcdctl(dir.path, at(`${fixture}-copy`));
    const expires = expirations(fixture);
    for (const etcd of etcdVersions()) {
      await using server = await restored(etcd, name('db'));
      const ours = await served(server);
      const values = new Map([...ours].map(([key, { value }]) => [key, value]));
      for (const [key, { value, lease }] of theirs) {
        // Where the value is not UTF-8 the tool has what a .snap made of it, and ours the bytes of the WAL.
        expect(text(values.get(key)), key).toBe(text(value));
        expect(lease).toBe(0n);
        values.delete(key);
      }
      expect(theirs.size).toBeGreaterThan(600);
      expect(Buffer.from(ours.get('/raw')?.value ?? '', 'base64').toString('latin1')).toBe('\xff\xfe\0binary');
      expect([...values.keys()].filter((key) => !key.includes('/_'))).toEqual([]);
      expect(values.size).toBeGreaterThan(10);
      await expectLeases(server, ours, expires);
    }
    expect(await etcdferry(['ls', name('tar'), '--json']).then(keysListed)).toEqual(
      await etcdferry(['ls', name('db'), '--json']).then(keysListed),
    );
  });

  test('is read as it is, and left as it is', async () => {
    using dir = new UnpackedDataDir(fixture);
    const state = (): string => execFileSync('find', [dir.path, '-printf', '%p %i %s %m %T@ %C@\n']).toString();
    const before = state();
    expect(await etcdferry(['backup', '--from', dir.path, '--to', at(`${fixture}-tree.tar`)])).toMatchObject({ exit: 0 });
    const verified = await etcdferry(['verify', dir.path, at(`${fixture}-tree.tar`)]);
    expect(verified.stdout.toString()).toMatch(/whole data dir \(v2\), 1,\d+ nodes at index/);
    expect(verified.exit).toBe(0);
    expect(state()).toBe(before);
    const listed = await etcdferry(['ls', at(`${fixture}-tree.tar`), '--json']);
    const paths = new Set(keysListed(listed));
    for (const path of fixtureTruth(fixture).keys()) expect(paths.has(path), path).toBe(true);
    expect(readFileSync(at(`${fixture}-tree.tar`)).length).toBeGreaterThan(10_000);
  });
});

/** Keys that the server told of have a lease where they, or a directory above them, had a TTL; and the time that was left. */
async function expectLeases(server: EtcdServer, ours: Map<string, Served>, expires: Map<string, bigint>): Promise<void> {
  const now = BigInt(Date.now()) * 1_000_000n;
  const left = new Map<bigint, bigint>();
  for (const [key, { lease }] of ours) {
    const expiration = expires.get(key);
    if (expiration === undefined) continue;
    expect(lease !== 0n, key).toBe(expiration !== 0n);
    if (lease !== 0n) left.set(lease, (expiration - now) / NS_PER_SECOND);
  }
  expect(left.size).toBeGreaterThan(10);
  for (const [lease, seconds] of [...left].slice(0, 10)) {
    const told = await server.etcdctl('lease', 'timetolive', lease.toString(16));
    const remaining = BigInt(/remaining\((\d+)s\)/.exec(told)?.[1] ?? 0);
    expect(Math.abs(Number(remaining - seconds)), told).toBeLessThan(60);
  }
}

function text(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString();
}

function keysListed({ stdout }: { readonly stdout: Buffer }): string[] {
  return stdout
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>)
    .flatMap(({ key, keyBase64, path, pathBase64 }) => key ?? keyBase64 ?? path ?? pathBase64 ?? []);
}
