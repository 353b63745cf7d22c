import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { FerryError } from '../../src/errors.js';
import { numbers } from '../support/v2-workload.js';
import { BlockCoverage } from './block-coverage.js';
import { mutate, pick, type Random } from './mutate.js';
import { INTERNAL } from './outcome.js';

/** A parser under test: whatever bytes it is given, it returns or throws a FerryError. */
export interface Parser {
  readonly name: string;
  /** Real inputs to begin with. */
  readonly corpus: readonly Buffer[];
  readonly parse: (bytes: Buffer) => unknown;
}

const LONG = process.env.SOAK !== undefined;
/** A moment for each parser always; `SOAK=1` gives each `FUZZ_SECONDS` (60), `FAULT_SEED` another seed. */
const MILLISECONDS = LONG ? Number(process.env.FUZZ_SECONDS ?? 60) * 1000 : 200;
const SEED = Number(process.env.FAULT_SEED ?? (LONG ? Date.now() % 1e9 : 42));
/** `FUZZ_NAMES=regex` chooses some of the parsers. */
const CHOSEN = new RegExp(process.env.FUZZ_NAMES ?? '');
/** What reached new code in long rounds, kept for the next one. */
const KEPT = join(import.meta.dirname, '../../.cache/fuzz');

/** A look at what was reached takes as long as hundreds of small inputs: between two looks inputs take this long, in milliseconds. */
const BATCH_TIME = 150;
const [SMALLEST_BATCH, LARGEST_BATCH] = [8, 4096];
/** Inputs of one batch that are looked for by themselves. */
const MOST_NEW = 8;
const LONGEST_KEPT = 1 << 19;
/** A parser with so many is not tried further. */
const MOST_PROBLEMS = 5;
/** No input may take longer, in milliseconds, or more memory, in bytes. */
const LONGEST = 10_000;
const MOST_MEMORY = 256 << 20;
/** A message has to be read by a person. */
const LONGEST_MESSAGE = 2_000;

/** Long enough for all that `fuzzEach` does with so many parsers, in milliseconds. */
export function patienceFor(parsers: number): number {
  return 60_000 + parsers * (2 * MILLISECONDS + 30_000);
}

/**
 * Feeds each parser in turn, and tells what was done to the console, and to the file `FUZZ_LOG`.
 *
 * @returns what must not have happened
 */
export async function fuzzEach(parsers: readonly Parser[]): Promise<string[]> {
  const problems: string[] = [];
  for (const parser of parsers.filter(({ name }) => CHOSEN.test(name))) {
    const fuzzing = new Fuzzing(parser, SEED);
    await fuzzing.run(MILLISECONDS);
    const line = `fuzz, seed ${SEED}: ${fuzzing.account()}`;
    console.log(line);
    if (process.env.FUZZ_LOG !== undefined) appendFileSync(process.env.FUZZ_LOG, `${[line, ...fuzzing.problems].join('\n')}\n`);
    problems.push(...fuzzing.problems);
  }
  return problems;
}

/** Several parsers in turn; what the last of those that refuse it throws. */
export function either(...parsers: readonly ((bytes: Buffer) => unknown)[]): Parser['parse'] {
  return async (bytes) => {
    let failure: unknown;
    for (const parse of parsers) {
      try {
        await parse(bytes);
      } catch (thrown) {
        if (!(thrown instanceof FerryError)) throw thrown;
        failure = thrown;
      }
    }
    if (failure !== undefined) throw failure;
  };
}

/** An input is what these numbers, taken in turn for every choice, make of the corpus: so fast-check can shrink it. */
const choices = fc.array(fc.nat(), { minLength: 3, maxLength: 30, size: 'max' });

/**
 * Feeds one parser with damaged copies of real inputs, and with copies of those that got further:
 * V8's block coverage of `src/` tells which did. What fails is made as small as fast-check can make it.
 */
class Fuzzing {
  readonly problems: string[] = [];
  readonly #parser: Parser;
  readonly #seed: number;
  readonly #inputs: Buffer[];
  readonly #folder: string;
  #count = 0;
  #added = 0;
  #batch = SMALLEST_BATCH;
  #reached = 0;

  constructor(parser: Parser, seed: number) {
    this.#parser = parser;
    this.#seed = seed;
    this.#folder = join(KEPT, parser.name.replace(/[^\w.]+/g, '-'));
    this.#inputs = [...parser.corpus, ...(LONG ? keptIn(this.#folder) : [])].filter(({ length }) => length > 0);
  }

  account(): string {
    const { name } = this.#parser;
    return `${name}: ${this.#count} inputs, ${this.#reached} blocks of code reached, ${this.#added} inputs kept for that, ${this.problems.length} problems`;
  }

