import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';

export type HealthcheckEvent = 'start' | 'success' | 'fail';

/** healthcheck services count the body's bytes; healthchecks.io keeps 100 kB. */
const LONGEST_BODY = 10_000;
const TIMEOUT = 5_000;
/** For what is told when the run has been stopped, in milliseconds. */
const LAST_WORD = 1_000;
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
  const request = requestFor(url, event, message);
  let failure = '';
  // A run that was stopped has no time left but for one word.
  const [attempts, longest] = run.signal.aborted ? [1, Math.min(timeout, LAST_WORD)] : [ATTEMPTS, timeout];
  for (let attempt = 0; attempt < attempts && !(attempt > 0 && run.signal.aborted); attempt++) {
    const stop = run.signal.aborted ? [] : [run.signal];
    try {
      const { ok, status, body } = await fetch(request.url, {
        ...request.init,
        signal: AbortSignal.any([...stop, AbortSignal.timeout(longest)]),
      });
      await body?.cancel();
      if (ok) return;
      failure = `it answered ${status}`;
      if (status < 500 && status !== 429) break;
    } catch (thrown) {
      failure = reason(thrown);
    }
  }
  if (run.signal.aborted && attempts > 1) return;
  // Whoever knows the path can report success in the place of this run.
  run.warn(`the healthcheck at ${url.host} could not be told of the ${event}: ${failure}`);
}

/** User and password of the URL become a header: fetch refuses them where they stand, and repeats all of it. */
function requestFor(url: URL, event: HealthcheckEvent, message: string): { readonly url: URL; readonly init: RequestInit } {
  const target = new URL(url);
  if (event !== 'success') target.pathname = `${target.pathname.replace(/\/$/, '')}/${event}`;
  const credentials = Buffer.from(`${decoded(target.username)}:${decoded(target.password)}`).toString('base64');
  const hasCredentials = target.username !== '' || target.password !== '';
  target.username = '';
  target.password = '';
  const headers: Record<string, string> = hasCredentials ? { authorization: `Basic ${credentials}` } : {};
  return { url: target, init: { method: 'POST', body: message.slice(0, LONGEST_BODY), headers } };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What went wrong, in words of ours or as a code: those of fetch may hold the URL. */
function reason(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'it could not be asked';
  if (thrown.name === 'TimeoutError') return 'no answer in time';
  const { code } = (thrown.cause ?? {}) as NodeJS.ErrnoException;
  return code ?? 'it could not be asked';
}
