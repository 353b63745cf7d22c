import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';

/** A read that loses its revision to compaction this often will not win by trying again. */
const MAX_RESTARTS = 3;

/**
 * Reads, and begins again at a new revision when the one being read is compacted away.
 *
 * @param once reads once; is told how many times it was begun again
 * @param mayStartAgain false where a revision was asked for, or what was written cannot be taken back
 * @throws FerryError `compacted` when that happened again and again
 */
export async function againWhenCompacted<T>(once: (restarts: number) => Promise<T>, mayStartAgain: boolean, run: RunContext): Promise<T> {
  for (let restarts = 0; ; restarts++) {
    try {
      return await once(restarts);
    } catch (thrown) {
      const compacted = thrown instanceof FerryError && thrown.code === 'compacted';
      if (!compacted || !mayStartAgain) throw FerryError.from(thrown);
      if (restarts === MAX_RESTARTS) throw gaveUp(thrown);
      run.warn(`the revision being read was compacted away; starting again at a new one (${restarts + 1} of ${MAX_RESTARTS})`);
    }
  }
}

function gaveUp(thrown: unknown): FerryError {
  return new FerryError('compacted', `the revision being read was compacted away ${MAX_RESTARTS + 1} times; nothing was written`, {
    hint: 'Use --via snapshot, which no compaction can disturb, or compact less often while backing up.',
    cause: thrown,
  });
}
