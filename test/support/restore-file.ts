import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnvironment, type EtcdBinaries, EtcdServer, type StartOptions } from './etcd.js';

const run = promisify(execFile);

/** `snapshot status`, which checks every page as `bbolt check` does. */
export async function snapshotStatus(
  etcd: EtcdBinaries,
  file: string,
): Promise<{ hash: number; revision: number; totalKey: number; totalSize: number }> {
  const { stdout } = await run(etcd.snapshotTool, ['snapshot', 'status', file, '-w', 'json'], {
    env: { ...cleanEnvironment(), ETCDCTL_API: '3' },
  });
  return JSON.parse(stdout) as { hash: number; revision: number; totalKey: number; totalSize: number };
}

export interface RestoreOptions extends StartOptions {
  readonly skipHashCheck?: boolean;
  /** Further flags of `snapshot restore`. */
  readonly restoreArgs?: readonly string[];
  /** Is given the restored database before a server opens it. */
  readonly beforeStart?: (database: string) => void;
}

/** A server started from a snapshot file by `snapshot restore`; it takes its data dir with it. */
export async function restored(
  etcd: EtcdBinaries,
  file: string,
  { skipHashCheck = false, restoreArgs = [], beforeStart, ...options }: RestoreOptions = {},
): Promise<EtcdServer> {
  const parent = mkdtempSync(join(tmpdir(), 'restored-'));
  const dataDir = join(parent, 'data');
  const unchecked = skipHashCheck ? ['--skip-hash-check'] : [];
  await run(etcd.snapshotTool, ['snapshot', 'restore', file, '--data-dir', dataDir, ...unchecked, ...restoreArgs], {
    env: { ...cleanEnvironment(), ETCDCTL_API: '3' },
  });
  beforeStart?.(join(dataDir, 'member/snap/db'));
  const server = await EtcdServer.start(etcd, { ...options, dataDir });
  // It listens before it serves. With authentication on it answers that a user is missing, which will do.
  await server.etcdctl('--dial-timeout', '30s', '--command-timeout', '30s', 'get', 'x').catch(() => {});
  const stop = server.stop.bind(server);
  server.stop = async () => {
    await stop();
    rmSync(parent, { recursive: true, force: true });
  };
  return server;
}
