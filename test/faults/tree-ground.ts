import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { revisionOf } from '../support/compare.js';
import { type EtcdBinaries, EtcdServer, etcdWithV2 } from '../support/etcd.js';
import { keysOfServer, keysOfTree, type MovedTree, treeOfServer } from '../support/migrated.js';
import { numbers, v2 } from '../support/v2-workload.js';
import { v3 } from '../support/v3-workload.js';
import { digestOf } from './live.js';
import { expectClear, Unexpected } from './outcome.js';
import { type FaultRun, faultRun } from './run.js';

/** Values in the tree, and bytes of each: more than the mebibyte from which on a migration writes while it reads. */
const FILES = 3_000;
const VALUE = 700;
/** Every tenth value expires, in one of so many seconds: long after every round. */
const SECONDS = 8;
const TTL = 30_000;
/** Seconds that an end may be off: a lease has whole seconds, and asking for it takes a moment. */
const APART = 4;
export const HIDDEN = ['/_hidden', '/d1/_kept'];
export const NAMED = HIDDEN.flatMap((path) => ['--include-hidden', path]);

/** What stands behind every case with a v2 tree. */
export interface TreeGround {
  readonly work: string;
  /** Of targets; the source is the newest that serves v2. */
  readonly etcd: EtcdBinaries;
  readonly source: EtcdServer;
  /** The tree as the source tells it by HTTP, with what is hidden. */
  readonly tree: MovedTree;
  /** A whole backup of the tree, with what is hidden. */
  readonly archive: string;
  readonly values: string;
}

/** A source with a tree in it, and a backup of it made in peace. */
export async function treeGround(work: string, etcd: EtcdBinaries): Promise<TreeGround> {
  const source = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < FILES; i = next++) await write(source, pathOf(i), `value=${noise(i)}${ttlOf(i)}`);
  };
  await Promise.all(Array.from({ length: 48 }, worker));
  await write(source, '/empty/inside', 'dir=true');
  await write(source, '/mortal', `dir=true&ttl=${TTL}`);
  for (let i = 0; i < 20; i++) await write(source, `/mortal/k${i}`, 'value=goes%20with%20its%20directory');
  const archive = join(work, `tree-${etcd.version}.tar`);
  const made = await faultRun(['backup', '--api', 'v2', '--from', source.endpoint, '--to', archive, '--json', ...NAMED]);
  if (made.exit !== 0) throw new Error(made.stderr);
  return { work, etcd, source, tree: await treeOfServer(source, HIDDEN), archive, values: digestOf(made) };
}

async function write(server: EtcdServer, path: string, form: string): Promise<void> {
  const { status } = await v2(server.endpoint, 'PUT', path, form);
  if (status > 299) throw new Error(`PUT ${path}: ${status}`);
}

/** Names for which the order of the tree is not the order of bytes; every thirtieth is hidden. */
function pathOf(i: number): string {
  if (i % 30 === 0) return `${HIDDEN[(i / 30) % 2]}/k${i}`;
  return `/d${i % 40}/${['a', 'a-b', 'a.b'][i % 3]}/k${i}`;
}

/** Text that hardly compresses: an archive of it is large enough for a disk to fill up in the middle. */
function noise(i: number): string {
  const random = numbers(i);
  return Array.from({ length: VALUE }, () => random(32).toString(32)).join('');
}

const ttlOf = (i: number): string => (i % 10 === 3 ? `&ttl=${TTL + (i % SECONDS) * 60}` : '');

/** A server of its own with the same tree, to be killed: the source's files as a crash would leave them. */
export function copyOfSource(ground: TreeGround): Promise<EtcdServer> {
  const dataDir = join(ground.work, `copy-${copies++}`);
  cpSync(ground.source.dataDir, dataDir, { recursive: true });
  return EtcdServer.start(ground.source.etcd, { dataDir, args: ['--enable-v2'] });
}

let copies = 0;

/** One migration, to be run in trouble and then again in peace. */
export interface Migration {
  readonly ground: TreeGround;
  /** With what is hidden; a live source is then spooled first, else written while it is read. */
  readonly hidden: boolean;
  /** An archive or endpoints. */
  readonly from: string;
  /**
   * Whether ends of leases can be told: a server that restarts, or becomes leader, begins all leases
   * anew with their whole TTL (etcd's lessor does so on Promote), and the proof may say so (4).
   */
  readonly leases: 'exact' | 'begun anew';
}

export function migrateArgs({ from, hidden, ground }: Migration, to: string): string[] {
  const named = hidden && from !== ground.archive ? NAMED : [];
  return ['migrate', '--from', from, '--to', to, '--json', '--empty-dirs', 'drop', ...named];
}

