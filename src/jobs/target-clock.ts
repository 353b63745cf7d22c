import type { ClusterOptions } from '../cluster/options.js';
import { connectV2 } from '../cluster/v2.js';
import { offsetText } from '../cluster/v2-clock.js';
import { FerryError } from '../errors.js';
import { type Note, NoteBook } from '../model/note.js';

const NANOSECONDS_IN_MILLISECOND = 1_000_000n;

/** A clock that is not this machine's, and what the report says of it. */
export interface OtherClock {
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  readonly notes: readonly Note[];
}

/**
 * A cluster's clock, by the `Date` of its answer to GET /version, which etcd serves beside gRPC.
 *
 * @returns undefined where it is no more than two seconds from this machine's, or is not told
 * @throws the signal's reason when it is aborted
 */
export async function targetClock(
  { user: _, password: __, ...connection }: ClusterOptions,
  signal: AbortSignal,
): Promise<OtherClock | undefined> {
  const http = connectV2(connection);
  try {
    await http.version(signal);
    return otherClock(http.clockOffset());
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof FerryError)) throw thrown;
    return undefined;
  } finally {
    await http.close();
  }
}

/** @param offset nanoseconds that it is ahead */
function otherClock(offset: bigint): OtherClock | undefined {
  if (offset === 0n) return undefined;
  const notes = new NoteBook();
  notes.add('target-clock-apart', "the target's clock and that of this machine are apart: deadlines are held to the target's", {
    example: offsetText(offset),
  });
  return { now: () => Date.now() + Number(offset / NANOSECONDS_IN_MILLISECOND), notes: notes.list() };
}
