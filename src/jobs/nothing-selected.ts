import type { ComparisonCounts } from '../compare/compare.js';
import { formatKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { Pair } from '../locations/pair.js';
import type { SourceRequest } from '../locations/source.js';
import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import { delegate, type ObjectsSeen, type Source } from '../model/source.js';
import { compareTreePaths } from '../model/tree-path.js';
import { KeySet } from '../selection/key-set.js';
import { NearestPrefixes, nearestTexts, UnmetPrefixes } from '../selection/nearest.js';
import { selectsAll } from '../selection/select.js';
import { requireTreePrefixes } from '../selection/tree-prefix.js';

type Chosen = Pick<SourceRequest, 'selection' | 'allowEmpty'>;

/** Why nothing was selected of a source. */
interface Nothing {
  /** What was asked for and is not there. */
  readonly message: string;
  /** What is there in its place; empty where nothing is known. */
  readonly near: string;
  /** Whether the source is known to hold something else; it may not say. */
  readonly isCertain: boolean;
}

const MEANT = 'Give --allow-empty if that is meant.';

/**
 * Refuses what can select nothing whatever the source holds, before anything is read.
 *
 * @throws FerryError `usage`
 */
export function refuseImpossible({ selection, allowEmpty, location, api }: Chosen & Pick<SourceRequest, 'location' | 'api'>): void {
  if (location.kind === 'live' && api === 'v2') requireTreePrefixes(selection);
  if (allowEmpty === true || !KeySet.of(selection).isEmpty) return;
  throw new FerryError('usage', 'all that --prefix chooses is left out by --exclude-prefix', { hint: MEANT });
}

/**
 * The same source, whose records end in an error where there is none: nothing was selected, and the source holds
 * something. Whoever writes them has written nothing by then. Of several prefixes, kinds and so on each that nothing is
 * selected by is warned of.
 */
export function requireSelected(source: Source, request: Chosen, run: RunContext): Source {
  if (request.allowEmpty === true || isWhole(source, request)) return source;
  let isFirst = true;
  const warnOnce = (message: string): void => {
    if (isFirst) run.warn(message);
  };
  return {
    ...delegate(source),
    records: async function* () {
      yield* refusingNone(source, request, warnOnce);
      isFirst = false;
    },
  };
}

function isWhole({ objectsSeen }: Source, { selection }: Chosen): boolean {
  return selectsAll(selection) && objectsSeen === undefined;
}

type Warn = RunContext['warn'];

async function* refusingNone(source: Source, request: Chosen, warn: Warn): AsyncGenerator<RecordBatch> {
  const { prefixes } = request.selection;
  const { order, location } = source.info;
  const several = prefixes.length > 1 && order !== 'revision' ? prefixes : [];
  const watch = new UnmetPrefixes(several, order === 'tree' ? compareTreePaths : Buffer.compare);
  let any = false;
  for await (const batch of source.records()) {
    any ||= batch.count > 0;
    watch.see(batch);
    yield batch;
  }
  if (any) {
    for (const prefix of watch.unmet) warn(`${location}: nothing that was selected begins with ${formatKey(prefix)}`);
    return warnOfUnmet(source, warn);
  }
  const nothing = await nothingSelected(source, request);
  if (nothing === undefined) return;
  const { message, near, isCertain } = nothing;
  if (!isCertain) warn(message);
  else throw new FerryError('usage', message, { hint: `${near}${MEANT}` });
}

/**
 * Says it where nothing was selected though the source holds something, for commands that only show.
 *
 * @param records that were shown
 */
export async function warnOfNothing(source: Source, records: number, request: Chosen, run: RunContext): Promise<void> {
  if (records > 0) return warnOfUnmet(source, run.warn);
  if (request.allowEmpty === true || isWhole(source, request)) return;
  const nothing = await nothingSelected(source, request);
  if (nothing !== undefined) run.warn(nothing.near === '' ? nothing.message : `${nothing.message}. ${nothing.near.trim()}`);
}

/** How many keys a comparison has looked at. */
export function compared({ equal, added, removed, changed }: ComparisonCounts): number {
  return equal + added + removed + changed;
}

/**
 * Refuses a comparison of no key at all: it could not have failed. Two sources that hold nothing, compared as a whole, may.
 *
 * @throws FerryError `usage`
 */
export async function requireCompared({ left, right }: Pair<Source>, request: Chosen, counts: ComparisonCounts): Promise<void> {
  if (compared(counts) > 0 || request.allowEmpty === true) return;
  const both = KeySet.of(left.info.selection).intersect(KeySet.of(right.info.selection));
  const objects = [...(left.info.objects ?? []), ...(right.info.objects ?? [])];
  if (both.isEverything && objects.length === 0) return;
  const sides = `nothing of ${left.info.location} and ${right.info.location} was compared`;
  if (both.isEmpty) {
    throw new FerryError('usage', `${sides}: they were taken with different keys`, { hint: `Compare what both hold. ${MEANT}` });
  }
  const nothing = (await nothingSelected(left, request)) ?? (await nothingSelected(right, request));
  throw new FerryError('usage', nothing === undefined ? sides : `${sides}: ${nothing.message}`, { hint: `${nothing?.near ?? ''}${MEANT}` });
}

/**
 * Why none of a source's records was selected.
 *
 * @returns undefined where it holds nothing at all
 * @throws FerryError as the source does
 */
export async function nothingSelected(source: Source, { selection }: Chosen): Promise<Nothing | undefined> {
  const { location } = source.info;
  const { objectsSeen } = source;
  if (objectsSeen?.any === true) {
    return { message: `${location}: no object is ${await wanted(objectsSeen)}`, near: '', isCertain: true };
  }
  const what = described(selection);
  const { prefixes } = selection;
  const nearest = prefixes.map((prefix) => new NearestPrefixes(prefix));
  let first: Buffer | undefined;
  try {
    for await (const key of source.keysNear?.(prefixes) ?? unknownKeys()) {
      first ??= Buffer.from(key);
      for (const each of nearest) each.add(key);
    }
  } catch (thrown) {
    if (FerryError.from(thrown).code !== 'unauthorized') throw thrown;
    return { message: `${location}: ${what}, and whether it holds anything else may not be asked`, near: '', isCertain: false };
  }
  if (first === undefined) return undefined;
  const names = new Set((await Promise.all(nearest.map((each) => each.list()))).flat().map(formatKey));
  const near =
    names.size === 0 ? `There is ${formatKey(first)}. ` : `Near to it ${names.size === 1 ? 'is' : 'are'} ${[...names].join(', ')}. `;
  return { message: `${location}: ${what}`, near, isCertain: true };
}

async function* unknownKeys(): AsyncGenerator<Buffer> {}

function described({ prefixes, excludePrefixes }: SourceRequest['selection']): string {
  if (prefixes.length === 0 || prefixes.some(({ length }) => length === 0)) {
    return excludePrefixes.length === 0 ? 'nothing was found' : 'all that it holds is excluded';
  }
  return `nothing that it holds begins with ${prefixes.map(formatKey).join(' or ')}${excludePrefixes.length === 0 ? '' : ' and is not excluded'}`;
}

/** The values of a choice of objects, those that nothing has with what comes near to them. */
async function wanted({ selection, unmet, ...seen }: ObjectsSeen): Promise<string> {
  const lists = [
    ['of kind', selection.kinds, unmet.kinds, seen.kinds],
    ['in namespace', selection.namespaces, unmet.namespaces, seen.namespaces],
    ['named', selection.names, unmet.names, seen.names],
  ] as const;
  const parts = await Promise.all(
    lists
      .filter(([, values]) => values.length > 0)
      .map(async ([word, values, none, there]) => {
        const shown = await Promise.all(values.map(async (value) => (none.has(value) ? withNearest(value, there) : value)));
        return `${word} ${shown.join(' or ')}`;
      }),
  );
  return parts.length === 0 ? 'of another kind than those excluded' : parts.join(' and ');
}

async function withNearest(value: string, there: ReadonlySet<string>): Promise<string> {
  const nearest = await nearestTexts(value, there);
  return nearest.length === 0 ? value : `${value} (there is ${nearest.join(', ')})`;
}

/** Of values that objects are chosen by, those that no record has: beside others that are there they would pass unseen. */
async function warnOfUnmet({ objectsSeen, info }: Source, warn: Warn): Promise<void> {
  if (objectsSeen === undefined) return;
  const { unmet, kinds, namespaces, names } = objectsSeen;
  for (const value of unmet.kinds) warn(`${info.location}: no record is of kind ${await withNearest(value, kinds)}`);
  for (const value of unmet.namespaces) warn(`${info.location}: no record is in namespace ${await withNearest(value, namespaces)}`);
  for (const value of unmet.names) warn(`${info.location}: no record is named ${await withNearest(value, names)}`);
}
