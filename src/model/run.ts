/** How far a run has come. Totals are estimates where the source cannot know them. */
export interface Progress {
  /** What is being done, as a word for people: `reading`, `proving`, `writing`. */
  readonly phase: string;
  readonly records: number;
  /** Bytes of records (raw, not compressed). */
  readonly bytes: number;
  readonly totalRecords?: number;
  readonly totalBytes?: number;
  /** While a source is followed: its changes that are still to be carried over. */
  readonly behind?: number;
}

/** What every long-running function is given: how to be stopped, and whom to tell. */
export interface RunContext {
  /** Aborted on SIGINT or SIGTERM, with a FerryError as its reason. */
  readonly signal: AbortSignal;
  readonly progress: (progress: Progress) => void;
  /** A line for the user that cannot wait for the report (a restart, an insecure setting). */
  readonly warn: (message: string) => void;
}

/** A context that tells nobody and is never stopped; for library users and tests. */
export function quietRun(signal: AbortSignal = new AbortController().signal): RunContext {
  return { signal, progress: () => {}, warn: () => {} };
}

/**
 * Waits for something that cannot be stopped itself, but no longer than until the signal is aborted.
 *
 * @returns what the work resolves to
 * @throws the signal's reason as soon as it is aborted; else what the work throws
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let stop = (): void => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([stopped, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Waits.
 *
 * @param time milliseconds
 * @throws the signal's reason when it is aborted meanwhile
 */
export async function pause(time: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, time);
    signal?.addEventListener('abort', done);
  });
  signal?.throwIfAborted();
}
