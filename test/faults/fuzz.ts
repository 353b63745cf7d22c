import { Session } from 'node:inspector/promises';
import { numbers } from '../support/v2-workload.js';
import { mutate, pick } from './mutate.js';

/** A parser under test: whatever bytes it is given, it returns or throws a FerryError. */
export interface Parser {
  readonly name: string;
  /** Real inputs to begin with. */
  readonly corpus: readonly Buffer[];
  readonly parse: (bytes: Buffer) => unknown;
}

export interface FuzzResult {
  readonly inputs: number;
  /** Inputs that reached code which none before them had. */
  readonly kept: number;
  readonly problems: readonly string[];
}

/** Inputs between two looks at what was reached: a look takes as long as hundreds of small inputs. */
const BATCH = 64;

/**
 * Feeds a parser with damaged copies of real inputs, and with copies of those that got further:
 * V8's block coverage of `src/` tells which did.
 *
 * @param isExpected true for what a parser may throw
 */
export async function fuzz(
  { name, corpus, parse }: Parser,
  {
    seed,
    milliseconds,
    isExpected,
  }: { readonly seed: number; readonly milliseconds: number; readonly isExpected: (thrown: unknown) => boolean },
): Promise<FuzzResult> {
  const random = numbers(seed);
  const inputs = [...corpus];
  const reached = new Set<string>();
  const problems: string[] = [];
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  const until = performance.now() + milliseconds;
  let [count, kept] = [0, 0];
  try {
    while (performance.now() < until) {
      const batch = Array.from({ length: BATCH }, () => mutate(pick(random, inputs), pick(random, inputs), random).bytes);
      for (const bytes of batch) {
        count++;
        const started = performance.now();
        try {
          await parse(Buffer.from(bytes));
        } catch (thrown) {
          if (!isExpected(thrown))
            problems.push(`${name}: ${String((thrown as Error).stack ?? thrown)}\n${bytes.toString('base64').slice(0, 4000)}`);
        }
        if (performance.now() - started > 10_000) problems.push(`${name}: over 10 s\n${bytes.toString('base64').slice(0, 4000)}`);
      }
      if (await isNew(session, reached)) {
        inputs.push(...batch.filter((bytes) => bytes.length > 0 && bytes.length < 1 << 20).slice(0, 8));
        kept++;
      }
      if (problems.length > 5) break;
    }
  } finally {
    session.disconnect();
  }
  return { inputs: count, kept, problems };
}

async function isNew(session: Session, reached: Set<string>): Promise<boolean> {
  const before = reached.size;
  const { result } = await session.post('Profiler.takePreciseCoverage');
  for (const { url, functions } of result) {
    if (!url.includes('/src/')) continue;
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) if (count > 0) reached.add(`${url}:${startOffset}:${endOffset}`);
    }
  }
  return reached.size > before;
}
