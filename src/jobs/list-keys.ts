import { openSource, type SourceRequest } from '../locations/source.js';
import type { Note } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { SourceInfo } from '../model/source.js';
import { type Entry, entriesOf, shownRecords } from './entries.js';
import { warnOfNothing } from './nothing-selected.js';

/** What is known when the last key has been listed. */
export interface ListingEnd {
  readonly source: SourceInfo;
  readonly records: number;
  /** Bytes of values. */
  readonly bytes: number;
  readonly notes: readonly Note[];
}

/**
 * Hands every record of a source to `each`, in the source's order.
 *
 * @throws FerryError as the source does
 */
export async function listKeys(
  request: SourceRequest,
  each: (entry: Entry, source: SourceInfo) => void | Promise<void>,
  run: RunContext,
): Promise<ListingEnd> {
  const source = await openSource(request, run);
  try {
    let [records, bytes] = [0, 0];
    for await (const batch of shownRecords(source)) {
      run.signal.throwIfAborted();
      for (const entry of entriesOf(batch, source.info)) {
        records++;
        bytes += entry.value.length;
        await each(entry, source.info);
      }
    }
    await warnOfNothing(source, records, request, run);
    return { source: source.info, records, bytes, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}
