import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CliResult } from '../support/cli.js';
import { cleanEnvironment } from '../support/etcd.js';
import { Unexpected } from './outcome.js';

const BIN = join(import.meta.dirname, '../../bin/etcdferry.js');
/** No run may take more, whatever is done to it. In MiB. */
const MOST_MEMORY = 300;
const LONGEST = 120_000;
/** Where migrations remember what they made. */
const STATE = join(tmpdir(), `etcdferry-faults-${process.pid}`);

export interface FaultRun extends CliResult {
  /** MiB. */
  readonly peak: number;
  readonly milliseconds: number;
}

/**
 * Runs the command line as a process of its own, watching its memory.
 *
 * @throws Unexpected when it takes 300 MiB or does not end
 */
export function faultRun(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onStart: (kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<FaultRun> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      env: { ...cleanEnvironment(), XDG_STATE_HOME: STATE, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    let peak = 0;
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    const watch = setInterval(() => {
      peak = Math.max(peak, peakOf(child.pid));
    }, 20);
    const limit = setTimeout(() => child.kill('SIGKILL'), LONGEST);
    onStart((signal) => void child.kill(signal));
    child.on('error', reject);
    child.on('close', (exit, signal) => {
      clearInterval(watch);
      clearTimeout(limit);
      const milliseconds = performance.now() - started;
      const what = `etcdferry ${args.join(' ')}`;
      if (milliseconds >= LONGEST) reject(new Unexpected(`${what}: no end after ${LONGEST} ms`));
      else if (peak >= MOST_MEMORY) reject(new Unexpected(`${what}: took ${Math.round(peak)} MiB`));
      else resolve({ exit, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString(), peak, milliseconds });
    });
  });
}

function peakOf(pid: number | undefined): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
