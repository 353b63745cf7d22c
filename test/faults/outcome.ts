import type { CliResult } from '../support/cli.js';
import type { EtcdBinaries } from '../support/etcd.js';
import type { Random } from './mutate.js';

/** A case that ended as it must not, with all that is known of it. */
export class Unexpected extends Error {
  override readonly name = 'Unexpected';
}

/** One kind of fault, to be made over and over. */
export interface Fault {
  readonly name: string;
  /**
   * Makes one case of it, with all its choices from `random`.
   *
   * @returns how it ended, in words
   * @throws Unexpected
   */
  readonly run: (random: Random) => Promise<string>;
}

/** The faults of a ground, named with the version of etcd they are made with. */
export function faultsOf<G extends { readonly etcd: EtcdBinaries }>(
  ground: G,
  faults: Readonly<Record<string, (ground: G, random: Random) => Promise<string>>>,
): Fault[] {
  return Object.entries(faults).map(([name, make]) => ({ name: withVersion(name, ground), run: (random) => make(ground, random) }));
}

export function withVersion(name: string, ground: { readonly etcd: EtcdBinaries }): string {
  return `${name}, etcd ${ground.etcd.version}`;
}

/** JavaScript's own words, which no user is to read, and marks of a stack. */
export const INTERNAL =
  /\n\s+at |Cannot read|is not a function|undefined|not iterable|Invalid (array|typed array|string) length|out of range|call stack|ERR_|heap|Maximum|assert|NaN|\[object/;
const LINES = 3;

/**
 * Holds a run to what every run must keep to: one of the exits expected, one clear line with perhaps a
 * hint (and warnings before it), nothing of JavaScript in it.
 *
 * @throws Unexpected
 */
export function expectClear(result: CliResult, exits: readonly number[], what: string): void {
  const { exit, signal, stderr } = result;
  const about = (): string => `${what}: exit ${exit ?? signal}, expected ${exits.join(' or ')}\n${stderr.slice(0, 2000)}`;
  if (exit === null || !exits.includes(exit)) throw new Unexpected(about());
  const said = stderr
    .trimEnd()
    .split('\n')
    .filter(
      (line) => !/^(warning|note|LEFT OUT|\s*(reading|writing|proving|spooling|sorting|replaying|restoring|comparing)|would)/.test(line),
    );
  if (INTERNAL.test(stderr)) throw new Unexpected(`${what}: JavaScript's own words\n${stderr.slice(0, 2000)}`);
  // 3 and 4 are no failures: the report says what was left out, or differs.
  if (![0, 3, 4].includes(exit) && (said.length > LINES || said.join('').length === 0))
    throw new Unexpected(`${what}: not one clear line\n${about()}`);
}

/** Counts cases by fault and outcome. */
export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();

  add(fault: string, outcome: string): void {
    const outcomes = this.#counts.get(fault) ?? new Map<string, number>();
    this.#counts.set(fault, outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1));
  }

  get total(): number {
    return [...this.#counts.values()].flatMap((outcomes) => [...outcomes.values()]).reduce((sum, count) => sum + count, 0);
  }

  /** A table in Markdown: fault, outcome, cases. */
  table(): string {
    const rows = [...this.#counts].flatMap(([fault, outcomes]) =>
      [...outcomes].sort(([a], [b]) => a.localeCompare(b)).map(([outcome, count]) => `| ${fault} | ${outcome} | ${count} |`),
    );
    return ['| fault | outcome | cases |', '|---|---|---:|', ...rows.sort()].join('\n');
  }
}
