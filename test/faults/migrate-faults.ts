import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Compactor } from '../support/compactor.js';
import { EtcdServer, strictQuota } from '../support/etcd.js';
import { rootLogin } from '../support/root-login.js';
import { afterBytes, TcpProxy } from '../support/tcp-proxy.js';
import { fullDiskFault } from './full-disk.js';
import { caseFile } from './live.js';
import { pick, type Random } from './mutate.js';
import { expectClear, type Fault, faultsOf, Unexpected, withVersion } from './outcome.js';
import { faultRun } from './run.js';
import { restarted } from './server-faults.js';
import { stoppedRun } from './stopped-run.js';
import {
  copyOfSource,
  expectDone,
  expectFinished,
  expectMigrated,
  finishMigration,
  type Migration,
  migrateArgs,
  type TreeGround,
} from './tree-ground.js';
import { lose, Trio } from './trio.js';
import { expectSoon, inTrouble, TROUBLES } from './trouble.js';

/** Bytes that a migration receives from its source, and from its target while it writes, and in all; about. */
const READ = 2_280_000;
const WRITTEN = 34_000;
const ANSWERED = 2_150_000;
const FROM_TIMEOUTS = ['--from-dial-timeout', '1s', '--from-command-timeout', '2s'];
const TO_TIMEOUTS = ['--to-dial-timeout', '1s', '--to-command-timeout', '3s'];

/** Migrations into a live v3 whose source, target or network is in trouble, or that are stopped themselves. */
export function migrateFaults(ground: TreeGround): Fault[] {
  const live = faultsOf(ground, {
    'migrate: source in trouble': sourceInTrouble,
    'migrate: target in trouble': targetInTrouble,
    'migrate: connections slow': slow,
    'migrate: source killed': sourceKilled,
    'migrate: server killed': targetKilled,
    'migrate: no space (NOSPACE)': noSpace,
    'migrate: target compacted meanwhile': compacted,
    'migrate: auth token expires': expiring,
    'migrate: we are stopped or killed': stopped,
    'migrate into a file: we are stopped or killed': stoppedIntoFile,
    'migrate, three members: leader lost': leaderLost,
    'migrate, three members: one missing': oneMissing,
  });
  return [
    ...live,
    ...fullDiskFault(withVersion('migrate: disk full', ground), ground.work, 64_000, 1_800_000, async (disk, random) => {
      const migration = chosen(ground, random);
      const [what, file, room] = pick(random, [
        ['archive', join(disk, 'x.tar'), []],
        ['snapshot file', join(disk, 'x.db'), []],
        ['--tmp-dir', caseFile(ground, 'db'), ['--tmp-dir', disk]],
      ] as const);
      return [what, await faultRun([...migrateArgs(migration, file), ...room])];
    }),
  ];
}

/** Live or from an archive, with what is hidden or without: each goes another way. */
function chosen(ground: TreeGround, random: Random, leases: Migration['leases'] = 'exact'): Migration {
  return { ground, hidden: random(2) === 0, from: pick(random, [ground.source.endpoint, ground.source.endpoint, ground.archive]), leases };
}

/** Bytes after which a target is in the middle: mostly of being written, else of being read back. */
function within(random: Random): number {
  return random(3) === 0 ? random(ANSWERED) : random(WRITTEN);
}

async function sourceInTrouble(ground: TreeGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  const name = pick(random, TROUBLES);
  await using proxy = await TcpProxy.start(ground.source.port, inTrouble(name, random(READ)));
  const migration: Migration = { ground, hidden: random(2) === 0, from: ground.source.endpoint, leases: 'exact' };
  const run = await faultRun([...migrateArgs({ ...migration, from: proxy.endpoint }, server.endpoint), ...FROM_TIMEOUTS]);
  expectSoon(run, name);
  return `${name}: ${await expectFinished(migration, run, [10], server, `source ${name}`)}`;
}

