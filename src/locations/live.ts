import { connectV2, type V2Cluster } from '../cluster/v2.js';
import type { V3Cluster } from '../cluster/v3.js';
import { connectV3 } from '../cluster/v3-connect.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { closing, type Source } from '../model/source.js';
import { isOneListing, openLiveV2, streamLiveV2 } from '../readers/live-v2.js';
import { openLiveV3 } from '../readers/live-v3.js';
import { openLiveSnapshot } from '../readers/live-v3-snapshot.js';
import { requireTreePrefixes } from '../selection/tree-prefix.js';
import { clusterOptions } from './connection.js';
import type { SourceRequest } from './source.js';

/**
 * Opens a live cluster as a source, by the v3 API unless the request names v2.
 *
 * @throws FerryError as the connection and the reader do
 */
export async function openLive(request: SourceRequest, endpoints: readonly string[], run: RunContext): Promise<Source> {
  const options = { ...(await clusterOptions(endpoints, request.connection)), allowStale: request.allowStale === true };
  const cluster = request.api === 'v2' ? connectV2(options) : await connectV3(options, run.signal);
  try {
    const source = 'call' in cluster ? await openV3(request, cluster, run) : await openV2(request, cluster, run);
    return closing(source, () => cluster.close());
  } catch (thrown) {
    await cluster.close();
    throw thrown;
  }
}

async function openV3(request: SourceRequest, cluster: V3Cluster, run: RunContext): Promise<Source> {
  if (request.includeHidden !== undefined) throw new FerryError('usage', '--include-hidden is for v2', { hint: 'Give --api v2.' });
  if (request.via === 'snapshot') return openViaSnapshot(request, cluster, run);
  const { selection, revision, limitRate, allowStale } = request;
  const options = { ...(revision === undefined ? {} : { revision }), ...(limitRate === undefined ? {} : { limitRate }) };
  try {
    return await openLiveV3({ cluster, selection, ...options }, run);
  } catch (thrown) {
    if (allowStale !== true || !(thrown instanceof FerryError) || thrown.code !== 'unreachable') throw thrown;
    const hint = 'A read by ranges needs a leader, whatever is allowed: take what the member has with --via snapshot.';
    throw new FerryError(thrown.code, thrown.message, { hint, cause: thrown.cause });
  }
}

function openViaSnapshot(request: SourceRequest, cluster: V3Cluster, run: RunContext): Promise<Source> {
  const { selection, revision, tmpDir, limitRate } = request;
  if (limitRate !== undefined) throw new FerryError('usage', '--limit-rate is for --via range');
  return openLiveSnapshot({ cluster, selection, tmpDir, ...(revision === undefined ? {} : { revision }) }, run);
}

async function openV2(request: SourceRequest, cluster: V2Cluster, run: RunContext): Promise<Source> {
  const { selection, includeHidden, tmpDir, revision, via, limitRate, allowStale } = request;
  requireTreePrefixes(selection);
  if (revision !== undefined) throw new FerryError('usage', '--revision is for v3: a v2 store keeps no past states');
  if (via !== undefined) throw new FerryError('usage', '--via is for v3');
  if (allowStale === true) throw new FerryError('usage', '--allow-stale is for v3: a v2 tree is read by quorum');
  if (limitRate !== undefined) throw new FerryError('usage', '--limit-rate is for v3: a v2 tree comes as one answer');
  if (request.once === true && includeHidden === undefined && isOneListing(selection))
    return streamLiveV2({ cluster, selection, tmpDir }, run);
  return openLiveV2({ cluster, selection, tmpDir, ...(includeHidden === undefined ? {} : { includeHidden }) }, run);
}