/** The keys it has to come to. */
function keysOf({ ground, hidden, from }: Migration): MovedTree {
  const all = hidden || from === ground.archive ? [...ground.tree] : [...ground.tree].filter(([path]) => !path.includes('/_'));
  return keysOfTree(new Map(all));
}

/** @throws Unexpected where a server does not hold exactly what the tree becomes, and the leases of it */
export async function expectMigrated(migration: Migration, server: EtcdServer, what: string): Promise<void> {
  const found = await keysOfServer(server);
  expectSameTree(found, keysOf(migration), migration.leases === 'exact' ? APART : Number.POSITIVE_INFINITY, what);
  const { leases = [] } = (await v3(server.endpoint, 'lease/leases', {})) as { leases?: object[] };
  const used = new Set(
    [...keysOf(migration).values()].filter(({ expires }) => expires !== undefined).map(({ expires = 0 }) => second(expires)),
  );
  if (leases.length !== used.size) throw new Unexpected(`${what}: ${leases.length} leases, where ${used.size} are used`);
}

const second = (milliseconds: number): number => Math.ceil(milliseconds / 1000);

/** @throws Unexpected where trees are not the same, or expirations further apart than so many seconds */
export function expectSameTree(found: MovedTree, expected: MovedTree, within: number, what: string): void {
  const wrong = [...expected].filter(([path, node]) => {
    const other = found.get(path);
    if (other === undefined || other.dir !== node.dir || other.value !== node.value) return true;
    if (node.expires === undefined || other.expires === undefined) return node.expires !== other.expires;
    return Math.abs(node.expires - other.expires) > within * 1000;
  });
  const more = [...found.keys()].filter((path) => !expected.has(path));
  if (wrong.length + more.length === 0) return;
  const examples = wrong.slice(0, 3).map(([path, node]) => JSON.stringify([path, node, found.get(path)]));
  throw new Unexpected(`${what}: ${wrong.length} wrong (${examples.join()}), ${more.length} too many (${more.slice(0, 3).join()})`);
}

interface Report {
  readonly keys: number;
  readonly written: Readonly<Record<'written' | 'overwritten' | 'deleted' | 'equal', number>>;
  readonly proof?: { readonly differing: number; readonly strayLeases: number };
}

/** Holds a run that says it has finished to what it says: all is there, or leases alone begin anew. */
export function expectDone(migration: Migration, run: FaultRun, what: string): Report {
  const anew = migration.leases === 'begun anew';
  expectClear(run, anew ? [0, 4] : [0], `${what}: ${run.stdout.toString().slice(0, 3000)}`);
  const report = JSON.parse(run.stdout.toString()) as Report;
  if (run.exit === 4 && report.proof?.differing !== 0) throw new Unexpected(`${what}: ${JSON.stringify(report.proof)}`);
  return report;
}

/** The same once more in peace, which finishes it; and once more, which writes nothing. */
export async function finishMigration(migration: Migration, server: EtcdServer, what: string, more: readonly string[] = []): Promise<void> {
  const args = [...migrateArgs(migration, server.endpoint), ...more];
  expectDone(migration, await faultRun(args), `${what}, run again`);
  await expectMigrated(migration, server, `${what}, run again`);
  const before = await revisionOf(server);
  const { keys, written } = expectDone(migration, await faultRun(args), `${what}, a third time`);
  const touched = written.written + written.overwritten + written.deleted;
  if (touched !== 0 || written.equal !== keys || (await revisionOf(server)) !== before) {
    throw new Unexpected(`${what}: a third run writes: ${JSON.stringify(written)} of ${keys}`);
  }
}

/**
 * What every migration in trouble must keep to: it is done and all is there, or it failed with one of
 * these; and in either case it is finished by running it again.
 *
 * @returns how it ended, in words
 */
export async function expectFinished(
  migration: Migration,
  run: FaultRun,
  exits: readonly number[],
  server: EtcdServer,
  what: string,
): Promise<string> {
  const failed = run.exit === null || exits.includes(run.exit);
  if (run.exit === null) expectKilled(run, what);
  else if (failed) expectClear(run, exits, what);
  else {
    expectDone(migration, run, what);
    await expectMigrated(migration, server, what);
  }
  await finishMigration(migration, server, what);
  return failed ? `failed in words (${run.exit ?? run.signal}), finished when run again` : `done (${run.exit}), and nothing to do again`;
}

function expectKilled({ signal, stderr }: FaultRun, what: string): void {
  if (signal !== 'SIGKILL') throw new Unexpected(`${what}: ended by ${signal}\n${stderr}`);
}
