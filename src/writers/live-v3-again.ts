import { FerryError } from '../errors.js';
import { pause } from '../model/run.js';

/** The connection itself tries for its dial timeout, each time. */
const ATTEMPTS = 3;
const FIRST_PAUSE = 500;

/**
 * Makes a call that may be carried out twice, again and again for some seconds while the cluster
 * cannot be reached: a member that restarts is worth the wait.
 */
export async function tryAgain<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (thrown) {
      signal.throwIfAborted();
      if (attempt === ATTEMPTS || !(thrown instanceof FerryError) || thrown.code !== 'unreachable') throw thrown;
      await pause(FIRST_PAUSE * 2 ** (attempt - 1), signal);
    }
  }
}
