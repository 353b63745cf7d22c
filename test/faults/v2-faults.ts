import { rmSync } from 'node:fs';
import { EtcdServer } from '../support/etcd.js';
import { treeOfServer } from '../support/migrated.js';
import { afterBytes, TcpProxy } from '../support/tcp-proxy.js';
import { caseFile, expectWholeOrNothing } from './live.js';
import { pick, type Random } from './mutate.js';
import { expectClear, type Fault, faultsOf, Unexpected } from './outcome.js';
import { type FaultRun, faultRun } from './run.js';
import { restarted } from './server-faults.js';
import { stoppedRun } from './stopped-run.js';
import { copyOfSource, expectSameTree, HIDDEN, NAMED, type TreeGround } from './tree-ground.js';
import { expectSoon, inTrouble, TROUBLES } from './trouble.js';

/** Bytes that a backup of the tree receives, and a restore of it; about. */
const READ = 2_280_000;
const ANSWERED = 1_210_000;
const TIMEOUTS = ['--dial-timeout', '1s', '--command-timeout', '2s'];
/** Seconds between the ends of nodes that are the same to a restore (docs/v2.md), and a rounded one. */
const APART = 2.5;

/** The v2 API in trouble: a tree backed up, and one restored into an etcd of this version. */
export function v2Faults(ground: TreeGround): Fault[] {
  return faultsOf(ground, {
    'backup --api v2: connection in trouble': backupInTrouble,
    'backup --api v2: connection slow': backupSlow,
    'backup --api v2: server killed': backupKilled,
    'restore of a tree: connection in trouble': restoreInTrouble,
    'restore of a tree: server killed': restoreKilled,
    'restore of a tree: we are stopped or killed': restoreStopped,
  });
}

const backup = (from: string, target: string): string[] => ['backup', '--api', 'v2', '--from', from, '--to', target, '--json', ...NAMED];

async function backupInTrouble(ground: TreeGround, random: Random): Promise<string> {
  const name = pick(random, TROUBLES);
  await using proxy = await TcpProxy.start(ground.source.port, inTrouble(name, random(READ)));
  const target = caseFile(ground);
  const run = await faultRun([...backup(proxy.endpoint, target), ...TIMEOUTS]);
  expectSoon(run, name);
  return `${name}: ${await expectWholeOrNothing(ground, run, target, [0, 10], `tree, ${name}`)}`;
}

async function backupSlow(ground: TreeGround, random: Random): Promise<string> {
  await using proxy = await TcpProxy.start(ground.source.port, undefined, 1 + random(60));
  const target = caseFile(ground);
  return await expectWholeOrNothing(ground, await faultRun(backup(proxy.endpoint, target)), target, [0], 'tree, slow');
}

async function backupKilled(ground: TreeGround, random: Random): Promise<string> {
  await using source = await copyOfSource(ground);
  await using proxy = await TcpProxy.start(
    source.port,
    afterBytes(random(READ), () => void source.kill('SIGKILL')),
  );
  const target = caseFile(ground);
  const run = await faultRun([...backup(proxy.endpoint, target), ...TIMEOUTS]);
  const words = await expectWholeOrNothing(ground, run, target, [0, 10], 'tree, server killed');
  await source.kill('SIGKILL');
  {
    await using back = await restarted(source, ['--enable-v2']);
    const again = await faultRun(backup(back.endpoint, target));
    await expectWholeOrNothing(ground, again, target, [0], 'tree, after a kill');
  }
  rmSync(source.dataDir, { recursive: true });
  return words;
}

const restore = (ground: TreeGround, to: string): string[] => ['restore', '--from', ground.archive, '--to', to, '--json'];
const startTarget = (ground: TreeGround): Promise<EtcdServer> => EtcdServer.start(ground.etcd, { args: ['--enable-v2'] });

/** It is all there or it failed with one of these, and it is finished by running it again. */
async function expectRestored(
  ground: TreeGround,
  run: FaultRun,
  exits: readonly number[],
  server: EtcdServer,
  what: string,
): Promise<string> {
  if (run.exit !== null) expectClear(run, [0, ...exits], what);
  else if (run.signal !== 'SIGKILL') throw new Unexpected(`${what}: ended by ${run.signal}`);
  const check = async (): Promise<void> => expectSameTree(await treeOfServer(server, HIDDEN), ground.tree, APART, what);
  if (run.exit === 0) await check();
  const again = await faultRun(restore(ground, server.endpoint));
  expectClear(again, [0], `${what}, run again`);
  await check();
  return run.exit === 0 ? 'whole (0)' : `failed in words (${run.exit ?? run.signal}), finished when run again`;
}

async function restoreInTrouble(ground: TreeGround, random: Random): Promise<string> {
  await using server = await startTarget(ground);
  const name = pick(random, TROUBLES);
  await using proxy = await TcpProxy.start(server.port, inTrouble(name, random(ANSWERED)));
  const run = await faultRun([...restore(ground, proxy.endpoint), ...TIMEOUTS]);
  expectSoon(run, name);
  return `${name}: ${await expectRestored(ground, run, [10], server, `restore of a tree, ${name}`)}`;
}

async function restoreKilled(ground: TreeGround, random: Random): Promise<string> {
  await using server = await startTarget(ground);
  await using proxy = await TcpProxy.start(
    server.port,
    afterBytes(random(ANSWERED), () => void server.kill('SIGKILL')),
  );
  const run = await faultRun([...restore(ground, proxy.endpoint), ...TIMEOUTS]);
  await server.kill('SIGKILL');
  await using back = await restarted(server, ['--enable-v2']);
  return await expectRestored(ground, run, [10], back, 'restore of a tree, server killed');
}

async function restoreStopped(ground: TreeGround, random: Random): Promise<string> {
  await using server = await startTarget(ground);
  const { run, signal, exit } = await stoppedRun(random, server.port, { bytes: random(ANSWERED) }, (to) => restore(ground, to));
  return `${signal}: ${await expectRestored(ground, run, [exit], server, signal)}`;
}
