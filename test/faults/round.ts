import { numbers } from '../support/v2-workload.js';
import { type Fault, Tally, Unexpected } from './outcome.js';

export interface RoundOptions {
  readonly seed: number;
  /** Until when, in milliseconds of `performance.now()`. */
  readonly until: number;
  /** At least this many cases of each fault, whatever the time. */
  readonly atLeast: number;
  /** The longest a case may take, in milliseconds of `clock`; on any clock it must end within ten times that. */
  readonly patience: number;
  /** Tells time: `processTime` where a case is all work of this process, so that a busy machine alarms nobody. */
  readonly clock: () => number;
  readonly print: (line: string) => void;
}

/** What a round came to. */
export interface RoundResult {
  readonly tally: Tally;
  readonly unexpected: readonly string[];
}

/**
 * Makes faults in turn until the time is over. Every case has its own seed, so that one alone can be
 * made again: `FAULT_CASE="name seed"`.
 */
export async function faultRound(faults: readonly Fault[], options: RoundOptions): Promise<RoundResult> {
  const { seed, until, atLeast, print } = options;
  const tally = new Tally();
  const unexpected: string[] = [];
  const choose = numbers(seed);
  const chosen = process.env.FAULT_CASE?.match(/^(.*) (\d+)$/);
  print(`seed ${seed}, ${faults.length} faults`);
  for (let turn = 0; turn < atLeast || performance.now() < until; turn++) {
    for (const fault of faults) {
      if (turn >= atLeast && performance.now() >= until) break;
      const own = chosen?.[1] === fault.name ? Number(chosen[2]) : choose(2 ** 31);
      if (chosen !== undefined && chosen !== null && chosen[1] !== fault.name) continue;
      const outcome = await oneCase(fault, own, options);
      tally.add(fault.name, outcome.words);
      if (outcome.problem !== undefined) unexpected.push(outcome.problem);
    }
    if (turn % 20 === 19) print(`turn ${turn + 1}: ${tally.total} cases, ${unexpected.length} unexpected`);
  }
  print(tally.table());
  return { tally, unexpected };
}

async function oneCase(fault: Fault, seed: number, { patience, clock, print }: RoundOptions): Promise<{ words: string; problem?: string }> {
  const started = clock();
  try {
    const words = await within(fault.run(numbers(seed)), 10 * patience);
    const took = clock() - started;
    if (took <= patience) return { words };
    throw new Unexpected(`${words}, but it took ${Math.round(took)} ms`);
  } catch (thrown) {
    const problem = `UNEXPECTED ${fault.name} ${seed}: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    print(thrown instanceof Unexpected ? problem : `${problem}\n${(thrown as Error).stack}`);
    return { words: 'UNEXPECTED', problem };
  }
}

async function within<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unexpected(`no end after ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Milliseconds of processor time this process has taken. */
export function processTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
