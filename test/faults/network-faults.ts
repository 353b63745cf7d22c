import { EtcdServer } from '../support/etcd.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { caseFile, expectSameAsSource, expectWholeOrNothing, finish, type LiveGround } from './live.js';
import { pick, type Random } from './mutate.js';
import { expectClear, type Fault } from './outcome.js';
import { faultRun } from './run.js';
import { expectSoon, inTrouble, TROUBLES } from './trouble.js';

/** Bytes that a backup of the source receives, and a restore sends, about. */
const TRAFFIC = 4_500_000;
const TIMEOUTS = ['--dial-timeout', '1s', '--command-timeout', '2s'];

/** A network between us and etcd that delays, cuts, stalls. */
export function networkFaults(ground: LiveGround): Fault[] {
  const { version } = ground.etcd;
  const source = (random: Random, name: string): Promise<TcpProxy> => TcpProxy.start(ground.source.port, inTrouble(name, random(TRAFFIC)));
  return [
    ...TROUBLES.map((name) => ({
      name: `backup, etcd ${version}: connection ${name}`,
      run: async (random: Random) => {
        await using proxy = await source(random, name);
        const target = caseFile(ground);
        const via = pick(random, ['range', 'snapshot']);
        const run = await faultRun(['backup', '--from', proxy.endpoint, '--to', target, '--json', '--via', via, ...TIMEOUTS]);
        expectSoon(run, name);
        return `--via ${via}: ${await expectWholeOrNothing(ground, run, target, [0, 10], `${name}, --via ${via}`)}`;
      },
    })),
    {
      name: `backup, etcd ${version}: connection slow`,
      run: async (random) => {
        await using proxy = await TcpProxy.start(ground.source.port, undefined, 1 + random(60));
        const target = caseFile(ground);
        const run = await faultRun(['backup', '--from', proxy.endpoint, '--to', target, '--json']);
        return expectWholeOrNothing(ground, run, target, [0], 'slow');
      },
    },
    {
      name: `backup, etcd ${version}: one endpoint of two in trouble`,
      run: async (random) => {
        const name = pick(random, ['cut', 'cut for good']);
        await using proxy = await source(random, name);
        await using other = await TcpProxy.start(ground.source.port);
        const target = caseFile(ground);
        const from = `${proxy.endpoint},${other.endpoint}`;
        const run = await faultRun(['backup', '--from', from, '--to', target, '--json', ...TIMEOUTS]);
        return expectWholeOrNothing(ground, run, target, [0], `one of two ${name}`);
      },
    },
    {
      name: `restore, etcd ${version}: connection in trouble`,
      run: async (random) => {
        await using server = await EtcdServer.start(ground.etcd);
        const name = pick(random, TROUBLES);
        await using proxy = await TcpProxy.start(server.port, inTrouble(name, random(30_000)));
        const run = await faultRun(['restore', '--from', ground.archive, '--to', proxy.endpoint, ...TIMEOUTS]);
        expectClear(run, [0, 10], `restore, ${name}`);
        expectSoon(run, name);
        if (run.exit === 0) await expectSameAsSource(ground, server.endpoint, name);
        else await finish(ground, server.endpoint, name);
        return `${name}: ${run.exit === 0 ? 'whole (0)' : 'failed in words (10), finished when run again'}`;
      },
    },
  ];
}
