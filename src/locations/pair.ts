import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { Api, Source } from '../model/source.js';
import { detect } from './detect.js';
import type { Location } from './parse.js';
import { isRepository } from './repository.js';
import { type FoundKind, openSource, refuseStrayFlags, type SourceRequest, withoutStrayFlags } from './source.js';

/** Two of something: the left side of a comparison, and the right one. */
export interface Pair<T> {
  readonly left: T;
  readonly right: T;
}

/**
 * The requests of two sources that are to be read side by side. What was asked of both goes to each side
 * that it means something to; what was asked of one side stays with it.
 *
 * @param both what was asked without naming a side, of either location
 * @param named what was asked of one side by name
 * @throws FerryError `usage` for something asked of both that means nothing to either
 */
export async function pairRequests(both: Pair<SourceRequest>, named: Pair<Partial<SourceRequest>>): Promise<Pair<SourceRequest>> {
  const found = { left: await foundAt(both.left.location), right: await foundAt(both.right.location) };
  const [left, right] = [withoutStrayFlags(both.left, found.left), withoutStrayFlags(both.right, found.right)];
  const stray = Object.entries(both.left).filter(([field]) => !(field in left) && !(field in right));
  refuseStrayFlags({ ...left, ...Object.fromEntries(stray) }, found.left);
  return beside({ left: { ...left, ...named.left }, right: { ...right, ...named.right } });
}

/** Beside a repository `--name` is the NAME of its archives, and no choice of objects on the other side. */
async function beside({ left, right }: Pair<SourceRequest>): Promise<Pair<SourceRequest>> {
  const stored = { left: await isRepository(left.location), right: await isRepository(right.location) };
  const { names: _, ...leftRest } = left;
  const { names: __, ...rightRest } = right;
  return { left: stored.right && !stored.left ? leftRest : left, right: stored.left && !stored.right ? rightRest : right };
}

/**
 * Opens two sources that are to be compared record by record. An api that one of them does not know by
 * itself, and nobody asked for, is the other's.
 *
 * @throws FerryError `usage` for a v2 tree beside a v3 keyspace, for a history, and for stdin on both sides;
 *   else as `openSource` does
 */
export async function openPair({ left, right }: Pair<SourceRequest>, run: RunContext): Promise<Pair<Source>> {
  if (left.location.kind === 'stdio' && right.location.kind === 'stdio') throw new FerryError('usage', 'both sides are stdin');
  const leftFirst = (await certainty(left)) >= (await certainty(right));
  const first = await openSource(leftFirst ? left : right, run);
  try {
    const second = await openBeside(first, leftFirst ? right : left, run);
    return leftFirst ? { left: first, right: second } : { left: second, right: first };
  } catch (thrown) {
    await first.close();
    throw thrown;
  }
}

/**
 * Opens a source to be compared with one that is open already.
 *
 * @throws FerryError as `openPair` does
 */
export async function openBeside(first: Source, request: SourceRequest, run: RunContext): Promise<Source> {
  const second = await openSource(await inferred(request, first.info.api), run);
  try {
    refuseUnlike({ left: first, right: second });
    return second;
  } catch (thrown) {
    await second.close();
    throw thrown;
  }
}

/** How well a side knows its api by itself: the other takes it over. */
async function certainty({ api, location }: SourceRequest): Promise<number> {
  if (api !== undefined) return 2;
  const found = await foundAt(location);
  if (found === 'live') return 0;
  return found === 'data-dir' ? 1 : 2;
}

async function inferred(request: SourceRequest, api: Api): Promise<SourceRequest> {
  const found = await foundAt(request.location);
  return request.api === undefined && (found === 'live' || found === 'data-dir') ? { ...request, api } : request;
}

function refuseUnlike({ left, right }: Pair<Source>): void {
  for (const { info } of [left, right]) {
    if (info.order === 'revision')
      throw new FerryError('usage', `${info.location} is a history, with several records of one key`, {
        hint: 'Compare what it was made from, or an archive made without --history.',
      });
  }
  if (left.info.api === right.info.api) return;
  const what = ({ info }: Source): string => `${info.location} is ${info.api === 'v2' ? 'a v2 tree' : 'a v3 keyspace'}`;
  throw new FerryError('usage', `${what(left)}, ${what(right)}: they cannot be compared key by key`, {
    hint: 'Carry the tree over with: etcdferry migrate --from TREE --to new.tar, and compare that.',
  });
}

async function foundAt(location: Location): Promise<FoundKind> {
  return location.kind === 'path' ? detect(location.path) : location.kind;
}