  async run(milliseconds: number): Promise<void> {
    using coverage = await BlockCoverage.start();
    for (const input of this.#inputs) this.#note(await this.#try(input), input);
    const reached = await coverage.take();
    const until = performance.now() + milliseconds;
    while ((this.#count === 0 || performance.now() < until) && this.problems.length < MOST_PROBLEMS) {
      // Without a turn of the event loop what weak references point to is kept, in memory by the megabyte.
      await setImmediate();
      const started = performance.now();
      const batch = await this.#runBatch();
      const perInput = (performance.now() - started) / batch.length;
      const fresh = without(await coverage.take(), reached);
      for (const block of fresh) reached.add(block);
      if (fresh.size > 0) await this.#keepNew(batch, fresh, coverage);
      this.#batch = Math.max(SMALLEST_BATCH, Math.min(LARGEST_BATCH, Math.round(BATCH_TIME / perInput)));
    }
    this.#reached = reached.size;
  }

  /** Tries as many inputs as a batch has. @returns them */
  async #runBatch(): Promise<Buffer[]> {
    const batch: Buffer[] = [];
    const property = fc.asyncProperty(choices, async (list) => {
      const input = this.#inputOf(list);
      batch.push(input);
      const problem = await this.#try(input);
      if (problem !== undefined) throw new Error(problem);
    });
    const { failed, counterexample, errorInstance } = await fc.check(property, { numRuns: this.#batch, seed: this.#seed + this.#count });
    this.#count += batch.length;
    if (failed) this.#note((errorInstance as Error).message, this.#inputOf((counterexample as [number[]])[0]));
    return batch;
  }

  #inputOf(list: readonly number[]): Buffer {
    const random = choosing(list);
    // What was found last is what most is to be found behind.
    const recent = this.#inputs.slice(-16);
    const any = (): Buffer => pick(random, random(3) === 0 ? recent : this.#inputs);
    let bytes = any();
    for (let n = 1 + random(4); n > 0 && bytes.length > 0; n--) bytes = mutate(bytes, any(), random).bytes;
    return bytes;
  }

  /** @returns what must not be, in words */
  async #try(input: Buffer): Promise<string | undefined> {
    const started = performance.now();
    const memory = process.memoryUsage.rss();
    let problem: string | undefined;
    try {
      await this.#parser.parse(Buffer.from(input));
    } catch (thrown) {
      problem = problemOf(thrown);
    }
    const [took, grew] = [performance.now() - started, process.memoryUsage.rss() - memory];
    if (took > LONGEST) return `took ${Math.round(took)} ms`;
    if (grew > MOST_MEMORY) return `took ${grew >> 20} MiB`;
    return problem;
  }

  #note(problem: string | undefined, input: Buffer): void {
    if (problem !== undefined) this.problems.push(`${this.#parser.name}: ${problem}\n${input.toString('base64').slice(0, 40_000)}`);
  }

  /** Finds, by halves, those of a batch that reach what nothing before them did. */
  async #keepNew(batch: readonly Buffer[], fresh: Set<string>, coverage: BlockCoverage): Promise<void> {
    let left = MOST_NEW;
    const look = async (some: readonly Buffer[]): Promise<void> => {
      if (left === 0 || fresh.size === 0 || some.length === 0) return;
      for (const input of some) await this.#try(input);
      const taken = await coverage.take();
      if (![...fresh].some((block) => taken.has(block))) return;
      if (some.length > 1) {
        await look(some.slice(0, some.length >> 1));
        await look(some.slice(some.length >> 1));
        return;
      }
      left--;
      for (const block of taken) fresh.delete(block);
      this.#keep(some[0] as Buffer);
    };
    await look(batch);
  }

  #keep(input: Buffer): void {
    if (input.length === 0 || input.length > LONGEST_KEPT) return;
    this.#inputs.push(input);
    this.#added++;
    if (!LONG) return;
    mkdirSync(this.#folder, { recursive: true });
    writeFileSync(join(this.#folder, createHash('sha1').update(input).digest('hex')), input);
  }
}

function without(blocks: ReadonlySet<string>, known: ReadonlySet<string>): Set<string> {
  return new Set([...blocks].filter((block) => !known.has(block)));
}

function keptIn(folder: string): Buffer[] {
  return existsSync(folder) ? readdirSync(folder).map((name) => readFileSync(join(folder, name))) : [];
}

/** Takes numbers of a list in turn, and others that follow from them when there are no more. */
function choosing(list: readonly number[]): Random {
  const beyond = numbers(list.reduce((sum, each) => (Math.imul(sum, 31) + each) | 0, 1));
  let at = 0;
  return (below) => (at < list.length ? (list[at++] as number) % below : beyond(below));
}

/** What is wrong with that a parser threw this; undefined for a FerryError a person can read. */
function problemOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof FerryError)) return String((thrown as Error | undefined)?.stack ?? thrown);
  const { message } = thrown;
  if (message.length > LONGEST_MESSAGE) return `a message of ${message.length} characters: ${message.slice(0, 200)}`;
  // What stands in quotes is the input's own.
  return INTERNAL.test(message.replace(/"[^"]*"/g, '""')) ? `JavaScript's own words: ${message}` : undefined;
}
