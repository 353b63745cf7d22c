import { formatKey } from '../convert/key-text.js';
import type { Pair } from '../locations/pair.js';
import { withObjects } from '../locations/source.js';
import type { RecordBatch } from '../model/batch.js';
import { NoteBook } from '../model/note.js';
import type { KeySelection, ObjectSelection, Source } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { sharedRecords, shownRecords } from './entries.js';

/** Two sources, as far as each can speak for what the other was taken with. */
export interface SharedSources extends Pair<() => AsyncIterable<RecordBatch>> {
  /** The keys that both were taken with. */
  readonly selection: KeySelection;
  /** What is to be known of what is left out. */
  readonly notes: NoteBook;
}

/** What of two sources can be compared: keys and objects that both were taken with. */
export async function sharedSources(left: Source, right: Source): Promise<SharedSources> {
  const [ofLeft, ofRight] = [KeySet.of(left.info.selection), KeySet.of(right.info.selection)];
  const both = ofLeft.intersect(ofRight);
  const notes = new NoteBook();
  if (!both.contains(ofLeft) || !both.contains(ofRight)) noteRest(notes, both);
  const selection = both.selection();
  const [limitedLeft, limitedRight] = [await likeOther(left, right), await likeOther(right, left)];
  return {
    left: () => recordsWithin(limitedLeft, ofLeft, both, selection),
    right: () => recordsWithin(limitedRight, ofRight, both, selection),
    selection,
    notes,
  };
}

/** What is read from a cluster holds no more than was asked for; an archive may, beyond what its header can say. */
function recordsWithin(source: Source, own: KeySet, both: KeySet, selection: KeySelection): AsyncIterable<RecordBatch> {
  return both.isEverything || (source.info.kind === 'live' && both.contains(own)) ? shownRecords(source) : sharedRecords(source, selection);
}

function noteRest(notes: NoteBook, both: KeySet): void {
  const message = 'only keys that both sides were taken with were compared';
  const prefixes = both.prefixes().map(formatKey);
  if (prefixes.length === 0) notes.add('compared-in-part', message);
  for (const example of prefixes) notes.add('compared-in-part', message, { example });
}

/** A source with the objects only that another's archive was made of. */
async function likeOther(source: Source, other: Source): Promise<Source> {
  const own: readonly ObjectSelection[] = source.info.objects ?? [];
  let like = source;
  for (const objects of other.info.objects ?? []) {
    if (objects === other.objectsSeen?.selection || own.includes(objects)) continue;
    like = await withObjects(like, { objects });
  }
  return like;
}
