import { cpSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { batchOf } from '../../src/model/batch.js';
import { NoteBook } from '../../src/model/note.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { createFile } from '../../src/storage/file.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { writeSnapshotFile } from '../../src/writers/snapshot-file.js';
import { type EtcdBinaries, EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { V2Client } from '../support/v2.js';
import { kubernetesLike } from './kubernetes-like.js';
import { type Cost, measure, together } from './measure.js';
import { type ComparisonResult, compare, save } from './report.js';

const ROOT = join(import.meta.dirname, '../..');
const BIN = join(ROOT, 'bin/etcdferry.js');
const KEYS = Number(process.env.BENCH_KEYS ?? 1_000_000);
const V2_KEYS = Math.min(KEYS, 100_000);
const RUNS = Number(process.env.BENCH_RUNS ?? 3);
const LARGE = ['--quota-backend-bytes', String(16 * 2 ** 30)];
const FIRST_REVISION = 2n;
const RECORDS_IN_BATCH = 1_000;

const etcd = newestEtcd();
const env = { ...process.env, ETCDCTL_API: '3' };
const work = mkdtempSync(join(tmpdir(), 'etcdferry-bench-'));
const at = (name: string): string => join(work, name);

const ferry = (...args: string[]): Promise<Cost> => measure(process.execPath, [BIN, ...args, '--quiet', '--overwrite']);
const gzip = (from: string): Promise<Cost> => measure('sh', ['-c', `exec gzip -1 <'${from}' >'${at('file.gz')}'`]);

/** A keyspace as a Kubernetes that never changed anything would have it: a revision a key. */
function keyspace(keys: number): Source {
  return {
    info: {
      kind: 'snapshot-file',
      api: 'v3',
      order: 'key',
      location: 'made for the benchmark',
      revision: FIRST_REVISION + BigInt(keys) - 1n,
      startedAt: Date.now(),
      selection: EVERYTHING,
    },
    notes: new NoteBook(),
    async *leases() {},
    auth: async () => undefined,
    async *records() {
      let records: Buffer[] = [];
      let revision = FIRST_REVISION;
      for (const { key, value } of kubernetesLike(keys)) {
        records.push(encodeKeyValue({ key, value, createRevision: revision, modRevision: revision, version: 1n, lease: 0n }));
        revision++;
        if (records.length < RECORDS_IN_BATCH) continue;
        yield batchOf(records);
        records = [];
      }
      yield batchOf(records);
    },
    close: async () => {},
  };
}

async function files(): Promise<ComparisonResult[]> {
  const restoreWith = (by: EtcdBinaries) => (): Promise<Cost> => {
    rmSync(at('restored'), { recursive: true, force: true });
    return measure(join(by.dir, 'etcdctl'), ['snapshot', 'restore', at('source.db'), '--data-dir', at('restored')], env);
  };
  const backup = (): Promise<Cost> => ferry('backup', '--from', at('source.db'), '--to', at('a.tar'));
  const restore = (): Promise<Cost> => ferry('restore', '--from', at('a.tar'), '--to', at('new.db'));
  return [
    await compare(`.db of ${KEYS} keys to archive`, 'gzip -1 < file.db', RUNS, backup, () => gzip(at('source.db')), 0.6),
    // That of 3.4 reads the keyspace, too; that of 3.5, where it is deprecated, copies the file and its hash.
    await compare(`archive of ${KEYS} keys to .db`, 'etcdctl snapshot restore, 3.4', RUNS, restore, restoreWith(etcdWithV2()), 0.7),
    await compare(`archive of ${KEYS} keys to .db`, 'etcdctl snapshot restore, 3.5', RUNS, restore, restoreWith(etcd)),
  ];
}

async function viaSnapshot(): Promise<ComparisonResult> {
  rmSync(at('restored'), { recursive: true, force: true });
  await measure(etcd.snapshotTool, ['snapshot', 'restore', at('source.db'), '--data-dir', at('restored')], env);
  await using server = await EtcdServer.start(etcd, { dataDir: at('restored'), args: LARGE });
  // It listens long before it has read a large keyspace.
  await server.etcdctl('--dial-timeout', '60s', '--command-timeout', '60s', 'get', 'x');
  const backup = (): Promise<Cost> => ferry('backup', '--from', server.endpoint, '--via', 'snapshot', '--to', at('a.tar'));
  const saved = async (): Promise<Cost> => {
    rmSync(at('s.db'), { force: true });
    const args = ['--endpoints', server.endpoint, 'snapshot', 'save', at('s.db'), '--command-timeout=5m'];
    return together(await measure(join(etcd.dir, 'etcdctl'), args, env), await gzip(at('s.db')));
  };
  return await compare(`backup --via snapshot of ${KEYS} keys`, 'etcdctl snapshot save, then gzip -1', RUNS, backup, saved, 0.8);
}

async function migration(): Promise<ComparisonResult> {
  const old = etcdWithV2();
  {
    await using server = await EtcdServer.start(old, { dataDir: at('v2'), args: ['--enable-v2', '--snapshot-count', '40000'] });
    const nodes = function* (): Iterable<[string, string]> {
      for (const { key, value } of kubernetesLike(V2_KEYS)) yield [key.toString(), value.toString()];
    };
    await new V2Client(server.endpoint).putMany(nodes(), 64);
    await server.kill();
  }
  // Nor does it read back what it wrote.
  const ours = (): Promise<Cost> => ferry('migrate', '--from', at('v2'), '--to', at('m.db'), '--no-proof');
  // It writes into the directory itself.
  const theirs = (): Promise<Cost> => {
    rmSync(at('v2-copy'), { recursive: true, force: true });
    cpSync(at('v2'), at('v2-copy'), { recursive: true });
    return measure(join(old.dir, 'etcdctl'), ['migrate', '--data-dir', at('v2-copy')], env);
  };
  return await compare(`v2 data dir of ${V2_KEYS} keys to .db`, 'etcdctl migrate', RUNS, ours, theirs, 1);
}

try {
  const file = await createFile(at('source.db'), { overwrite: false });
  await writeSnapshotFile(keyspace(KEYS), file, { tmpDir: work }, quietRun());
  process.stdout.write(
    `\n${KEYS.toLocaleString('en')} keys in a snapshot file of ${(statSync(at('source.db')).size / 2 ** 20).toFixed(0)} MiB\n`,
  );
  const results = [...(await files()), await viaSnapshot(), await migration()];
  save(join(ROOT, '.cache/bench/files.json'), { node: process.version, etcd: etcd.version, runs: RUNS, results });
} finally {
  rmSync(work, { recursive: true, force: true });
}
