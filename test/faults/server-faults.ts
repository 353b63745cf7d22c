import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Compactor } from '../support/compactor.js';
import { EtcdServer, strictQuota } from '../support/etcd.js';
import { rootLogin } from '../support/root-login.js';
import { afterBytes, TcpProxy } from '../support/tcp-proxy.js';
import { fullDiskFault } from './full-disk.js';
import { caseFile, expectSameAsSource, expectWholeOrNothing, finish, KEYS, type LiveGround, recordsOf } from './live.js';
import { pick, type Random } from './mutate.js';
import { expectClear, type Fault, faultsOf, Unexpected, withVersion } from './outcome.js';
import { type FaultRun, faultRun } from './run.js';
import { stoppedRun } from './stopped-run.js';

const TRAFFIC = 4_500_000;
/** A command's worth of time is short here, so that a dead server is told of soon. */
const TIMEOUTS = ['--dial-timeout', '1s', '--command-timeout', '3s'];
const BUSY = ['--limit-rate', '3M'];

/** The same member again, on its port, with all it had. */
export function restarted(server: EtcdServer, args: readonly string[] = []): Promise<EtcdServer> {
  return EtcdServer.start(server.etcd, { dataDir: server.dataDir, clientPort: server.port, args });
}

/** A server that dies, is full, is compacted or forgets us, in the middle of a job. */
export function serverFaults(ground: LiveGround): Fault[] {
  const live = faultsOf(ground, {
    'backup: server killed': killedUnderBackup,
    'restore: server killed': killedUnderRestore,
    'restore: no space (NOSPACE)': noSpace,
    'backup: compacted meanwhile': compacted,
    'restore: target compacted meanwhile': compactedTarget,
    'auth token expires': expiring,
    'restore: we are stopped or killed': stoppedRestore,
    'we are stopped or killed': stopped,
    'clock set back': clockSetBack,
  });
  return [
    ...live,
    ...fullDiskFault(withVersion('disk full', ground), ground.work, 64_000, 4_100_000, (disk, random) => filling(ground, disk, random)),
  ];
}

async function killedUnderBackup(ground: LiveGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  await finish(ground, server.endpoint, 'filling a server');
  await using proxy = await TcpProxy.start(
    server.port,
    afterBytes(random(TRAFFIC), () => void server.kill('SIGKILL')),
  );
  const target = caseFile(ground);
  const via = pick(random, ['range', 'snapshot']);
  const run = await faultRun(['backup', '--from', proxy.endpoint, '--to', target, '--json', '--via', via, ...TIMEOUTS]);
  const words = await expectWholeOrNothing(ground, run, target, [0, 10], 'server killed');
  await using back = await restarted(server);
  await expectSameAsSource(ground, back.endpoint, 'after a kill');
  return words;
}

async function killedUnderRestore(ground: LiveGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  await using proxy = await TcpProxy.start(
    server.port,
    afterBytes(random(20_000), () => void server.kill('SIGKILL')),
  );
  const run = await faultRun(['restore', '--from', ground.archive, '--to', proxy.endpoint, ...TIMEOUTS]);
  expectClear(run, [0, 10], 'server killed');
  await server.kill('SIGKILL');
  await using back = await restarted(server);
  await finish(ground, back.endpoint, 'after a kill');
  return run.exit === 0 ? 'whole (0)' : 'failed in words (10), finished when run again';
}

async function noSpace(ground: LiveGround, random: Random): Promise<string> {
  const quota = 500_000 + random(1_500_000);
  await using server = await EtcdServer.start(ground.etcd, { args: strictQuota(quota) });
  const run = await faultRun(['restore', '--from', ground.archive, '--to', server.endpoint, ...TIMEOUTS]);
  expectClear(run, [1], 'quota exceeded');
  if (!/space|quota/i.test(run.stderr)) throw new Unexpected(`no word of space: ${run.stderr}`);
  await server.kill();
  await using back = await restarted(server, ['--quota-backend-bytes', '2000000000']);
  await back.etcdctl('--dial-timeout', '10s', '--command-timeout', '10s', 'alarm', 'disarm');
  await finish(ground, back.endpoint, 'with more space');
  return 'failed in words (1), finished when there was space';
}

async function compacted(ground: LiveGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  await finish(ground, server.endpoint, 'filling a server');
  let compaction: Promise<unknown> = Promise.resolve();
  const compact = async (): Promise<void> => {
    await server.etcdctl('put', '/new', '1');
    const { Status } = (
      JSON.parse(await server.etcdctl('endpoint', 'status', '-w', 'json')) as { Status: { header: { revision: number } } }[]
    )[0] as never;
    await server.etcdctl('compact', String((Status as { header: { revision: number } }).header.revision));
  };
  await using proxy = await TcpProxy.start(
    server.port,
    afterBytes(random(TRAFFIC), () => {
      compaction = compact();
    }),
  );
  const target = caseFile(ground);
  const via = pick(random, ['range', 'snapshot']);
  const run = await faultRun([
    'backup',
    '--from',
    proxy.endpoint,
    '--to',
    target,
    '--json',
    '--via',
    via,
    ...(via === 'range' ? BUSY : []),
  ]);
  await compaction;
  expectClear(run, [0], `compacted, --via ${via}`);
  const records = recordsOf(run);
  if (records !== KEYS && records !== KEYS + 1) throw new Unexpected(`${records} keys of ${KEYS}`);
  if ((await faultRun(['verify', target])).exit !== 0) throw new Unexpected('the archive is not whole');
  rmSync(target);
  const { restarts } = JSON.parse(run.stdout.toString()) as { restarts: number };
  return `--via ${via}: whole (0)${restarts > 0 ? ', started again' : ''}`;
}

