import { hiddenTold, isSelectionKnown, lastingNotes } from '../archive/header.js';
import type { ArchiveReader } from '../archive/reader.js';
import { RecordScanner } from '../archive/spans.js';
import { directoriesAboveSelected, selectNodes } from '../convert/v2-select.js';
import { type AuthData, authAsStored } from '../model/auth.js';
import { keepRecords, type RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import { NoteBook } from '../model/note.js';
import type { KeySelection, Source, SourceInfo } from '../model/source.js';
import { intersectSelections, isSelected } from '../selection/select.js';
import { requireTreePrefixes } from '../selection/tree-prefix.js';

/**
 * An archive as a source. Only segments that can hold a selected key are read. Leases and records
 * may be read any number of times. Closing it leaves the bytes behind the reader open.
 *
 * @param location for messages and reports, without credentials
 * @throws FerryError `usage` for a prefix that no path of a tree can begin with
 * @param all gives all records in another way than by the manifest: then no segment is left out
 */
export function archiveSource(
  reader: ArchiveReader,
  location: string,
  selection: KeySelection,
  all?: () => AsyncIterable<RecordBatch>,
): Source {
  if (reader.header.api === 'v2') requireTreePrefixes(selection);
  return new ArchiveSource(reader, location, selection, all);
}

class ArchiveSource implements Source {
  readonly info: SourceInfo;
  readonly notes = new NoteBook();
  readonly #reader: ArchiveReader;
  readonly #selection: KeySelection;
  readonly #all: (() => AsyncIterable<RecordBatch>) | undefined;

  constructor(reader: ArchiveReader, location: string, selection: KeySelection, all: (() => AsyncIterable<RecordBatch>) | undefined) {
    this.#reader = reader;
    this.#selection = selection;
    this.#all = all;
    this.info = infoOf(reader, location, selection);
    this.notes.merge(this.info.lastingNotes ?? []);
  }

  leases(): AsyncIterable<readonly Lease[]> {
    return this.#reader.leases();
  }

  async auth(): Promise<AuthData | undefined> {
    const auth = await this.#reader.auth();
    return auth === undefined ? undefined : authAsStored(auth);
  }

  async *records(): AsyncGenerator<RecordBatch, void, undefined> {
    const { prefixes, excludePrefixes } = this.#selection;
    if (prefixes.length === 0 && excludePrefixes.length === 0) {
      yield* this.#all?.() ?? this.#reader.records();
      return;
    }
    const segments = prefixes.length === 0 ? undefined : this.#segmentsFor(prefixes);
    if (this.info.order === 'tree') {
      yield* selectNodes(this.#all?.() ?? this.#reader.records(segments), this.#selection);
      return;
    }
    const scanner = new RecordScanner(this.info.order);
    for await (const batch of this.#all?.() ?? this.#reader.records(segments)) {
      const selected = selectFrom(batch, scanner, this.#selection);
      if (selected.count > 0) yield selected;
    }
  }

  readonly keysNear = async function* (this: ArchiveSource): AsyncGenerator<Buffer> {
    const scanner = new RecordScanner(this.info.order);
    for await (const { bytes, starts, ends, count } of this.#reader.records()) {
      for (let i = 0; i < count; i++) {
        const { keyStart, keyEnd } = scanner.scan(bytes, starts[i] as number, ends[i] as number);
        yield bytes.subarray(keyStart, keyEnd);
      }
    }
  }.bind(this);

  async close(): Promise<void> {}

  /** Of a tree also those with the directories above, whose TTLs reach what is selected. */
  #segmentsFor(prefixes: readonly Buffer[]): number[] {
    const segments = this.#reader.segmentsWithPrefix(prefixes);
    if (this.info.order !== 'tree') return segments;
    const above = this.#reader.segmentsWithKeys(directoriesAboveSelected(this.#selection));
    return [...new Set([...segments, ...above])].sort((a, b) => a - b);
  }
}

/** The selected records of a batch, in the batch's own memory. */
function selectFrom(batch: RecordBatch, scanner: RecordScanner, selection: KeySelection): RecordBatch {
  return keepRecords(batch, (bytes, start, end) => {
    const { keyStart, keyEnd } = scanner.scan(bytes, start, end);
    return isSelected(bytes.subarray(keyStart, keyEnd), selection);
  });
}

function infoOf(reader: ArchiveReader, location: string, selection: KeySelection): SourceInfo {
  const { header, manifest } = reader;
  const { clusterId, memberId, serverVersion } = header.source;
  const notes = lastingNotes(header);
  const hidden = hiddenTold(header);
  return {
    kind: 'archive',
    api: header.api,
    order: header.order,
    location,
    revision: header.revision,
    ...(header.compactRevision === undefined ? {} : { compactRevision: header.compactRevision }),
    ...(header.scheduledCompactRevision === undefined ? {} : { scheduledCompactRevision: header.scheduledCompactRevision }),
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(memberId === undefined ? {} : { memberId }),
    ...(serverVersion === undefined ? {} : { serverVersion }),
    startedAt: header.startedAt,
    selection: intersectSelections(header.selection, selection),
    ...(isSelectionKnown(header) ? { isSelectionKnown: true } : {}),
    ...(hidden === undefined ? {} : { hiddenTold: hidden }),
    ...(header.objects === undefined ? {} : { objects: header.objects }),
    ...(notes.length === 0 ? {} : { lastingNotes: notes }),
    ...(selection.prefixes.length === 0 ? { estimatedRecords: manifest.records } : {}),
  };
}
