import { afterBytes, TcpProxy } from '../support/tcp-proxy.js';
import { caseFile, expectSameAsSource, expectWholeOrNothing, finish, type LiveGround } from './live.js';
import { pick, type Random } from './mutate.js';
import { expectClear, type Fault } from './outcome.js';
import { faultRun } from './run.js';
import { lose, Trio } from './trio.js';

const TRAFFIC = 4_500_000;
const TIMEOUTS = ['--dial-timeout', '1s', '--command-timeout', '5s'];

/** Clusters of three that lose their leader, or have a member away. */
export function clusterFaults(ground: LiveGround): Fault[] {
  const { version } = ground.etcd;
  return [
    { name: `backup, three members of etcd ${version}: leader lost`, run: (random) => backupWithoutLeader(ground, random) },
    { name: `restore, three members of etcd ${version}: leader lost`, run: (random) => restoreWithoutLeader(ground, random) },
    { name: `three members of etcd ${version}: one away`, run: (random) => oneAway(ground, random) },
  ];
}

async function backupWithoutLeader(ground: LiveGround, random: Random): Promise<string> {
  await using trio = await Trio.start(ground.etcd);
  await finish(ground, trio.endpoints, 'filling a cluster');
  const leader = await trio.leader();
  const { how, act } = lose(leader, random);
  const proxies = await Promise.all(trio.members.map(({ server }) => TcpProxy.start(server.port, afterBytes(random(TRAFFIC / 2), act))));
  const target = caseFile(ground);
  const from = proxies.map(({ endpoint }) => endpoint).join();
  const run = await faultRun(['backup', '--from', from, '--to', target, '--json', ...TIMEOUTS]);
  for (const proxy of proxies) proxy.die();
  return `${how}: ${await expectWholeOrNothing(ground, run, target, [0, 10], `leader ${how}`)}`;
}

async function restoreWithoutLeader(ground: LiveGround, random: Random): Promise<string> {
  await using trio = await Trio.start(ground.etcd);
  const leader = await trio.leader();
  const { how, act } = lose(leader, random);
  const proxies = await Promise.all(trio.members.map(({ server }) => TcpProxy.start(server.port, afterBytes(random(20_000), act))));
  const to = proxies.map(({ endpoint }) => endpoint).join();
  const run = await faultRun(['restore', '--from', ground.archive, '--to', to, ...TIMEOUTS]);
  for (const proxy of proxies) proxy.die();
  expectClear(run, [0, 10], `leader ${how}`);
  const rest = trio.members.filter((member) => member !== leader).map(({ server }) => server.endpoint);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  if (run.exit === 0) await expectSameAsSource(ground, rest.join(), 'restore without a leader');
  else await finish(ground, rest.join(), 'restore without a leader');
  return `${how}: ${run.exit === 0 ? 'whole (0)' : 'failed in words (10), finished when run again'}`;
}

async function oneAway(ground: LiveGround, random: Random): Promise<string> {
  await using trio = await Trio.start(ground.etcd);
  const away = pick(random, trio.members);
  await away.server.kill('SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await finish(ground, trio.endpoints, 'one member away');
  const target = caseFile(ground);
  const via = pick(random, ['range', 'snapshot']);
  const run = await faultRun(['backup', '--from', trio.endpoints, '--to', target, '--json', '--via', via, ...TIMEOUTS]);
  const words = await expectWholeOrNothing(ground, run, target, [0], `one away, --via ${via}`);
  await using back = await away.restart();
  await expectSameAsSource(ground, back.endpoint, 'the member that was away');
  return `--via ${via}: ${words}, and the member has all of it when it is back`;
}
