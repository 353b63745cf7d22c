import type { ClusterOptions } from './options.js';
import type { V3Cluster } from './v3.js';

/**
 * Connects to a live v3 cluster: resolves once one endpoint has answered and, with a user, has
 * taken the password. Libraries are loaded here and not before: they cost 150 ms.
 *
 * @param signal ends the attempt at once, and later every call that is given no signal of its own
 * @throws the signal's reason; FerryError `unreachable` when no endpoint can be connected to within `dialTimeout`,
 *   `unauthorized` for a wrong user or password, `usage` for an address or certificate that cannot be
 */
export async function connectV3(options: ClusterOptions, signal?: AbortSignal): Promise<V3Cluster> {
  const { openConnection } = await import('./v3-connection.js');
  return openConnection(options, signal);
}
