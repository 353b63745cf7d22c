import type { ClusterOptions } from '../cluster/options.js';
import { connectV2, type V2Cluster } from '../cluster/v2.js';
import type { V3Cluster } from '../cluster/v3.js';
import { connectV3 } from '../cluster/v3-connect.js';
import type { KeyMapping } from '../convert/key-mapping.js';
import { FerryError } from '../errors.js';
import { isCompactionClock, type KeyTest, runtimeKeys } from '../kubernetes/runtime.js';
import { type ConnectionSettings, clusterOptions } from '../locations/connection.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection, Source } from '../model/source.js';
import { type RestoreV2Report, restoreLiveV2, type SeenTree } from '../writers/live-v2.js';
import { type RestoreV3Options, type RestoreV3Report, restoreLiveV3, type WriteMemory } from '../writers/live-v3.js';
import { holdsNothing } from '../writers/live-v3-empty.js';
import { targetClock } from './target-clock.js';
import { type TargetInfo, targetNames, v3TargetInfo } from './target-info.js';
import { kubernetesRuns } from './target-kubernetes.js';

const LEFT_ALONE = 'kubernetes-runtime-left-alone';
const RUNS_THERE = 'a Kubernetes runs on the target: its own keys are left alone (--include-runtime writes them)';
const CLOCK_ALONE =
  "the clock of another Kubernetes' compaction is left out: its API servers would believe it (--include-runtime writes it)";

/** A live cluster to write into. */
export interface LiveTarget {
  readonly endpoints: readonly string[];
  readonly connection: ConnectionSettings;
}

/** How to write; what only v3 knows is refused for a v2 tree. */
export interface WriteOptions extends RestoreV3Options {
  /** Where what must be spooled is put. */
  readonly tmpDir: string;
  /** Also write what a running Kubernetes keeps for itself: its compaction clock, leases, events. */
  readonly includeRuntime?: boolean;
  /** Values of the API server's `--etcd-prefix`, beside the usual ones. */
  readonly etcdPrefixes?: readonly string[];
  readonly remember?: Remember;
  /**
   * Whether deadlines of leases are held to the target's clock, as its answers tell it, where that of this
   * machine is another. For records of a file alone: what is read from a live tree ends by this machine's clock.
   */
  readonly byTargetClock?: boolean;
  /** Told of the keys that are left alone in the target, by their names there. */
  readonly onLeaveAlone?: (holds: KeyTest) => void;
}

/**
 * Wraps the writing of a v3 cluster with what is remembered of it over several runs.
 *
 * @param write is to be called once
 */
export type Remember = (
  cluster: V3Cluster,
  run: RunContext,
  write: (memory: WriteMemory | undefined) => Promise<RestoreV3Report>,
) => Promise<RestoreV3Report>;

export type WriteReport = RestoreV3Report | RestoreV2Report;

/**
 * Writes a source into a live cluster, by the source's API.
 *
 * @throws FerryError as the cluster and the writer do; `usage` for options that the API does not know
 */
export async function writeLive(
  source: Source,
  target: LiveTarget,
  options: WriteOptions,
  run: RunContext,
): Promise<{ readonly to: string; readonly target: TargetInfo; readonly written: WriteReport }> {
  const { api, order, location } = source.info;
  if (order === 'revision') {
    throw new FerryError('usage', `${location} holds a history, which no API can write`, {
      hint: 'Restore it into a snapshot file: --to new.db',
    });
  }
  if (api === 'v2') refuseForV2(options);
  const connection = await clusterOptions(target.endpoints, target.connection);
  const cluster = api === 'v2' ? connectV2(connection) : await connectV3(connection, run.signal);
  try {
    const done = await tellingOfParts(run, (told) =>
      'call' in cluster ? inTargetTime(source, cluster, connection, options, told) : describedV2(source, cluster, options, told),
    );
    return { to: cluster.location, ...done };
  } finally {
    await cluster.close();
  }
}

type Described = { readonly target: TargetInfo; readonly written: WriteReport };

