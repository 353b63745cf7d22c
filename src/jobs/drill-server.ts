import { connect, createServer } from 'node:net';
import { arch } from 'node:os';
import { join, resolve } from 'node:path';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { EtcdTools } from './drill-tools.js';
import { GuardedProcess } from './guarded-process.js';

/** Longest wait for a server to load what it was given and elect itself, in milliseconds. */
export const START_TIMEOUT = 120_000;
const LOOK_EVERY = 100;

/** None of ours: etcd would take its settings from it. Its architectures of the second tier want to be asked for. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  ETCDCTL_API: '3',
  ...(arch() === 'x64' ? {} : { ETCD_UNSUPPORTED_ARCH: arch() }),
};

/** A running server that was restored. */
export interface RestoredServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly process: GuardedProcess;
}

/** A snapshot file to be restored. */
export interface SnapshotPlace {
  readonly path: string;
  readonly skipHashCheck: boolean;
}

/**
 * Restores a snapshot file with etcd's own tool, and starts that etcd on it, on loopback ports nobody else uses.
 *
 * @param directory to work in; removed with the server should we be gone before it
 * @throws FerryError `failed` when one of them fails, or the server does not serve in time
 */
export async function startRestored(tools: EtcdTools, file: SnapshotPlace, directory: string, run: RunContext): Promise<RestoredServer> {
  const dataDir = join(directory, 'data');
  const [clientPort, peerPort] = await freePorts();
  const [endpoint, peer] = [`http://127.0.0.1:${clientPort}`, `http://127.0.0.1:${peerPort}`];
  const member = ['--name', 'drill', '--initial-cluster', `drill=${peer}`, '--initial-advertise-peer-urls', peer, '--data-dir', dataDir];
  const unchecked = file.skipHashCheck ? ['--skip-hash-check'] : [];
  run.progress({ phase: `restoring with ${tools.restoreName}`, records: 0, bytes: 0 });
  {
    const args = ['snapshot', 'restore', resolve(file.path), ...member, ...unchecked];
    await using restoring = new GuardedProcess(tools.restore, args, directory, ENVIRONMENT);
    await restoring.done(`${tools.restoreName} snapshot restore`, run.signal);
  }
  const urls = ['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint, '--listen-peer-urls', peer];
  run.progress({ phase: 'starting etcd', records: 0, bytes: 0 });
  // Nobody will need what it writes.
  const careless = isBefore35(tools.version) ? [] : ['--unsafe-no-fsync'];
  const process = new GuardedProcess(tools.etcd, [...member, ...urls, ...careless, '--log-level', 'error'], directory, ENVIRONMENT);
  try {
    await untilListening(process, clientPort, run.signal);
    return { endpoint, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
  } catch (thrown) {
    await process[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function untilListening(process: GuardedProcess, port: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT;
  while (!(await isListening(port))) {
    signal.throwIfAborted();
    if (process.ended) throw new FerryError('failed', `the restored etcd ended at once: ${process.lastWords}`);
    if (performance.now() > deadline) {
      throw new FerryError('failed', `the restored etcd does not serve after ${START_TIMEOUT / 1000} s: ${process.lastWords}`);
    }
    await new Promise((done) => setTimeout(done, LOOK_EVERY));
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect(port, '127.0.0.1');
    const end = (is: boolean): void => {
      socket.destroy();
      answer(is);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** Two that nobody listens on now. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const;
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((found, fail) => {
          server.once('error', fail);
          server.listen(0, '127.0.0.1', () => found((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports as [number, number];
}

function isBefore35(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < 3 || (major === 3 && minor < 5);
}
