import { connectV2 } from '../cluster/v2.js';
import { compareSources } from '../compare/compare.js';
import { clusterOptions } from '../locations/connection.js';
import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import { restoreLiveV2 } from '../writers/live-v2.js';
import type { MigrateOptions } from './migrate.js';
import type { MigrationProof, ProofDifference } from './migration-proof.js';
import { readBackRequest } from './migration-target.js';
import { openProven } from './proven-source.js';
import type { LiveTarget } from './write-live.js';

const DIFFERENCES_NAMED = 20;
/** etcd looks for nodes that have ended twice a second, and a TTL has whole seconds. */
const END_SLACK_MS = 2_000;
/** Farther than this from where it should be, in nanoseconds, an end is another one. */
const TOLERANCE = 5_000_000_000n;

/**
 * Reads the target of a migration back to v2 once more, and compares it node by node with the tree that
 * the keys became: kind, value, and when a node ends. Nodes that came from elsewhere are passed over.
 *
 * @param skipped nodes that were found with another value or end, and left as they are, as asked for
 * @returns undefined for stdout, and for what is encrypted for somebody else: neither can be read back
 * @throws FerryError as the target's reader does
 */
export async function proveTree(
  tree: Source,
  options: MigrateOptions,
  skipped: number,
  run: RunContext,
): Promise<MigrationProof | undefined> {
  if ('live' in options.to) return proveCluster(tree, options.to.live, options.write.tmpDir, skipped, run);
  const request = readBackRequest(options);
  if (request === undefined) return undefined;
  const written = await openProven(request, run);
  try {
    return await proveArchive(tree, written, run);
  } finally {
    await written.close();
  }
}

/** By what the writer would do if it was run again, which looks at the target anew. */
async function proveCluster(
  tree: Source,
  { endpoints, connection }: LiveTarget,
  tmpDir: string,
  skippable: number,
  run: RunContext,
): Promise<MigrationProof> {
  const cluster = connectV2(await clusterOptions(endpoints, connection));
  try {
    const differences = new Differences();
    let revision = 0n;
    const { records, leftOut } = await restoreLiveV2(
      tree,
      cluster,
      {
        dryRun: true,
        onConflict: 'skip',
        tolerance: TOLERANCE,
        tmpDir,
        now: () => Date.now() + END_SLACK_MS,
        onTarget: ({ index }) => {
          revision = index;
        },
        onDifference: (path, what) => differences.add(path, what),
      },
      run,
    );
    const skipped = Math.min(skippable, differences.found);
    const differing = differences.found - skipped;
    const equal = records - leftOut - differences.found;
    return { ...proofOf(differing === 0 ? [] : differences.named), keys: records, equal, expired: leftOut, skipped, differing, revision };
  } finally {
    await cluster.close();
  }
}

/** An archive holds every node as it was to be. */
async function proveArchive(tree: Source, written: Source, run: RunContext): Promise<MigrationProof> {
  const differences = new Differences();
  const names = ['source', 'target'] as const;
  const comparison = compareSources(unlessAborted(tree.records(), run), written.records(), {
    api: 'v2',
    revisions: true,
    leases: true,
    names,
  });
  for await (const { kind, key } of comparison) differences.add(key, kind === 'removed' ? 'missing' : 'value');
  const { equal } = comparison.counts;
  const differing = differences.found;
  return {
    ...proofOf(differences.named),
    keys: equal + differing,
    equal,
    expired: 0,
    skipped: 0,
    differing,
    revision: written.info.revision,
  };
}

async function* unlessAborted(batches: AsyncIterable<RecordBatch>, run: RunContext): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) {
    run.signal.throwIfAborted();
    yield batch;
  }
}

/** A tree has no leases: that a node ends at another time is a difference of the node. */
function proofOf(differences: MigrationProof['differences']): Pick<MigrationProof, 'differences' | 'strayLeases' | 'strays' | 'leases'> {
  return { differences, strayLeases: 0, strays: [], leases: 0 };
}

class Differences {
  found = 0;
  readonly named: { readonly key: Buffer; readonly what: ProofDifference }[] = [];

  add(path: Buffer, what: ProofDifference): void {
    this.found++;
    if (this.named.length < DIFFERENCES_NAMED) this.named.push({ key: Buffer.from(path), what });
  }
}
