import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdServer } from './etcd.js';
import { base64, type RangeAnswer, v3 } from './v3-workload.js';

/** Nothing is written to the database but when something makes etcd do so: all the rest is in the WAL alone. */
export const LAZY = ['--backend-batch-interval', '1h', '--backend-batch-limit', '1000000'];

/** Makes etcd write its database: a snapshot does. */
export async function commit(server: EtcdServer, ...flags: string[]): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'etcdferry-commit-'));
  await server.etcdctl(...flags, 'snapshot', 'save', join(dir, 'x.db'));
  rmSync(dir, { recursive: true });
}

/** Starts the same etcd on a copy of a killed member's files, gives it to `use`, and clears both away. */
export async function restarted<T>(killed: EtcdServer, args: readonly string[], use: (server: EtcdServer) => Promise<T>): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'etcdferry-restart-'));
  try {
    cpSync(killed.dataDir, dataDir, { recursive: true });
    await using server = await EtcdServer.start(killed.etcd, { dataDir, args });
    await answering(server);
    return await use(server);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Waits until a server has a leader and has applied what its log holds: a read that asks for all of it is answered. */
export async function answering(server: EtcdServer): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const { exitCode, signalCode } = server.process;
    if (exitCode !== null || signalCode !== null) throw new Error(`etcd ${server.etcd.version} ended (${exitCode ?? signalCode})`);
    const answer = (await v3(server.endpoint, 'kv/range', { key: base64('\0') }).catch(() => ({}))) as Partial<RangeAnswer> & {
      code?: number;
    };
    // What is refused for want of a user, or of space, was answered too.
    if (answer.header !== undefined || (answer.code !== undefined && answer.code !== 14)) return;
    if (Date.now() > deadline) throw new Error(`etcd does not answer: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