async function targetInTrouble(ground: TreeGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  const name = pick(random, TROUBLES);
  await using proxy = await TcpProxy.start(server.port, inTrouble(name, within(random)));
  const migration = chosen(ground, random);
  const run = await faultRun([...migrateArgs(migration, proxy.endpoint), ...TO_TIMEOUTS]);
  expectSoon(run, name);
  return `${name}: ${await expectFinished(migration, run, [10], server, `target ${name}`)}`;
}

async function slow(ground: TreeGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  await using source = await TcpProxy.start(ground.source.port, undefined, 1 + random(60));
  await using target = await TcpProxy.start(server.port, undefined, 1 + random(60));
  const migration: Migration = { ground, hidden: random(2) === 0, from: ground.source.endpoint, leases: 'exact' };
  const run = await faultRun(migrateArgs({ ...migration, from: source.endpoint }, target.endpoint));
  return await expectFinished(migration, run, [], server, 'slow');
}

async function sourceKilled(ground: TreeGround, random: Random): Promise<string> {
  await using source = await copyOfSource(ground);
  await using server = await EtcdServer.start(ground.etcd);
  await using proxy = await TcpProxy.start(
    source.port,
    afterBytes(random(READ), () => void source.kill('SIGKILL')),
  );
  const migration: Migration = { ground, hidden: random(2) === 0, from: source.endpoint, leases: 'exact' };
  const run = await faultRun([...migrateArgs({ ...migration, from: proxy.endpoint }, server.endpoint), ...FROM_TIMEOUTS]);
  await source.kill('SIGKILL');
  await using _ = await restarted(source, ['--enable-v2']);
  const words = await expectFinished(migration, run, [10], server, 'source killed');
  rmSync(source.dataDir, { recursive: true });
  return words;
}

async function targetKilled(ground: TreeGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  await using proxy = await TcpProxy.start(
    server.port,
    afterBytes(within(random), () => void server.kill('SIGKILL')),
  );
  const migration = chosen(ground, random, 'begun anew');
  const run = await faultRun([...migrateArgs(migration, proxy.endpoint), ...TO_TIMEOUTS]);
  await server.kill('SIGKILL');
  await using back = await restarted(server);
  return await expectFinished(migration, run, [10], back, 'target killed');
}

async function noSpace(ground: TreeGround, random: Random): Promise<string> {
  // etcd counts what it has committed to its file, some 100 ms late: small transactions let it notice in time.
  const quota = 100_000 + random(700_000);
  await using server = await EtcdServer.start(ground.etcd, { args: strictQuota(quota) });
  await using proxy = await TcpProxy.start(server.port, undefined, 20);
  const migration = chosen(ground, random, 'begun anew');
  const run = await faultRun([...migrateArgs(migration, proxy.endpoint), '--max-txn-ops', '16', ...TO_TIMEOUTS]);
  expectClear(run, [1], 'quota exceeded');
  if (!/space|quota/i.test(run.stderr)) throw new Unexpected(`no word of space: ${run.stderr}`);
  await server.kill();
  await using back = await restarted(server, ['--quota-backend-bytes', '2000000000']);
  await back.etcdctl('--dial-timeout', '10s', '--command-timeout', '10s', 'alarm', 'disarm');
  await finishMigration(migration, back, 'with more space');
  return 'failed in words (1), finished when there was space';
}

/** Into an empty target, or one that has it all already: then every key is read and compared. */
async function compacted(ground: TreeGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  const migration = chosen(ground, random);
  const again = random(2) === 0;
  if (again) expectClear(await faultRun(migrateArgs(migration, server.endpoint)), [0, 3], 'migrating in peace');
  const compactor = Compactor.start(server, 20 + random(400));
  const run = await faultRun(migrateArgs(migration, server.endpoint));
  await compactor[Symbol.asyncDispose]();
  return `${again ? 'run again' : 'for the first time'}: ${await expectFinished(migration, run, [1], server, 'compacted meanwhile')}`;
}

