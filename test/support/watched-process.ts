import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from './etcd.js';

const BIN = join(import.meta.dirname, '../../bin/etcdferry.js');
/** Milliseconds between two looks at the process list. */
const LOOK_EVERY = 25;
/** How often a process is looked at: at first it has the command line of its parent, then its own. */
const LOOKS = 4;

/** What a run showed to others: its outputs, and whatever stood in the process list meanwhile. */
export interface WatchedResult {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly processList: string;
}

/** Runs `etcdferry`, and looks at the command lines of all processes again and again while it runs. */
export function etcdferryWatched(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  stdin: Uint8Array = Buffer.alloc(0),
): Promise<WatchedResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], { env: { ...cleanEnvironment(), ...env } });
    const [stdout, stderr, seen]: [Buffer[], Buffer[], Set<string>] = [[], [], new Set()];
    const looks = new Map<string, number>();
    const look = (): void => {
      for (const line of commandLines(looks)) seen.add(line);
    };
    look();
    const timer = setInterval(look, LOOK_EVERY);
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', reject);
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
    child.on('close', (exit) => {
      clearInterval(timer);
      const text = (chunks: Buffer[]): string => Buffer.concat(chunks).toString('latin1');
      resolve({ exit, stdout: text(stdout), stderr: text(stderr), processList: [...seen].join('\n') });
    });
  });
}

function commandLines(looks: Map<string, number>): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && (looks.get(name) ?? 0) < LOOKS)
    .map((pid) => {
      looks.set(pid, (looks.get(pid) ?? 0) + 1);
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
}
