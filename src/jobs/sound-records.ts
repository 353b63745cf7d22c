import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { delegate, type Source, type SourceInfo } from '../model/source.js';
import { isUnder } from '../model/tree-path.js';
import { RecordFields } from '../wire/record-fields.js';
import { REVISION_KEY_BYTES } from '../wire/revision-key.js';
import { entriesOf } from './entries.js';
import { problemOf } from './record-problems.js';

/** Field numbers of KeyValue, and of the archive's Node. */
const KEY = 1;
const CREATE_REVISION = 2;
const MOD_REVISION = 3;
const VERSION = 4;
const DIR = 2;
const NODE_VALUE = 3;
const CREATED_INDEX = 4;
const MODIFIED_INDEX = 5;

/**
 * The same source, each of whose records is looked at as it is read: one that `verify` would call
 * damaged for its revisions, its version or its place in a tree must not be archived as if it were whole.
 *
 * `records()` throws FerryError `damaged` for such a record of a file, `failed` for one of a live
 * cluster, naming key and location.
 */
export function soundRecords(source: Source): Source {
  return { ...delegate(source), records: () => lookedAt(source) };
}

async function* lookedAt(source: Source): AsyncGenerator<RecordBatch> {
  const check = new SoundCheck(source.info);
  for await (const batch of source.records()) {
    const problem = check.firstProblem(batch);
    if (problem !== undefined) throw refusal(source.info, problem);
    yield batch;
  }
}

function refusal({ kind, location }: SourceInfo, problem: string): FerryError {
  if (kind !== 'live') {
    const hint = 'Take another copy; etcdferry verify --depth records tells all such records.';
    return new FerryError('damaged', `${location}: ${problem}`, { hint });
  }
  const hint = "No etcd answers so: look what stands between, and at the server's log; then try again.";
  return new FerryError('failed', `${location}: ${problem}`, { hint });
}

/** Looks at records by the numbers in their bytes, and decodes those that do not look right. */
class SoundCheck {
  readonly #info: SourceInfo;
  readonly #revision: number;
  readonly #looksRight: (bytes: Buffer, start: number, end: number) => boolean;
  readonly #fields = new RecordFields();
  /** Path of the node before, where it was a file. */
  #file: Buffer | undefined;

  constructor(info: SourceInfo) {
    this.#info = info;
    this.#revision = Number(info.revision);
    const looks = { key: this.#keyLooksRight, revision: this.#changeLooksRight, tree: this.#nodeLooksRight };
    this.#looksRight = looks[info.order];
  }

  firstProblem(batch: RecordBatch): string | undefined {
    for (let i = 0; i < batch.count; i++) {
      if (!this.#looksRight(batch.bytes, batch.starts[i] as number, batch.ends[i] as number)) {
        const problem = this.#problemAt(batch, i);
        if (problem !== undefined) return problem;
      }
    }
    // A batch's memory may be written anew.
    if (this.#file !== undefined) this.#file = Buffer.from(this.#file);
    return undefined;
  }

  #problemAt(batch: RecordBatch, index: number): string | undefined {
    const { bytes, starts, ends } = batch;
    const one = { bytes, starts: starts.subarray(index, index + 1), ends: ends.subarray(index, index + 1), count: 1 };
    for (const entry of entriesOf(one, this.#info)) {
      const problem = problemOf(entry, this.#info, bytes, starts[index] as number) ?? this.#placeProblem(entry.key);
      if (problem !== undefined) return `${showKey(entry.key)} ${problem}`;
      this.#file = this.#info.order === 'tree' && !entry.dir ? entry.key : undefined;
    }
    return undefined;
  }

  /** In tree order all that is below a node comes right after it. */
  #placeProblem(path: Buffer): string | undefined {
    if (this.#file === undefined || !isUnder(path, this.#file)) return undefined;
    return `is below ${showKey(this.#file)}, which is no directory`;
  }

  readonly #keyLooksRight = (bytes: Buffer, start: number, end: number): boolean =>
    this.#fields.scan(bytes, start, end) && this.#isSound(this.#fields.numbers[MOD_REVISION] as number);

  readonly #changeLooksRight = (bytes: Buffer, start: number, end: number): boolean => {
    // A deletion is decoded.
    if (end - start <= REVISION_KEY_BYTES || !this.#fields.scan(bytes, start + REVISION_KEY_BYTES, end)) return false;
    const main = bytes.readUInt32BE(start) * 2 ** 32 + bytes.readUInt32BE(start + 4);
    return main === this.#fields.numbers[MOD_REVISION] && this.#isSound(main);
  };

  readonly #nodeLooksRight = (bytes: Buffer, start: number, end: number): boolean => {
    const { numbers, from, to } = this.#fields;
    if (!this.#fields.scan(bytes, start, end) || to[KEY] === from[KEY]) return false;
    const path = bytes.subarray(from[KEY], to[KEY]);
    const modified = numbers[MODIFIED_INDEX] as number;
    const isDir = numbers[DIR] !== 0;
    if ((numbers[CREATED_INDEX] as number) > modified || modified > this.#revision) return false;
    if ((isDir && to[NODE_VALUE] !== from[NODE_VALUE]) || this.#placeProblem(path) !== undefined) return false;
    this.#file = isDir ? undefined : path;
    return true;
  };

  #isSound(modified: number): boolean {
    const { numbers, from, to } = this.#fields;
    const created = numbers[CREATE_REVISION] as number;
    return created >= 1 && created <= modified && modified <= this.#revision && (numbers[VERSION] as number) >= 1 && to[KEY] !== from[KEY];
  }
}
