import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';

export type HealthcheckEvent = 'start' | 'success' | 'fail';

/** healthcheck services count the body's bytes; healthchecks.io keeps 100 kB. */
const LONGEST_BODY = 10_000;
const TIMEOUT = 5_000;
/** A service that does not answer at once is asked again, as healthchecks.io's documentation wants it. */
const ATTEMPTS = 3;

/**
 * Checks a healthcheck's URL.
 *
 * @throws FerryError `usage`; the URL itself may be a secret and is not repeated
 */
export function parseHealthcheck(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new FerryError('usage', '--healthcheck is not a URL', { hint: 'It looks like https://hc-ping.com/…' });
}

/**
 * Tells a healthcheck service (healthchecks.io's protocol: the URL itself for success, `/start` and `/fail`
 * behind it) how a run stands. Never fails: what goes wrong is a warning.
 *
 * @param message what the service shows beside the event; no secrets in it
 * @param timeout of one attempt, in milliseconds
 */
export async function ping(url: URL, event: HealthcheckEvent, message: string, run: RunContext, timeout = TIMEOUT): Promise<void> {
  const target = new URL(url);
  if (event !== 'success') target.pathname = `${target.pathname.replace(/\/$/, '')}/${event}`;
  let failure = '';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      const { ok, status, body } = await fetch(target, {
        method: 'POST',
        body: message.slice(0, LONGEST_BODY),
        signal: AbortSignal.timeout(timeout),
      });
      await body?.cancel();
      if (ok) return;
      failure = `it answered ${status}`;
      if (status < 500 && status !== 429) break;
    } catch (thrown) {
      failure = reason(thrown);
    }
  }
  // Whoever knows the path can report success in the place of this run.
  run.warn(`the healthcheck at ${target.host} could not be told of the ${event}: ${failure}`);
}

function reason(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  if (thrown.name === 'TimeoutError') return 'no answer in time';
  const { code } = (thrown.cause ?? {}) as NodeJS.ErrnoException;
  return code ?? thrown.message;
}
