import { tmpdir } from 'node:os';
import type { ByteSource } from '../model/bytes.js';
import { quietRun, type RunContext } from '../model/run.js';
import { EVERYTHING } from '../model/source.js';
import { RecordSorter } from '../sort/sorter.js';
import { EtcdBackend } from '../wire/backend.js';
import { crc32c } from '../wire/crc32c.js';
import { MainRevision } from '../wire/revision-key.js';
import { ALWAYS_AT_REST, watchFile, whileAtRest } from './at-rest.js';
import { type HashCheck, proveHash } from './snapshot-file.js';
import { type LogPiece, readLog } from './snapshot-file-log.js';
import { chosenRevision } from './snapshot-file-revision.js';

const NUMBER_BYTES = 8;
/** Number of the change, 1 for a deletion, then the user's key. */
const KEY_AT = NUMBER_BYTES + 1;

export interface HashKvOptions {
  /** The latest unless given. */
  readonly revision?: bigint;
  /** Where the file lies, as in `SnapshotFileOptions`. */
  readonly path?: string;
  /** An existing directory for what does not fit into memory; the system's unless given. */
  readonly tmpDir?: string;
  /** What is asked of the SHA-256 at the file's end; `if-there` unless given: the hash says nothing of the file itself. */
  readonly hash?: HashCheck;
}

export interface HashKv {
  /** An unsigned 32-bit integer. */
  readonly hash: number;
  /** The later of the finished and the scheduled compaction; -1n when nothing was compacted. */
  readonly compactRevision: bigint;
  readonly revision: bigint;
}

/**
 * The hash that `etcdctl endpoint hashkv` gives of a member with this file: CRC-32C over the log of
 * changes up to a revision, without what a compaction has removed or is free to remove (etcd
 * server/storage/mvcc/hash.go). Two members agree when compaction revision and revision are the
 * same too.
 *
 * @throws FerryError `damaged`, `usage` when a process holds a lock on the file, `unknown-format`, `compacted`, `future-revision`
 */
export async function hashKv(bytes: ByteSource, options: HashKvOptions = {}, run: RunContext = quietRun()): Promise<HashKv> {
  const watch = options.path === undefined ? ALWAYS_AT_REST : await watchFile(bytes, options.path, run.warn);
  const found = await whileAtRest(watch, () => hashLog(bytes, options, run));
  await watch.check();
  return found;
}

async function hashLog(bytes: ByteSource, options: HashKvOptions, run: RunContext): Promise<HashKv> {
  const backend = await EtcdBackend.open(bytes);
  // A server that loads the file resumes a compaction that is scheduled and not finished (etcd server/storage/mvcc/kvstore.go, restore).
  const { compacted } = backend;
  const revision = chosenRevision(backend, options.revision, compacted);
  await proveHash(bytes, options.hash ?? 'if-there', run.signal);
  const compactRevision = compacted === 0n ? -1n : compacted;
  const kept = compactRevision < 1n ? undefined : await newestChanges(backend, revision, options.tmpDir ?? tmpdir(), run);
  const compaction = new MainRevision(compactRevision);
  let hash = crc32c(Buffer.from('key'));
  for await (const piece of readLog(backend, { revision, selection: EVERYTHING }, run)) {
    for (let i = 0; i < piece.count; i++) {
      const start = piece.starts[i] as number;
      if (kept !== undefined && isCompacted(piece, i, compaction.compare(piece.bytes, start), kept)) continue;
      hash = crc32c(piece.bytes.subarray(start, piece.ends[i]), hash);
    }
  }
  return { hash, compactRevision, revision };
}

/** @param order of the change's revision and the compaction's */
function isCompacted(piece: LogPiece, i: number, order: number, kept: BitSet): boolean {
  if (order > 0) return false;
  if (order === 0 && piece.tombstones[i] === 1) return true;
  return !kept.isEmpty && !kept.has(piece.numbers[i] as number);
}

/** The numbers of the changes that are the last of their keys, but for deletions. */
async function newestChanges(backend: EtcdBackend, revision: bigint, tmpDir: string, run: RunContext): Promise<BitSet> {
  const findKey = (_: Buffer, start: number, end: number, range: { start: number; end: number }): void => {
    range.start = start + KEY_AT;
    range.end = end;
  };
  await using sorter = new RecordSorter({ findKey, tmpDir, dropOlder: true }, run);
  let changes = 0;
  for await (const piece of readLog(backend, { revision, selection: EVERYTHING }, run)) {
    await addKeys(sorter, piece);
    changes = (piece.numbers[piece.count - 1] as number) + 1;
  }
  await sorter.finish();
  const kept = new BitSet(changes);
  for await (const { bytes, starts, count } of sorter.lentBatches()) {
    for (let i = 0; i < count; i++) {
      const start = starts[i] as number;
      if (bytes[start + NUMBER_BYTES] === 0) kept.add(bytes.readDoubleBE(start));
    }
  }
  return kept;
}

function addKeys(sorter: RecordSorter, { bytes, count, numbers, keyStarts, keyEnds, tombstones }: LogPiece): Promise<void> {
  const starts = new Uint32Array(count);
  const ends = new Uint32Array(count);
  let size = 0;
  for (let i = 0; i < count; i++) size += KEY_AT + (keyEnds[i] as number) - (keyStarts[i] as number);
  const records = Buffer.allocUnsafe(size);
  let at = 0;
  for (let i = 0; i < count; i++) {
    starts[i] = at;
    records.writeDoubleBE(numbers[i] as number, at);
    records[at + NUMBER_BYTES] = tombstones[i] as number;
    at += KEY_AT;
    for (let from = keyStarts[i] as number, to = keyEnds[i] as number; from < to; ) records[at++] = bytes[from++] as number;
    ends[i] = at;
  }
  return sorter.addSlices(records, starts, ends, count);
}

/** A set of numbers, one bit each. */
class BitSet {
  readonly #bits: Uint8Array;
  isEmpty = true;

  constructor(size: number) {
    this.#bits = new Uint8Array(Math.ceil(size / 8));
  }

  add(number: number): void {
    const byte = Math.floor(number / 8);
    this.#bits[byte] = (this.#bits[byte] as number) | (1 << (number % 8));
    this.isEmpty = false;
  }

  has(number: number): boolean {
    return ((this.#bits[Math.floor(number / 8)] as number) & (1 << (number % 8))) !== 0;
  }
}
