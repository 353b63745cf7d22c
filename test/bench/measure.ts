import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What one run of a command cost. */
export interface Cost {
  /** Seconds. */
  readonly wall: number;
  /** Seconds of all processors, user and system. */
  readonly cpu: number;
  /** Most memory resident at once, in MiB. */
  readonly peak: number;
}

const POLL = 10;
const TICKS_PER_SECOND = 100;

/**
 * Runs a command to its end and says what it cost. CPU and memory are read from /proc while it runs
 * (Linux only): the kernel keeps the peak, so only the last few milliseconds can be missed.
 *
 * @throws Error when it ends with another status than 0
 */
export function measure(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Cost> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let [cpu, peak, stderr] = [0, 0, ''];
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-2000);
    });
    const timer = setInterval(() => {
      const seen = child.pid === undefined ? undefined : usage(child.pid);
      if (seen !== undefined) [cpu, peak] = [seen.cpu, seen.peak];
    }, POLL);
    child.on('error', reject);
    child.on('close', (status) => {
      clearInterval(timer);
      if (status === 0) resolve({ wall: (performance.now() - started) / 1000, cpu, peak });
      else reject(new Error(`${command} ${args.join(' ')}: status ${status}\n${stderr}`));
    });
  });
}

/** The cost of one after the other. */
export function together(...costs: readonly Cost[]): Cost {
  return {
    wall: costs.reduce((sum, cost) => sum + cost.wall, 0),
    cpu: costs.reduce((sum, cost) => sum + cost.cpu, 0),
    peak: Math.max(...costs.map((cost) => cost.peak)),
  };
}

function usage(pid: number): { cpu: number; peak: number } | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return peak === undefined
      ? undefined
      : { cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, peak: Number(peak) / 1024 };
  } catch {
    return undefined;
  }
}
