import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Cost } from './measure.js';

/** Runs of one thing and of its peer, in turn. */
export interface Comparison {
  readonly name: string;
  readonly ours: readonly Cost[];
  readonly peer: string;
  readonly theirs: readonly Cost[];
  /** Most that ours may take of the peer's wall time; only told, never enforced. */
  readonly target?: number;
}

export interface ComparisonResult {
  readonly name: string;
  readonly peer: string;
  readonly ours: Cost;
  readonly theirs: Cost;
  /** Median of the ratios of wall time, pair by pair. */
  readonly ratio: number;
  readonly target: number | null;
}

/** Runs two things in turn, so that a machine that slows down slows both. */
export async function compare(
  name: string,
  peer: string,
  runs: number,
  ours: () => Promise<Cost>,
  theirs: () => Promise<Cost>,
  target?: number,
): Promise<ComparisonResult> {
  const pairs: [Cost, Cost][] = [];
  for (let run = 0; run < runs; run++) {
    const [first, second] = run % 2 === 0 ? [ours, theirs] : [theirs, ours];
    const [a, b] = [await first(), await second()];
    pairs.push(run % 2 === 0 ? [a, b] : [b, a]);
  }
  const result = {
    name,
    peer,
    ours: median(pairs.map(([cost]) => cost)),
    theirs: median(pairs.map(([, cost]) => cost)),
    ratio: middle(pairs.map(([a, b]) => a.wall / b.wall)),
    target: target ?? null,
  };
  process.stdout.write(`${line(result)}\n`);
  return result;
}

/** Writes results as JSON, to be read beside another run's. */
export function save(path: string, results: object): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
  process.stdout.write(`written to ${path}\n`);
}

function line({ name, peer, ours, theirs, ratio, target }: ComparisonResult): string {
  const show = (cost: Cost): string => `${cost.wall.toFixed(2)} s, cpu ${cost.cpu.toFixed(2)} s, ${cost.peak.toFixed(0)} MiB`;
  const aim = target === null ? '' : ` (target ${target}${ratio <= target ? '' : ', MISSED'})`;
  return `${name}\n    ${show(ours)}\n  beside ${peer}\n    ${show(theirs)}\n  ratio of wall time ${ratio.toFixed(2)}${aim}`;
}

function median(costs: readonly Cost[]): Cost {
  return { wall: middle(costs.map((c) => c.wall)), cpu: middle(costs.map((c) => c.cpu)), peak: Math.max(...costs.map((c) => c.peak)) };
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[half] as number) : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}
