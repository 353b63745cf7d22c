import { FerryError } from '../errors.js';
import { openBeside } from '../locations/pair.js';
import { type SourceRequest, withObjects } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type Source, type SourceInfo } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { type DiffCounts, type DiffEntry, diffSources } from './diff.js';
import { compared, requireCompared } from './nothing-selected.js';

/** What a verified source is compared with. */
export interface AgainstOptions {
  /** A live cluster, a snapshot file, a data dir or another archive. */
  readonly with: SourceRequest;
  /** Keys that are expected to move. */
  readonly ignorePrefixes: readonly Buffer[];
  /** Kinds of Kubernetes' objects that are expected to move. */
  readonly ignoreKinds: readonly string[];
  /** Values of `--etcd-prefix`, beside the usual ones. */
  readonly etcdPrefixes: readonly string[];
  /** Filled while it compares: those of `ignoreKinds` that some record was of. */
  readonly seenKinds?: Set<string>;
}

export type NamedDifference = Pick<DiffEntry, 'kind' | 'key' | 'parts'>;

/** What a comparison came to. */
export interface AgainstAccount {
  readonly other: SourceInfo;
  /**
   * Where the other side was read: at the verified source's own revision, or at its latest because that
   * revision is compacted or none of this cluster's (v2 and archives have one only).
   */
  readonly at: 'same-revision' | 'latest';
  readonly counts: DiffCounts;
  readonly differ: boolean;
  /** The first of them, `MOST_NAMED` at most; `added` is what only the other side has. */
  readonly differences: readonly NamedDifference[];
}

const MOST_NAMED = 1_000;

/** How two sources are compared: what counts beside keys and values. */
export interface CompareParts {
  readonly revisions?: boolean;
  readonly leases?: boolean;
}

/** Opens what was verified, as often as it is to be read, with this selection. */
export type OpenVerified = (selected: Selected) => Promise<Source>;

/**
 * Compares a source's content with another's: within the source's own selection of keys and objects, at its
 * revision where the other side still has that, else at the other's latest.
 *
 * @throws FerryError `usage` for two that cannot be compared, and as the sources do
 */
export async function compareAgainst(open: OpenVerified, against: AgainstOptions, run: RunContext): Promise<AgainstAccount> {
  const selected = ignoring(against);
  const comparing = async (compare: (left: Source, other: SourceRequest) => Promise<AgainstAccount | undefined>) => {
    const left = await open(selected);
    try {
      return await compare(left, { ...against.with, selection: left.info.selection });
    } finally {
      await left.close();
    }
  };
  const pinned = await comparing((left, other) => compareAtRevision(left, other, run));
  const atLatest = async (left: Source, other: SourceRequest) => compareOpen(left, await openLike(left, other, run), 'latest', {}, run);
  const account = pinned ?? ((await comparing(atLatest)) as AgainstAccount);
  await refuseNothing(account, open, against, run);
  return account;
}

/**
 * Two of which nothing was compared are not the same: the comparison could not have failed.
 *
 * @throws FerryError `usage`
 */
async function refuseNothing(account: AgainstAccount, open: OpenVerified, against: AgainstOptions, run: RunContext): Promise<void> {
  const { counts, other } = account;
  if (compared(counts) > 0 || against.with.allowEmpty === true) return;
  const source = await open({ selection: EVERYTHING });
  try {
    const holds = await holdsAny(source);
    if (holds && against.ignorePrefixes.length + against.ignoreKinds.length > 0 && sharesAll(source.info, other)) {
      throw new FerryError('usage', `${source.info.location}: nothing was compared with ${other.location}: all it holds is ignored`, {
        hint: 'Check --ignore-prefix and --ignore-kind.',
      });
    }
    const right = await openLike(source, against.with, run);
    try {
      await requireCompared({ left: source, right }, { selection: EVERYTHING }, counts);
    } finally {
      await right.close();
    }
  } finally {
    await source.close();
  }
}

async function holdsAny(source: Source): Promise<boolean> {
  for await (const { count } of source.records()) if (count > 0) return true;
  return false;
}

/** Whether the other side was taken with all keys that this one was taken with. */
function sharesAll({ selection }: SourceInfo, other: SourceInfo): boolean {
  return KeySet.of(other.selection).intersect(KeySet.of(selection)).isEmpty === KeySet.of(selection).isEmpty;
}

/**
 * Compares two open sources, and closes the right one.
 *
 * @throws FerryError as the sources do
 */
export async function compareOpen(
  left: Source,
  right: Source,
  at: AgainstAccount['at'],
  parts: CompareParts,
  run: RunContext,
): Promise<AgainstAccount> {
  try {
    const differences: NamedDifference[] = [];
    const keep = ({ kind, key, parts: changed }: DiffEntry): void => {
      if (differences.length < MOST_NAMED) differences.push({ kind, key: Buffer.from(key), parts: changed });
    };
    const { counts, differ } = await diffSources(left, right, parts, keep, run);
    return { other: right.info, at, counts, differ, differences };
  } finally {
    await right.close();
  }
}

/** @returns undefined where the other side does not have that revision, or it says nothing there */
async function compareAtRevision(left: Source, other: SourceRequest, run: RunContext): Promise<AgainstAccount | undefined> {
  if (left.info.api === 'v2' || other.revision !== undefined || !(await hasRevisions(other))) return undefined;
  try {
    const right = await openLike(left, { ...other, revision: left.info.revision }, run);
    const kinship = kinshipOf(left.info, right.info);
    if (kinship === 'other') {
      await right.close();
      return undefined;
    }
    const account = await compareOpen(left, right, 'same-revision', {}, run);
    // A file does not say whose it is: its revision of that number may be another cluster's.
    return kinship === 'unknown' && account.differ ? undefined : account;
  } catch (thrown) {
    if (thrown instanceof FerryError && (thrown.code === 'compacted' || thrown.code === 'future-revision')) return undefined;
    throw thrown;
  }
}

/** A live cluster and etcd's own files have past revisions; an archive has one. */
async function hasRevisions({ location }: SourceRequest): Promise<boolean> {
  if (location.kind !== 'path') return location.kind === 'live';
  const { detect } = await import('../locations/detect.js');
  const found = await detect(location.path);
  return found === 'snapshot-file' || found === 'data-dir';
}

function kinshipOf(a: SourceInfo, b: SourceInfo): 'same' | 'other' | 'unknown' {
  if (a.clusterId === undefined || b.clusterId === undefined) return 'unknown';
  return a.clusterId === b.clusterId ? 'same' : 'other';
}

/** What the other side has of what the left one was made of. */
async function openLike(left: Source, other: SourceRequest, run: RunContext): Promise<Source> {
  let right = await openBeside(left, other, run);
  for (const objects of left.info.objects ?? []) right = await withObjects(right, { objects });
  return right;
}

type Selected = Pick<SourceRequest, 'selection' | 'objects'>;

function ignoring({ ignorePrefixes, ignoreKinds, etcdPrefixes, seenKinds }: AgainstOptions): Selected {
  const selection = { ...EVERYTHING, excludePrefixes: ignorePrefixes };
  if (ignoreKinds.length === 0) return { selection };
  const watched = seenKinds === undefined ? {} : { seenKinds };
  return { selection, objects: { kinds: [], excludeKinds: ignoreKinds, namespaces: [], names: [], etcdPrefixes, ...watched } };
}