async function expiring(ground: TreeGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd, { args: ['--auth-token-ttl', '1'] });
  const user = await rootLogin(server, ground.work);
  await using proxy = await TcpProxy.start(server.port, undefined, 40);
  const migration = chosen(ground, random);
  const sided = migration.from === ground.archive ? user : user.map((word) => word.replace(/^--/, '--to-'));
  const run = await faultRun([...migrateArgs(migration, proxy.endpoint), '--max-txn-ops', '16', ...sided]);
  expectDone(migration, run, 'tokens of a second');
  await server.etcdctl('--user', 'root:secret', 'auth', 'disable');
  await expectMigrated(migration, server, 'tokens of a second');
  return `done (0) in ${run.milliseconds > 1500 ? 'more' : 'LESS'} than a token's time`;
}

async function stopped(ground: TreeGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  const migration = chosen(ground, random);
  const { run, signal, exit } = await stoppedRun(random, server.port, { bytes: within(random) }, (to) => migrateArgs(migration, to));
  return `${signal}: ${await expectFinished(migration, run, [exit], server, signal)}`;
}

async function stoppedIntoFile(ground: TreeGround, random: Random): Promise<string> {
  const ending = pick(random, ['tar', 'db']);
  const target = caseFile(ground, ending);
  const migration: Migration = { ground, hidden: random(2) === 0, from: ground.source.endpoint, leases: 'exact' };
  // Most of it is written when all has been read: it is also stopped some time after.
  const moment = { bytes: random(READ), milliseconds: random(400) };
  const { run, signal, exit } = await stoppedRun(random, ground.source.port, moment, (from) => migrateArgs({ ...migration, from }, target));
  if (run.exit === 0) expectDone(migration, run, signal);
  else if (signal !== 'SIGKILL') expectClear(run, [exit], signal);
  const name = target.slice(ground.work.length + 1);
  const left = readdirSync(ground.work).filter((each) => each.includes(name.replace(/\.\w+$/, '')));
  if (run.exit !== 0 && signal !== 'SIGKILL' && left.length > 0) throw new Unexpected(`${signal}: ${left.join(', ')} left behind`);
  if (left.includes(name) && (await faultRun(['verify', target])).exit !== 0) throw new Unexpected(`${signal}: half a .${ending}`);
  for (const each of left) rmSync(join(ground.work, each));
  return `.${ending}, ${signal}: ${run.exit === 0 ? 'done before (0)' : 'nothing half-written under its name'}`;
}

async function leaderLost(ground: TreeGround, random: Random): Promise<string> {
  await using trio = await Trio.start(ground.etcd);
  const leader = await trio.leader();
  const { how, act } = lose(leader, random);
  const proxies = await Promise.all(trio.members.map(({ server }) => TcpProxy.start(server.port, afterBytes(within(random), act))));
  const migration = chosen(ground, random, 'begun anew');
  const run = await faultRun([...migrateArgs(migration, proxies.map(({ endpoint }) => endpoint).join()), ...TO_TIMEOUTS]);
  for (const proxy of proxies) proxy.die();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const [rest] = trio.members.filter((member) => member !== leader).map(({ server }) => server) as [EtcdServer];
  return `${how}: ${await expectFinished(migration, run, [10], rest, `leader ${how}`)}`;
}

async function oneMissing(ground: TreeGround, random: Random): Promise<string> {
  await using trio = await Trio.start(ground.etcd);
  const away = pick(random, trio.members);
  await away.server.kill('SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const migration = chosen(ground, random);
  const run = await faultRun([...migrateArgs(migration, trio.endpoints), ...TO_TIMEOUTS]);
  expectDone(migration, run, 'one member away');
  await using back = await away.restart();
  await expectMigrated({ ...migration, leases: 'begun anew' }, back, 'the member that was away');
  return 'done (0), and the member has all of it when it is back';
}
