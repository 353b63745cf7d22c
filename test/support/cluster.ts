import type { ClusterOptions } from '../../src/cluster/options.js';
import { FerryError } from '../../src/errors.js';

/** Options to reach a test server with short timeouts. */
export function clusterOptions(endpoints: string | readonly string[], more: Partial<ClusterOptions> = {}): ClusterOptions {
  return { endpoints: [endpoints].flat(), dialTimeout: 2000, commandTimeout: 5000, ...more };
}

/** The FerryError a promise is rejected with; anything else fails the test. */
export async function failure(promise: Promise<unknown>): Promise<FerryError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof FerryError) return thrown;
    throw thrown;
  }
  throw new Error('this was expected to fail');
}
