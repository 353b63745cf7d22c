import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection } from '../model/source.js';
import { isSelected, selectsAll } from '../selection/select.js';
import { type BackendView, inFile } from '../wire/backend.js';
import type { BoltRun } from '../wire/bbolt-walk.js';
import { type KeyValueScan, newScan, scanKeyValue } from '../wire/keyvalue-scan.js';
import { checkRevisionKey, decodeRevisionKey, MainRevision, REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES } from '../wire/revision-key.js';

/** Changes of the log, parsed and checked; valid until the next piece is asked for. All offsets are into `bytes`. */
export interface LogPiece {
  readonly bytes: Buffer;
  readonly count: number;
  /** Number of each change in the whole log, from 0. */
  readonly numbers: Float64Array;
  /** Where each change's revision key begins; its `mvccpb.KeyValue` follows it. */
  readonly starts: Uint32Array;
  readonly values: Uint32Array;
  readonly ends: Uint32Array;
  /** Where the user's key lies. */
  readonly keyStarts: Uint32Array;
  readonly keyEnds: Uint32Array;
  /** 1 for a deletion. */
  readonly tombstones: Uint8Array;
  /** Lease id, 0n for none. */
  readonly leases: BigInt64Array;
}

export interface LogOptions {
  /** Changes after this revision are left out. */
  readonly revision: bigint;
  readonly selection: KeySelection;
  /** Leaves out what `--bump-revision` leaves behind: records with an empty key. */
  readonly noBumps?: boolean;
}

/**
 * The log of changes, in order, up to a revision: those of the keys selected.
 *
 * @throws FerryError `damaged`; the signal's reason
 */
export async function* readLog(backend: BackendView, options: LogOptions, run: RunContext): AsyncGenerator<LogPiece> {
  const limit = new MainRevision(options.revision);
  const name = backend.bolt.source.name;
  let columns = newColumns(0);
  let records = 0;
  let bytes = 0;
  for await (const piece of backend.log()) {
    run.signal.throwIfAborted();
    const wanted = countUpTo(piece, limit);
    if (columns.ends.length < wanted) columns = newColumns(2 * wanted);
    const count = inFile(name, () => fill(columns, piece, wanted, records, options));
    records += wanted;
    if (wanted > 0) bytes += (piece.ends[wanted - 1] as number) - (piece.keys[0] as number);
    if (count > 0) yield { bytes: piece.bytes, count, ...columns };
    run.progress({ phase: 'reading', records, bytes, totalBytes: backend.bolt.usedBytes });
    if (wanted < piece.count) return;
  }
}

/** True when the log has a put: a log of nothing but deletions and revision bumps holds no key. */
export async function holdsPut(backend: BackendView): Promise<boolean> {
  for await (const { keys, values, ends, count } of backend.log()) {
    for (let i = 0; i < count; i++) {
      const value = values[i] as number;
      // A put has no mark of a deletion, and a value; what --bump-revision leaves behind has none.
      if (value - (keys[i] as number) === REVISION_KEY_BYTES && (ends[i] as number) > value) return true;
    }
  }
  return false;
}

type Columns = Omit<LogPiece, 'bytes' | 'count'>;

function newColumns(capacity: number): Columns {
  return {
    numbers: new Float64Array(capacity),
    starts: new Uint32Array(capacity),
    values: new Uint32Array(capacity),
    ends: new Uint32Array(capacity),
    keyStarts: new Uint32Array(capacity),
    keyEnds: new Uint32Array(capacity),
    tombstones: new Uint8Array(capacity),
    leases: new BigInt64Array(capacity),
  };
}

/** How many changes at the beginning of a run are not after the revision. */
function countUpTo({ bytes, keys, values, count }: BoltRun, limit: MainRevision): number {
  for (let i = 0; i < count; i++) {
    const start = keys[i] as number;
    if ((values[i] as number) - start >= 8 && limit.compare(bytes, start) > 0) return i;
  }
  return count;
}

function fill(columns: Columns, { bytes, keys, values, ends }: BoltRun, wanted: number, before: number, options: LogOptions): number {
  const scan = newScan();
  const all = selectsAll(options.selection);
  let n = 0;
  for (let i = 0; i < wanted; i++) {
    const start = keys[i] as number;
    const value = values[i] as number;
    const end = ends[i] as number;
    checkRevisionKey(bytes, start, value);
    scanKeyValue(bytes, value, end, scan);
    const tombstone = value - start === TOMBSTONE_KEY_BYTES;
    checkChange(bytes, start, value, end, scan);
    if (options.noBumps === true && value === end) continue;
    if (!all && !isSelected(bytes.subarray(scan.keyStart, scan.keyEnd), options.selection)) continue;
    columns.numbers[n] = before + i;
    columns.starts[n] = start;
    columns.values[n] = value;
    columns.ends[n] = end;
    columns.keyStarts[n] = scan.keyStart;
    columns.keyEnds[n] = scan.keyEnd;
    columns.tombstones[n] = tombstone ? 1 : 0;
    columns.leases[n] = scan.lease;
    n++;
  }
  return n;
}

/** A deletion holds its key and no more; any other change but the mark of a revision bump says the revision it is stored under. */
function checkChange(bytes: Buffer, start: number, value: number, end: number, scan: KeyValueScan): void {
  const tombstone = value - start === TOMBSTONE_KEY_BYTES;
  const isBump = value === end;
  if (tombstone ? scan.keyEnd === end && !isBump : isBump || scan.modRevision === bytes.readBigUInt64BE(start)) return;
  const { main, sub } = decodeRevisionKey(bytes.subarray(start, value));
  if (tombstone) throw new FerryError('damaged', `the deletion at revision ${main}, ${sub} is not a key alone`);
  throw new FerryError('damaged', `the record at revision ${main}, ${sub} says it was modified at ${scan.modRevision}`);
}
