import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';

const TOOLS = join(import.meta.dirname, '../../.cache/tools');
const execute = promisify(execFile);

export type Tool = 'age' | 'age-keygen' | 'promtool';

/** Runs a program that fetch-tools.sh found; what it prints to stdout. Rejects when it fails. */
export async function tool(name: Tool, args: readonly string[], stdin?: Uint8Array): Promise<Buffer> {
  const child = spawn(join(TOOLS, name), args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);
  const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  const [out, err, exit] = await Promise.all([buffer(child.stdout), buffer(child.stderr), ended]);
  if (exit !== 0) throw new Error(`${name} ${args.join(' ')}: exit ${exit}\n${err}${out}`);
  return out;
}

/** An identity made by age-keygen. */
export interface AgeKey {
  readonly file: string;
  readonly identity: string;
  readonly recipient: string;
}

/** Makes a new identity in a file. */
export async function ageKey(file: string): Promise<AgeKey> {
  await execute(join(TOOLS, 'age-keygen'), ['-o', file]);
  const text = readFileSync(file, 'utf8');
  const recipient = /public key: (age1\S+)/.exec(text)?.[1];
  const identity = /^AGE-SECRET-KEY-1\S+$/m.exec(text)?.[0];
  if (recipient === undefined || identity === undefined) throw new Error(`age-keygen wrote ${text}`);
  return { file, identity, recipient };
}

/** Runs age, which asks a terminal and nobody else for a passphrase: `script` gives it one. */
export async function ageWithPassphrase(args: readonly string[], passphrase: string, times: number): Promise<void> {
  const command = [join(TOOLS, 'age'), ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let [said, asked] = ['', 0];
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    for (; asked < Math.min(times, said.match(/passphrase/g)?.length ?? 0); asked++) child.stdin.write(`${passphrase}\n`);
  });
  const exit = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (exit !== 0) throw new Error(`age ${args.join(' ')}: exit ${exit}\n${said}`);
}