/** Into an empty target, or one that has it all already: then every key is read and compared. */
async function compactedTarget(ground: LiveGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  const again = random(2) === 0;
  if (again) await finish(ground, server.endpoint, 'restoring in peace');
  const compactor = Compactor.start(server, 20 + random(400));
  const run = await faultRun(['restore', '--from', ground.archive, '--to', server.endpoint]);
  await compactor[Symbol.asyncDispose]();
  expectClear(run, [0], 'restore while the target is compacted');
  await expectSameAsSource(ground, server.endpoint, 'compacted target');
  return `${again ? 'run again' : 'for the first time'}: whole (0)`;
}

async function expiring(ground: LiveGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd, { args: ['--auth-token-ttl', '1'] });
  await finish(ground, server.endpoint, 'filling a server');
  const user = await rootLogin(server, ground.work);
  if (random(2) === 0) {
    const target = caseFile(ground);
    const run = await faultRun(['backup', '--from', server.endpoint, '--to', target, '--json', ...user, '--limit-rate', '1500K']);
    return `backup: ${await expectWholeOrNothing(ground, run, target, [0], 'token expired')}`;
  }
  await using slow = await TcpProxy.start(server.port, undefined, 40);
  const job = ['restore', '--from', ground.archive, '--to', slow.endpoint, '--map', '/k/=/copy/', '--max-txn-ops', '16', '--json', ...user];
  const run = await faultRun(job);
  expectClear(run, [0], 'restore with tokens of a second');
  const { written } = JSON.parse(run.stdout.toString()) as { written: number };
  if (written !== KEYS) throw new Unexpected(`${written} keys written`);
  return 'restore: done (0)';
}

async function stopped(ground: LiveGround, random: Random): Promise<string> {
  const target = caseFile(ground);
  const job = (from: string): string[] => ['backup', '--from', from, '--to', target, '--json'];
  const { run, signal, exit } = await stoppedRun(random, ground.source.port, { bytes: random(TRAFFIC) }, job);
  if (signal !== 'SIGKILL') return `${signal}: ${await expectWholeOrNothing(ground, run, target, [0, exit], signal)}`;
  const names = readdirSync(ground.work).filter((name) => target.endsWith(name));
  if (run.signal === 'SIGKILL' && names.length > 0 && (await faultRun(['verify', target])).exit !== 0) {
    throw new Unexpected('half an archive under its final name');
  }
  for (const name of readdirSync(ground.work).filter((each) => each.startsWith('.'))) rmSync(join(ground.work, name));
  rmSync(target, { force: true });
  return run.signal === 'SIGKILL' ? 'killed: nothing half-written under its name' : 'done before (0)';
}

async function stoppedRestore(ground: LiveGround, random: Random): Promise<string> {
  await using server = await EtcdServer.start(ground.etcd);
  const job = (to: string): string[] => ['restore', '--from', ground.archive, '--to', to];
  const { run, signal, exit } = await stoppedRun(random, server.port, { bytes: random(20_000) }, job);
  if (run.exit !== null || run.signal !== 'SIGKILL') expectClear(run, [0, exit], signal);
  if (run.exit === 0) await expectSameAsSource(ground, server.endpoint, signal);
  await finish(ground, server.endpoint, signal);
  return `${signal}: ${run.exit === 0 ? 'whole (0)' : `failed in words (${run.exit ?? run.signal}), finished when run again`}`;
}

async function clockSetBack(ground: LiveGround, random: Random): Promise<string> {
  const script = join(ground.work, 'clock.cjs');
  const hours = 1 + random(50_000);
  writeFileSync(
    script,
    `const now = Date.now; const at = process.hrtime.bigint() + ${random(700)}000000n;
     const shift = () => process.hrtime.bigint() > at ? ${hours * 3_600_000} : 0;
     const Real = Date; globalThis.Date = class extends Real { constructor(...a) { a.length ? super(...a) : super(now() - shift()); } };
     Date.now = () => now() - shift();`,
  );
  const env = { NODE_OPTIONS: `--require ${script}` };
  const target = caseFile(ground);
  const run = await faultRun(['backup', '--from', ground.source.endpoint, '--to', target, '--json'], env);
  await expectWholeOrNothing(ground, run, target, [0], 'clock set back');
  await using server = await EtcdServer.start(ground.etcd);
  expectClear(await faultRun(['restore', '--from', ground.archive, '--to', server.endpoint], env), [0], 'restore, clock set back');
  await expectSameAsSource(ground, server.endpoint, 'clock set back');
  return 'whole (0)';
}

async function filling(ground: LiveGround, disk: string, random: Random): Promise<[string, FaultRun]> {
  switch (random(3)) {
    case 0:
      return ['archive', await faultRun(['backup', '--from', ground.source.endpoint, '--to', join(disk, 'x.tar')])];
    case 1:
      return ['snapshot file', await faultRun(['restore', '--from', ground.archive, '--to', join(disk, 'x.db')])];
    default:
      return [
        '--tmp-dir',
        await faultRun(['backup', '--from', ground.source.endpoint, '--via', 'snapshot', '--to', caseFile(ground), '--tmp-dir', disk]),
      ];
  }
}
