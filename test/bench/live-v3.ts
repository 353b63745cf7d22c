import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { load, type Put } from '../support/load.js';
import { kubernetesLike } from './kubernetes-like.js';
import { type Cost, measure, together } from './measure.js';
import { type ComparisonResult, compare, save } from './report.js';

const ROOT = join(import.meta.dirname, '../..');
const BIN = join(ROOT, 'bin/etcdferry.js');
const SIZES = (process.env.BENCH_KEYS ?? '100000,1000000').split(',').map(Number);
const RUNS = Number(process.env.BENCH_RUNS ?? 3);

const etcd = newestEtcd();
const ETCDCTL = join(etcd.dir, 'etcdctl');
const LARGE = ['--quota-backend-bytes', String(16 * 2 ** 30)];
const env = { ...process.env, ETCDCTL_API: '3' };

const ferry = (...args: string[]): Promise<Cost> => measure(process.execPath, [BIN, ...args, '--quiet']);

async function atSize(keys: number): Promise<ComparisonResult[]> {
  const work = mkdtempSync(join(tmpdir(), 'etcdferry-bench-'));
  const at = (name: string): string => join(work, name);
  const source = await EtcdServer.start(etcd, { args: LARGE });
  try {
    process.stdout.write(`\n${keys.toLocaleString('en')} keys, etcd ${etcd.version}\n`);
    await load(source.endpoint, kubernetesLike(keys));
    await source.etcdctl('compact', String((await status(source)).revision));
    await source.etcdctl('defrag', '--command-timeout=5m');
    const backup = (): Promise<Cost> => ferry('backup', '--from', source.endpoint, '--to', at('a.tar'), '--overwrite');
    const snapshot = (): Promise<Cost> => {
      rmSync(at('s.db'), { force: true });
      return measure(ETCDCTL, ['--endpoints', source.endpoint, 'snapshot', 'save', at('s.db'), '--command-timeout=5m'], env);
    };
    const zipped = async (): Promise<Cost> => together(await snapshot(), await measure('gzip', ['-1', '-f', at('s.db')]));
    const results = [
      await compare(`backup of ${keys} keys`, 'etcdctl snapshot save, then gzip -1', RUNS, backup, zipped, 0.7),
      await compare(`backup of ${keys} keys`, 'etcdctl snapshot save', RUNS, backup, snapshot, 1.5),
    ];
    process.stdout.write(`archive ${size(at('a.tar'))} MiB, snapshot ${size(at('s.db'))} MiB\n`);
    const restore = intoFresh((target) => ferry('restore', '--from', at('a.tar'), '--to', target.endpoint));
    const puts = [...kubernetesLike(keys)];
    results.push(
      await compare(
        `restore of ${keys} keys`,
        'a bare loop of 128-put transactions',
        RUNS,
        restore,
        intoFresh((t) => bareLoop(t, puts)),
        1 / 0.85,
      ),
    );
    if (keys <= 100_000) {
      results.push(
        await compare(
          `restore of ${keys} keys`,
          'etcdctl make-mirror',
          1,
          restore,
          intoFresh((t) => mirror(source, t, keys)),
        ),
      );
    }
    return results;
  } finally {
    await source.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

/** Something measured against a server of its own, started before and stopped after. */
function intoFresh(what: (target: EtcdServer) => Promise<Cost>): () => Promise<Cost> {
  return async () => {
    await using target = await EtcdServer.start(etcd, { args: LARGE });
    return await what(target);
  };
}

/** The peer of `restore`: nothing but transactions of 128 puts, eight in flight, made beforehand. */
async function bareLoop(target: EtcdServer, puts: readonly Put[]): Promise<Cost> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  await load(target.endpoint, puts);
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - started) / 1000, cpu: (user + system) / 1e6, peak: 0 };
}

/** make-mirror never ends by itself: it is done when the target has as many keys as the source. */
async function mirror(source: EtcdServer, target: EtcdServer, keys: number): Promise<Cost> {
  const started = performance.now();
  const child = spawn(ETCDCTL, ['--endpoints', source.endpoint, 'make-mirror', target.endpoint.replace('http://', '')], {
    env,
    stdio: 'ignore',
  });
  while ((await status(target)).keys < keys) await new Promise((resolve) => setTimeout(resolve, 250));
  const wall = (performance.now() - started) / 1000;
  child.kill('SIGKILL');
  return { wall, cpu: 0, peak: 0 };
}

async function status(server: EtcdServer): Promise<{ revision: number; keys: number }> {
  const answer = await server.etcdctl('get', '', '--from-key', '--count-only', '-w', 'fields');
  const field = (name: string): number => Number(new RegExp(`"${name}" : (\\d+)`).exec(answer)?.[1] ?? 0);
  return { revision: field('Revision'), keys: field('Count') };
}

function size(path: string): string {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return (bytes / 2 ** 20).toFixed(1);
}

async function startUp(): Promise<ComparisonResult[]> {
  const node = (): Promise<Cost> => measure(process.execPath, ['-e', '0']);
  return [await compare('--help', 'node -e 0', 9, () => measure(process.execPath, [BIN, '--help']), node, 2.5)];
}

const results = [...(await startUp())];
for (const keys of SIZES) results.push(...(await atSize(keys)));
save(join(ROOT, '.cache/bench/live-v3.json'), { node: process.version, etcd: etcd.version, runs: RUNS, results });
