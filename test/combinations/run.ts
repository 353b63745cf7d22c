import { Chance } from './chance.js';
import type { Ground } from './ground.js';
import { type Plan, planOf } from './plan.js';
import { type TreePlan, treePlanOf } from './plan-tree.js';
import { play } from './play.js';
import { playTree } from './play-tree.js';
import { Mismatch, Runner } from './runner.js';
import { shrink } from './shrink.js';

export interface RoundOptions {
  readonly seed: number;
  readonly count: number;
  /** Milliseconds of `performance.now()`. */
  readonly until: number;
  readonly print: (text: string) => void;
  /** After so many failures the round ends; default 5. */
  readonly mostFailures?: number;
}

const MOST_SHRINKING = 200;

/** Makes one combination for each seed from the first one on; the failures, each as small as goes. */
export async function combinations(ground: Ground, { seed, count, until, print, mostFailures = 5 }: RoundOptions): Promise<string[]> {
  const failures: string[] = [];
  const commands = new Map<string, number>();
  let made = 0;
  for (; made < count && performance.now() < until && failures.length < mostFailures; made++) {
    const plan = anyPlan(new Chance(seed + made), ground.sources.length);
    const problem = await problemOf(plan, ground, (command) => commands.set(command, (commands.get(command) ?? 0) + 1));
    if ((made + 1) % 100 === 0) print(`${made + 1} combinations, ${failures.length} not as the model says`);
    if (problem === undefined) continue;
    ground.expectServers();
    const failure = await described(seed + made, plan, problem, ground);
    print(failure);
    failures.push(failure);
  }
  const counts = [...commands].map(([command, times]) => `${command} ${times}`).join(', ');
  print(`seed ${seed}: ${made} combinations, ${failures.length} not as the model says; commands: ${counts}`);
  return failures;
}

type AnyPlan = Plan | TreePlan;

function anyPlan(chance: Chance, etcds: number): AnyPlan {
  return chance.percent(65) ? planOf(chance, etcds) : treePlanOf(chance, etcds);
}

async function problemOf(plan: AnyPlan, ground: Ground, count: (command: string) => void = () => {}): Promise<string | undefined> {
  try {
    const runner = new Runner(ground, count);
    await runner.during(() => ('api' in plan ? playTree(plan, runner) : play(plan, runner)));
    return undefined;
  } catch (thrown) {
    if (thrown instanceof Mismatch) return thrown.message;
    throw thrown;
  }
}

async function described(seed: number, plan: AnyPlan, problem: string, ground: Ground): Promise<string> {
  const small = await shrink(plan, async (smaller) => (await problemOf(smaller, ground)) !== undefined, MOST_SHRINKING);
  const smallest = (await problemOf(small, ground)) ?? problem;
  return [`COMBINATION_SEED=${seed} COMBINATIONS=1: ${smallest}`, `made as small as goes: ${JSON.stringify(small)}`, ''].join('\n');
}
