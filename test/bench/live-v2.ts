import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectV2 } from '../../src/cluster/v2.js';
import { quietRun } from '../../src/model/run.js';
import { openLiveV2 } from '../../src/readers/live-v2.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { kubernetesLike } from './kubernetes-like.js';
import { type Cost, measure } from './measure.js';
import { type ComparisonResult, compare, save } from './report.js';

const ROOT = join(import.meta.dirname, '../..');
const BIN = join(ROOT, 'bin/etcdferry.js');
const NODES = Number(process.env.BENCH_NODES ?? 200_000);
const RUNS = Number(process.env.BENCH_RUNS ?? 3);
/** Most that reading may hold in memory, in MiB. */
const MOST_MEMORY = 250;

const [from, to] = [etcdWithV2(), newestEtcd()];
const work = mkdtempSync(join(tmpdir(), 'etcdferry-bench-'));
const at = (name: string): string => join(work, name);

const ferry = (...args: string[]): Promise<Cost> => measure(process.execPath, [BIN, ...args, '--quiet']);

/** Fills a v2 store until it has `NODES` nodes, directories counted. */
async function fill(server: EtcdServer): Promise<{ readonly nodes: number; readonly values: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const directories = new Set<string>();
  let [values, nodes] = [0, 0];
  const running = new Set<Promise<void>>();
  for (const { key, value } of kubernetesLike(NODES)) {
    if (nodes >= NODES) break;
    nodes += 1 + newDirectories(key.toString(), directories);
    values++;
    const put = send(server, agent, key.toString(), value).finally(() => running.delete(put));
    running.add(put);
    if (running.size >= 64) await Promise.race(running);
  }
  await Promise.all(running);
  agent.destroy();
  return { nodes, values };
}

function newDirectories(key: string, known: Set<string>): number {
  const before = known.size;
  for (let at = key.indexOf('/', 1); at > 0; at = key.indexOf('/', at + 1)) known.add(key.slice(0, at));
  return known.size - before;
}

function send(server: EtcdServer, agent: Agent, key: string, value: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const sent = request(`${server.endpoint}/v2/keys${key}?noValueOnSuccess=true`, { method: 'PUT', agent, headers }, (answer) => {
      answer.resume().on('end', () => (answer.statusCode === 201 ? resolve() : reject(new Error(`${key}: HTTP ${answer.statusCode}`))));
    });
    sent.on('error', reject);
    sent.end(`value=${encodeURIComponent(value.toString())}`);
  });
}

/** Something measured against a v3 server of its own, started before and stopped after. */
function intoFresh(what: (target: EtcdServer) => Promise<Cost>): () => Promise<Cost> {
  return async () => {
    await using target = await EtcdServer.start(to, { args: ['--quota-backend-bytes', String(16 * 2 ** 30)] });
    return await what(target);
  };
}

/** Takes every record of the tree and keeps none; in this process, so without its start and its memory. */
async function readerAlone(server: EtcdServer): Promise<Cost> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  const cluster = connectV2({ endpoints: [server.endpoint], dialTimeout: 5_000, commandTimeout: 60_000 });
  const tree = await openLiveV2({ cluster }, quietRun());
  for await (const _ of tree.records());
  await tree.close();
  await cluster.close();
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - started) / 1000, cpu: (user + system) / 1e6, peak: 0 };
}

async function reading(source: EtcdServer): Promise<ComparisonResult[]> {
  const url = `${source.endpoint}/v2/keys/?recursive=true&sorted=true&quorum=true`;
  const curl = (): Promise<Cost> => measure('curl', ['-sS', '-o', '/dev/null', url]);
  const backup = (): Promise<Cost> => ferry('backup', '--api', 'v2', '--from', source.endpoint, '--to', at('tree.tar'), '--overwrite');
  const results = [
    await compare('reader alone', 'curl -o /dev/null', RUNS, () => readerAlone(source), curl, 2.5),
    await compare('backup --api v2, which packs too', 'curl -o /dev/null', RUNS, backup, curl),
  ];
  const peak = Math.max(...results.map(({ ours }) => ours.peak));
  process.stdout.write(`most memory ${peak.toFixed(0)} MiB (target ${MOST_MEMORY}${peak <= MOST_MEMORY ? '' : ', MISSED'})\n`);
  return results;
}

/**
 * The writer alone is a restore of the same keys from an archive; it takes longer than the reader. The
 * target is for what both do; that every key is read back at the end, as it is by default, is on top.
 */
async function migrating(source: EtcdServer): Promise<ComparisonResult[]> {
  await ferry('migrate', '--from', at('tree.tar'), '--to', at('keys.tar'));
  const migrate = (...flags: string[]): (() => Promise<Cost>) =>
    intoFresh((target) => ferry('migrate', '--from', source.endpoint, '--to', target.endpoint, ...flags));
  const write = intoFresh((target) => ferry('restore', '--from', at('keys.tar'), '--to', target.endpoint));
  return [
    await compare('migrate live to live, --no-proof', 'writer alone', RUNS, migrate('--no-proof'), write, 1.3),
    await compare('migrate live to live, read back and compared', 'writer alone', RUNS, migrate(), write),
  ];
}

const source = await EtcdServer.start(from, { args: ['--enable-v2', '--snapshot-count', '1000000'] });
try {
  const { nodes, values } = await fill(source);
  process.stdout.write(`\n${nodes.toLocaleString('en')} nodes, ${values.toLocaleString('en')} of them values, etcd ${from.version}\n`);
  const results = [...(await reading(source)), ...(await migrating(source))];
  save(join(ROOT, '.cache/bench/live-v2.json'), { node: process.version, from: from.version, to: to.version, nodes, runs: RUNS, results });
} finally {
  await source.stop();
  rmSync(work, { recursive: true, force: true });
}
