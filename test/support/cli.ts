import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { main } from '../../src/cli/main.js';
import { cleanEnvironment } from './etcd.js';
import { schemaErrors } from './json-schema.js';

const BIN = join(import.meta.dirname, '../../bin/etcdferry.js');

/** What a run of the command line left behind. */
export interface CliResult {
  readonly exit: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly stdin?: Uint8Array;
  /** Runs it as this user, in the group of the same number; takes root. */
  readonly user?: number;
  /** Asked every millisecond; once it says so, the process is killed with SIGKILL. */
  readonly killWhen?: () => boolean;
  /** What to do once it runs, beside waiting for its end. */
  readonly started?: (child: ChildProcess) => Promise<void>;
  /** What to do, once, when stderr says something that matches: a moment that no clock can tell. */
  readonly when?: { readonly says: RegExp; readonly act: (child: ChildProcess) => void };
}

/** Runs `etcdferry` as a process of its own, with none of the caller's ETCD* variables. */
export function etcdferry(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      env: { ...cleanEnvironment(), XDG_STATE_HOME: stateDirectory(), ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.user === undefined ? {} : { uid: options.user, gid: options.user }),
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    let when = options.when;
    child.stderr.on('data', (chunk: Buffer) => {
      stderr.push(chunk);
      if (when?.says.test(Buffer.concat(stderr).toString()) !== true) return;
      when.act(child);
      when = undefined;
    });
    child.on('error', reject);
    options.started?.(child).catch(reject);
    const { killWhen } = options;
    const killer = killWhen === undefined ? undefined : setInterval(() => killWhen() && child.kill('SIGKILL'), 1);
    child.stdin.on('error', () => {});
    child.stdin.end(options.stdin);
    child.on('close', (exit, signal) => {
      clearInterval(killer);
      const result = { exit, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
      const wrong = exit === null ? [] : undocumented(args, result.stdout);
      if (wrong.length > 0) reject(new Error(wrong.join('\n')));
      else resolve(result);
    });
  });
}

let states: string | undefined;

/** Where runs of these tests keep their state: never in the user's own directory. */
function stateDirectory(): string {
  if (states === undefined) {
    const directory = mkdtempSync(join(tmpdir(), 'etcdferry-state-'));
    states = directory;
    process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  }
  return states;
}

/**
 * Runs the command line inside this process: much quicker, for what is decided before anything that
 * takes a process of its own to prove (signals, the exit status as a parent sees it).
 */
export async function etcdferryInside(
  args: readonly string[],
  stdin: Uint8Array = Buffer.alloc(0),
  env: NodeJS.ProcessEnv = {},
): Promise<CliResult> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const outputs = Promise.all([buffer(stdout), text(stderr)]);
  const fake = Object.assign(new EventEmitter(), {
    stdin: Readable.from([stdin]),
    stdout,
    stderr,
    env: { ...cleanEnvironment(), XDG_STATE_HOME: stateDirectory(), ...env },
  });
  const exit = await main(args, fake as unknown as NodeJS.Process);
  stdout.end();
  stderr.end();
  const [out, err] = await outputs;
  const wrong = undocumented(args, out);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  return { exit, signal: null, stdout: out, stderr: err };
}

/** Every JSON document that any test makes the command line print is held to docs/schemas. */
function undocumented(args: readonly string[], stdout: Buffer): string[] {
  if (!args.includes('--json')) return [];
  const documents = stdout
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('{"'));
  return documents.flatMap((line) => schemaErrors(JSON.parse(line)));
}

/** The one JSON document that `--json` printed. */
export function jsonOf(result: CliResult): unknown {
  return JSON.parse(result.stdout.toString());
}
