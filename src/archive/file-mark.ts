import type { Note } from '../model/note.js';
import type { SourceInfo } from '../model/source.js';
import { lastingNotes } from './header.js';
import { asObject, given, parseJson } from './json.js';
import { type Chosen, parseSelection, selectionToJson } from './selection.js';

/** What a snapshot file says of what it was made of, in a mark of ours. */
export interface FileMark extends Chosen {
  /** As in `SourceInfo`. */
  readonly isSelectionKnown: boolean;
  readonly lastingNotes: readonly Note[];
  /** Of the meta page that the mark was written with: whoever has changed the file since has another one, and owns it. */
  readonly txid: bigint;
}

/** The mark of a snapshot file made from a source: JSON, as in an archive's header. */
export function encodeFileMark(info: SourceInfo, txid: bigint): Buffer {
  const { selection, objects, isSelectionKnown = false, lastingNotes: notes = [] } = info;
  return Buffer.from(
    JSON.stringify({
      txid: String(txid),
      selection: selectionToJson({ selection, ...given('objects', objects) }),
      isSelectionKnown,
      notes: notes.map(({ lossy: _, ...note }) => note),
    }),
  );
}

/** @throws FerryError `damaged` */
export function parseFileMark(bytes: Buffer, where: string): FileMark {
  const json = parseJson(bytes, where);
  const { txid } = json;
  return {
    txid: typeof txid === 'string' && /^\d{1,20}$/.test(txid) ? BigInt(txid) : 0n,
    ...parseSelection(asObject(json.selection, `${where}: selection`), `${where}: selection`),
    isSelectionKnown: json.isSelectionKnown === true,
    lastingNotes: lastingNotes({ options: json }),
  };
}
