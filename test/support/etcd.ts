import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const CACHE = join(import.meta.dirname, '../../.cache/etcd');

/** A set of real etcd binaries of one version. */
export interface EtcdBinaries {
  /** As `etcd --version` says it: `3.4.23`. */
  readonly version: string;
  /** First two parts: `3.4`. */
  readonly minor: string;
  readonly dir: string;
  /** `etcdutl` where the version has it, else `etcdctl`: both take `snapshot restore`. */
  readonly snapshotTool: string;
}

/**
 * Every etcd found or fetched by `fetch-etcd.sh`, oldest first.
 *
 * @throws Error when there is none: integration tests never skip
 */
export function etcdVersions(): EtcdBinaries[] {
  const found = existsSync(CACHE) ? readdirSync(CACHE).filter((name) => /^\d+\.\d+\.\d+/.test(name)) : [];
  if (found.length === 0)
    throw new Error('no etcd server for the tests: run `make test`, or test/support/fetch-etcd.sh (it says how to get one)');
  return found.sort(byVersion).map((version) => {
    const dir = join(CACHE, version);
    const utl = join(dir, 'etcdutl');
    return { version, minor: version.split('.').slice(0, 2).join('.'), dir, snapshotTool: existsSync(utl) ? utl : join(dir, 'etcdctl') };
  });
}

/** The newest etcd found that still serves the v2 API. */
export function etcdWithV2(): EtcdBinaries {
  const found = etcdVersions().filter((etcd) => etcd.minor === '3.4' || etcd.minor === '3.3');
  const newest = found.at(-1);
  if (newest === undefined) throw new Error('these tests need etcd 3.4 (the v2 API): set ETCD_BIN_DIRS, or let fetch-etcd.sh fetch it');
  return newest;
}

/** The newest etcd found. */
export function newestEtcd(): EtcdBinaries {
  return etcdVersions().at(-1) as EtcdBinaries;
}

export interface StartOptions {
  /** Further flags of etcd: `--enable-v2`, `--auto-compaction-retention=…`. */
  readonly args?: readonly string[];
  /** An existing data dir; else a new one that goes when the server is stopped. */
  readonly dataDir?: string;
  /** `https` needs the flags that name the certificates in `args`. */
  readonly scheme?: 'http' | 'https';
  readonly clientPort?: number;
  /** The cluster's id follows from it. */
  readonly peerPort?: number;
}

/**
 * Flags for an etcd with a quota that holds to the byte: it counts what its file has, which otherwise is written every
 * 100 ms, or later on a busy machine.
 *
 * @param bytes of its file
 */
export function strictQuota(bytes: number): string[] {
  return ['--quota-backend-bytes', String(bytes), '--backend-batch-limit', '1'];
}

/** A running etcd. Stopped and cleaned up by `stop()`, or by `await using`. */
export class EtcdServer implements AsyncDisposable {
  readonly etcd: EtcdBinaries;
  readonly dataDir: string;
  readonly endpoint: string;
  readonly port: number;
  readonly process: ChildProcess;
  readonly #ownsDir: boolean;
  readonly #log: () => string;

  private constructor(
    etcd: EtcdBinaries,
    dataDir: string,
    ownsDir: boolean,
    endpoint: string,
    port: number,
    child: ChildProcess,
    log: () => string,
  ) {
    this.etcd = etcd;
    this.dataDir = dataDir;
    this.#ownsDir = ownsDir;
    this.endpoint = endpoint;
    this.port = port;
    this.process = child;
    this.#log = log;
  }

  /** Starts a one-member cluster on loopback and waits until it serves. */
  static async start(etcd: EtcdBinaries, options: StartOptions = {}): Promise<EtcdServer> {
    const ownsDir = options.dataDir === undefined;
    const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), `etcd-${etcd.version}-`));
    const [port, peerPort] = [options.clientPort ?? (await freePort()), options.peerPort ?? (await freePort())];
    const endpoint = `${options.scheme ?? 'http'}://127.0.0.1:${port}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    const args = [
      ...['--name', 'default', '--data-dir', dataDir, '--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
      ...(etcd.minor === '3.4' ? [] : ['--unsafe-no-fsync']),
      ...['--log-level', 'warn', ...(options.args ?? [])],
    ];
    const child = spawn(join(etcd.dir, 'etcd'), args, { stdio: ['ignore', 'pipe', 'pipe'], env: cleanEnvironment() });
    let log = '';
    const keep = (chunk: Buffer): void => {
      log = (log + chunk.toString()).slice(-8192);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    const server = new EtcdServer(etcd, dataDir, ownsDir, endpoint, port, child, () => log);
    await server.#ready();
    return server;
  }

  async #ready(): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (Date.now() < deadline) {
      if (this.process.exitCode !== null) throw new Error(`etcd ${this.etcd.version} ended at once:\n${this.#log()}`);
      if (await listening(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`etcd ${this.etcd.version} does not answer on ${this.endpoint}:\n${this.#log()}`);
  }

  /** Runs etcdctl (v3) against this server and returns what it printed. */
  async etcdctl(...args: string[]): Promise<string> {
    return (await this.run('etcdctl', ['--endpoints', this.endpoint, ...args], { ETCDCTL_API: '3' })).trimEnd();
  }

  /** Runs etcdctl (v2) against this server and returns what it printed. */
  async etcdctl2(...args: string[]): Promise<string> {
    return (await this.run('etcdctl', ['--endpoints', this.endpoint, ...args], { ETCDCTL_API: '2' })).trimEnd();
  }

  /** Runs a binary of this server's version. */
  async run(binary: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const options = { env: { ...cleanEnvironment(), ...env }, maxBuffer: 1 << 30 };
    const { stdout } = await promisify(execFile)(join(this.etcd.dir, binary), args, options);
    return stdout;
  }

  /** Makes root, with this password, and turns authentication on. */
  async enableAuth(password: string): Promise<void> {
    await this.etcdctl('user', 'add', `root:${password}`);
    await this.etcdctl('user', 'grant-role', 'root', 'root');
    await this.etcdctl('auth', 'enable');
  }

  /** Ends the process (SIGTERM, or the signal given) and waits; the data dir stays. */
  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill(signal);
    await ended;
  }

  /** Ends the process and removes the data dir if it was made for this server. */
  async stop(): Promise<void> {
    await this.kill('SIGKILL');
    if (this.#ownsDir) rmSync(this.dataDir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A TCP port of loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The environment without what would steer etcd, etcdctl or etcdferry. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ETCD/.test(name)));
}

async function listening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function byVersion(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
