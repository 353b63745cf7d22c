import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment, freePort } from './etcd.js';

const PROCESS = join(import.meta.dirname, 's3-server-process.ts');

/** Credentials as the AWS SDK finds them in the environment; of another key the server refuses. */
export function s3Environment(key = 'S3RVER'): Record<string, string> {
  // Nothing is to be asked of the machine's own cloud, nor read from its user's files.
  const nowhere = { AWS_EC2_METADATA_DISABLED: 'true', AWS_CONFIG_FILE: '/nonexistent', AWS_SHARED_CREDENTIALS_FILE: '/nonexistent' };
  return { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: 'S3RVER', ...nowhere };
}

/** An S3 server over HTTP with a bucket `bucket`, and others; see s3-server-process.ts. Ended by `await using`. */
export class S3Server implements AsyncDisposable {
  readonly directory: string;
  readonly port: number;
  #process: ChildProcess | undefined;

  private constructor(directory: string, port: number) {
    this.directory = directory;
    this.port = port;
  }

  static async start(): Promise<S3Server> {
    const server = new S3Server(mkdtempSync(join(tmpdir(), 'etcdferry-s3-')), await freePort());
    await server.restart();
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it again over the same directory and port. */
  async restart(): Promise<void> {
    // s3rver's continuation tokens are made with DES.
    const args = ['--openssl-legacy-provider', '--import', 'tsx', PROCESS, this.directory, String(this.port)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env: cleanEnvironment() });
    this.#process = child;
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the S3 server ended at once (${code})`)));
    });
  }

  /** Ends it at once, as a power cut would. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** Puts empty objects onto its disk. @param folder `bucket/prefix` */
  fill(folder: string, names: readonly string[]): void {
    const path = join(this.directory, folder);
    mkdirSync(path, { recursive: true });
    for (const name of names) {
      for (const [part, content] of [
        ['object', ''],
        ['metadata.json', '{}'],
        ['object.md5', 'd41d8cd98f00b204e9800998ecf8427e'],
      ] as const)
        writeFileSync(join(path, `${name}._S3rver_${part}`), content);
    }
  }

  /** The parts of uploads that were begun and neither finished nor aborted, as they lie on its disk. */
  unfinishedParts(): string[] {
    const uploads = join(this.directory, 'bucket', '._S3rver_uploads');
    return existsSync(uploads)
      ? readdirSync(uploads, { recursive: true })
          .map(String)
          .filter((name) => /\/\d+$/.test(name))
      : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
