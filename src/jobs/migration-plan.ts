import { connectV3 } from '../cluster/v3-connect.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import { changeBetween, type FingerprintTaker, type TreeFingerprint } from '../convert/v2-fingerprint.js';
import type { ConvertedTree } from '../convert/v2-to-v3.js';
import { FerryError } from '../errors.js';
import { clusterOptions } from '../locations/connection.js';
import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import type { Done, MigrateOptions } from './migrate.js';
import { type Collisions, findCollidingKeys, pathsOfKeys } from './migration-collisions.js';
import type { Durations } from './migration-durations.js';
import { type Estimate, estimateMigration } from './migration-estimate.js';

const IN_THE_WAY_NAMED = 10;

/** What would become of a tree, as a dry run has found it out. */
export interface MigrationPlan {
  /** When it was made, in milliseconds since the Unix epoch. */
  readonly madeAt: number;
  readonly fingerprint: TreeFingerprint;
  readonly collisions: Collisions;
  /** What stands in the target where something is to be written. */
  readonly inTheWay: InTheWay;
  readonly estimate: Estimate;
  /** Bytes that the target's backend has on its disk now. */
  readonly dbSize?: bigint;
}

export interface InTheWay {
  /** Keys with another value or lease. */
  readonly count: number;
  readonly keys: readonly Buffer[];
  /** What is wrong with the target as a whole: there is such a file already. */
  readonly reason?: string;
}

/** What a plan is made of. */
export interface Planning {
  /** The keys, in order. */
  readonly source: Source;
  /** The same, also where two have one name. */
  readonly unchecked: () => AsyncIterable<RecordBatch>;
  readonly tree: Source;
  readonly converted: ConvertedTree;
  readonly fingerprint: FingerprintTaker;
  readonly options: MigrateOptions;
  readonly durations: Durations;
  readonly carry: (options: MigrateOptions) => Promise<Done>;
}

/**
 * Looks at everything a migration would meet, and changes nothing. What would stop it is part of the
 * plan and no error.
 *
 * @throws FerryError as source and target do
 */
export async function planned(planning: Planning, run: RunContext): Promise<Done> {
  const { unchecked, converted, fingerprint, options, durations } = planning;
  durations.begin('planning');
  const collisions = await collisionsOf(await findCollidingKeys(unchecked()), planning);
  const { done, inTheWay } = collisions.count > 0 ? nothingDone(planning) : await lookAhead(planning);
  const dbSize = await sizeOfTarget(options, run);
  const plan: MigrationPlan = {
    madeAt: Date.now(),
    fingerprint: fingerprint.taken(),
    collisions,
    inTheWay,
    estimate: estimateMigration(converted.counts, 'live' in options.to ? 'live' : 'file'),
    ...(dbSize === undefined ? {} : { dbSize }),
  };
  return { ...done, plan };
}

/**
 * @throws FerryError `usage` when the source has become something else than the plan says
 */
export function refuseChange(expected: TreeFingerprint, fingerprint: FingerprintTaker | undefined, tree: Source): void {
  // Expirations in it are by the source's clock.
  const now = Date.now() + Number((tree.clockOffset?.() ?? 0n) / 1_000_000n);
  const change = fingerprint === undefined ? undefined : changeBetween(expected, fingerprint.taken(), now);
  if (change === undefined) return;
  throw new FerryError('usage', `${tree.info.location} has moved on since the plan was made: ${change}; nothing was written`, {
    hint: 'Make a new plan with --dry-run --save-plan.',
  });
}

async function collisionsOf({ count, keys }: { count: number; keys: Buffer[] }, { tree, options }: Planning): Promise<Collisions> {
  if (count === 0) return { count, examples: [] };
  const { write, rules } = options;
  const mapping = write.mapping ?? SAME_KEYS;
  return { count, examples: await pathsOfKeys(tree.records(), keys, { mapping, markers: rules?.emptyDirs === 'marker' }) };
}

interface Ahead {
  readonly done: Done;
  readonly inTheWay: InTheWay;
}

function nothingDone({ source, options }: Planning): Ahead {
  const { to } = options;
  const target = 'live' in to ? to.live.endpoints.join(',') : to.file.location.text;
  return { done: { to: target, notes: source.notes.list() }, inTheWay: { count: 0, keys: [] } };
}

/** Compares with the target. Keys in the way do not stop that, whatever the rule for them is. */
async function lookAhead(planning: Planning): Promise<Ahead> {
  const { options, carry } = planning;
  const fails = (options.write.onConflict ?? 'fail') === 'fail';
  const keys: Buffer[] = [];
  let count = 0;
  const onConflictFound = (key: Buffer): void => {
    count++;
    if (keys.length < IN_THE_WAY_NAMED) keys.push(Buffer.from(key));
  };
  try {
    const done = await carry({ ...options, write: { ...options.write, onConflictFound, ...(fails ? { onConflict: 'skip' } : {}) } });
    if (!fails) return { done, inTheWay: { count: 0, keys: [] } };
    const written = done.written === undefined ? {} : { written: { ...done.written, skipped: 0 } };
    return { done: { ...done, ...written }, inTheWay: { count, keys } };
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'in-the-way') throw thrown;
    return { done: nothingDone(planning).done, inTheWay: { count: 0, keys: [], reason: thrown.message } };
  }
}

async function sizeOfTarget({ to }: MigrateOptions, run: RunContext): Promise<bigint | undefined> {
  if (!('live' in to)) return undefined;
  run.signal.throwIfAborted();
  const cluster = await connectV3(await clusterOptions(to.live.endpoints, to.live.connection), run.signal);
  try {
    return (await cluster.about(run.signal)).dbSize;
  } finally {
    await cluster.close();
  }
}