/** Writes with deadlines as the target's clock has them, and says by how much it is another than this machine's. */
async function inTargetTime(
  source: Source,
  cluster: V3Cluster,
  connection: ClusterOptions,
  options: WriteOptions,
  run: RunContext,
): Promise<Described> {
  const clock = options.byTargetClock === true ? await targetClock(connection, run.signal) : undefined;
  if (clock === undefined) return describedV3(source, cluster, options, run);
  const { target, written } = await describedV3(source, cluster, { ...options, now: clock.now }, run);
  return { target, written: { ...written, notes: [...clock.notes, ...written.notes] } };
}

async function describedV3(source: Source, cluster: V3Cluster, options: WriteOptions, run: RunContext): Promise<Described> {
  const target = await v3TargetInfo(cluster, targetNames(source, options), run);
  return { target, written: await remembered(source, cluster, options, run) };
}

async function describedV2(source: Source, cluster: V2Cluster, options: WriteOptions, run: RunContext): Promise<Described> {
  const version = await cluster.version(run.signal);
  let target: TargetInfo = version === undefined ? {} : { version };
  const names = targetNames(source, options);
  const onTarget = ({ clusterId, files }: SeenTree): void => {
    target = { ...(clusterId === undefined ? {} : { clusterId }), ...target, keys: files };
  };
  const written = await restoreLiveV2(source, cluster, { ...options, counted: (path) => names.has(path), onTarget }, run);
  return { target, written };
}

function remembered(source: Source, cluster: V3Cluster, options: WriteOptions, run: RunContext): Promise<RestoreV3Report> {
  if (options.remember === undefined) return intoV3(source, cluster, options, run);
  return options.remember(cluster, run, (memory) => intoV3(source, cluster, memory === undefined ? options : { ...options, memory }, run));
}

/**
 * Whether a v3 cluster has no key where those of a source would come to lie; see holdsNothing.
 *
 * @throws FerryError as the connection does
 */
export async function isEmptyTarget(
  { endpoints, connection }: LiveTarget,
  selection: KeySelection,
  mapping: KeyMapping | undefined,
  run: RunContext,
): Promise<boolean> {
  const cluster = await connectV3(await clusterOptions(endpoints, connection), run.signal);
  try {
    return await holdsNothing(cluster, selection, mapping, run);
  } finally {
    await cluster.close();
  }
}

/**
 * Writes into a v3 cluster. In one that a Kubernetes runs on, what its API servers keep for
 * themselves is left alone, unless it is asked for; the compaction clock of another one in any.
 */
export async function intoV3(source: Source, cluster: V3Cluster, options: WriteOptions, run: RunContext): Promise<RestoreV3Report> {
  if (options.includeRuntime === true) return restoreLiveV3(source, cluster, options, run);
  const leaveAlone = (await kubernetesRuns(source, cluster, options, run))
    ? { holds: runtimeKeys(options.etcdPrefixes), note: { code: LEFT_ALONE, message: RUNS_THERE } }
    : { holds: isCompactionClock, note: { code: LEFT_ALONE, message: CLOCK_ALONE } };
  options.onLeaveAlone?.(leaveAlone.holds);
  return restoreLiveV3(source, cluster, { ...options, leaveAlone }, run);
}

/** A cluster cannot take back what a failed run has written to it, so the user is told that there is some. */
async function tellingOfParts<T>(run: RunContext, write: (run: RunContext) => Promise<T>): Promise<T> {
  let begun = false;
  const progress: RunContext['progress'] = (now) => {
    begun ||= now.phase === 'writing' && now.records > 0;
    run.progress(now);
  };
  try {
    return await write({ ...run, progress });
  } catch (thrown) {
    if (begun) run.warn('the cluster holds a part of what was to be written; the same command, run again, finishes it');
    throw thrown;
  }
}

function refuseForV2({ leaseTtl, withAuth, deleteExtra, maxTxnOps, maxRequestBytes }: WriteOptions): void {
  const flags = { 'lease-ttl': leaseTtl, 'with-auth': withAuth, 'delete-extra': deleteExtra };
  const given = Object.entries({ ...flags, 'max-txn-ops': maxTxnOps, 'max-request-bytes': maxRequestBytes }).find(
    ([, value]) => value !== undefined,
  );
  if (given !== undefined) throw new FerryError('usage', `--${given[0]} is for v3; the archive holds a v2 tree`);
}
