import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import { decodeStored, isEncrypted } from '../kubernetes/decode.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { parseStoragePath } from '../kubernetes/storage-path.js';
import type { RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import { LeaseIds } from '../model/lease-ids.js';
import { type Note, NoteBook } from '../model/note.js';
import { isUnder } from '../model/tree-path.js';
import { type Entry, entriesOf } from './entries.js';
import { problemOf, type RecordRules } from './record-problems.js';

/** What records are held to. */
export interface CheckOptions extends RecordRules {
  /** Opens what Kubernetes encrypted. */
  readonly encryption?: Encryption;
}

/** Values of one kind. */
export interface KindCount {
  /** `Deployment`; by how it is stored where it is no object: `text`, `binary`, `json`; `encrypted`; `directory`; `deletion`. */
  readonly kind: string;
  /** Empty for what is no object of Kubernetes. */
  readonly apiVersion: string;
  readonly records: number;
  /** Of values, in bytes. */
  readonly bytes: number;
}

/** What was found in records, each of which was looked at. */
export interface RecordsAccount {
  readonly records: number;
  /** The most frequent first. */
  readonly kinds: readonly KindCount[];
  /** Objects that were encrypted and were opened. */
  readonly opened: number;
  /** Objects that stayed encrypted: no configuration was given, or no key of it opens them. */
  readonly locked: number;
  readonly notes: readonly Note[];
}

/** Kinds counted apart; a store may hold JSON that says anything of itself. */
const MAX_KINDS = 1_000;
/** Problems told by key. */
const TOLD = 5;

type Counted = { -readonly [K in keyof KindCount]: KindCount[K] };

/**
 * Looks at every record of a source for what no digest tells: whether revisions, versions and leases can
 * be so, whether a tree is one, and whether Kubernetes' values can be decoded.
 */
export class RecordChecker {
  readonly #options: CheckOptions;
  readonly #leases = new LeaseIds();
  readonly #kinds = new Map<string, Counted>();
  readonly #notes = new NoteBook();
  readonly #told: string[] = [];
  /** Directories that the current node can be in. */
  #parents: Entry[] = [];
  #problems = 0;
  #records = 0;
  #opened = 0;
  #locked = 0;

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  /** Takes the source's leases, before its records. */
  addLeases(leases: readonly Lease[]): void {
    for (const { id } of leases) this.#leases.add(id);
  }

  /** Looks at the records of a batch. @throws FerryError `damaged` for what is no record, `unreachable` for a KMS plugin */
  async add(batch: RecordBatch): Promise<void> {
    let index = 0;
    for (const entry of entriesOf(batch, this.#options)) {
      const start = batch.starts[index++] as number;
      this.#records++;
      const problem = this.#problemOf(entry, batch.bytes, start) ?? (await this.#value(entry));
      if (problem !== undefined) this.#tell(entry.key, problem);
    }
  }

  /** @throws FerryError `damaged` when a record is not as it must be, naming the first few */
  finish(where: string): RecordsAccount {
    if (this.#problems > 0) {
      const more = this.#problems > this.#told.length ? ` and ${this.#problems - this.#told.length} more` : '';
      throw new FerryError('damaged', `${where}: ${this.#told.join('; ')}${more}`, {
        hint: 'Its digests may hold: then it was written so. Compare with another source: verify --against LOC.',
      });
    }
    const kinds = [...this.#kinds.values()].sort((a, b) => b.records - a.records || (a.kind < b.kind ? -1 : 1));
    return { records: this.#records, kinds, opened: this.#opened, locked: this.#locked, notes: this.#notes.list() };
  }

  #tell(key: Buffer, problem: string): void {
    this.#problems++;
    if (this.#told.length < TOLD) this.#told.push(`${showKey(key)} ${problem}`);
  }

  #problemOf(entry: Entry, bytes: Buffer, start: number): string | undefined {
    const { api, order } = this.#options;
    const problem = problemOf(entry, this.#options, bytes, start);
    if (problem !== undefined || order === 'revision') return problem;
    if (api === 'v2') return this.#nodeProblem(entry);
    this.#noteLease(entry);
    return undefined;
  }

  /** A source may not have been allowed to tell of a lease. */
  #noteLease({ key, lease }: Entry): void {
    if (lease === 0n || this.#leases.has(lease)) return;
    this.#notes.add('lease-unknown', 'keys whose lease is not told of: when they expire is not known', {
      lossy: true,
      example: showKey(key),
    });
  }

  /** In tree order a directory stands right before all that is in it; what was not chosen may be missing. */
  #nodeProblem(node: Entry): string | undefined {
    while (this.#parents.length > 0 && !isUnder(node.key, (this.#parents.at(-1) as Entry).key)) this.#parents.pop();
    const parent = this.#parents.at(-1);
    this.#parents.push(node);
    return parent?.dir === false ? `is below ${showKey(parent.key)}, which is no directory` : undefined;
  }

  async #value({ key, value, dir, version }: Entry): Promise<string | undefined> {
    if (dir) this.#count('directory', '', 0);
    else if (this.#options.order === 'revision' && version === 0n && value.length === 0) this.#count('deletion', '', 0);
    else if (isEncrypted(value)) return this.#encrypted(key, value);
    else return this.#decoded(key, value, value.length);
    return undefined;
  }

  async #encrypted(key: Buffer, value: Buffer): Promise<string | undefined> {
    const { encryption } = this.#options;
    const opened = await encryption?.decrypt(value, key);
    if (opened?.opened === true) {
      this.#opened++;
      return this.#decoded(key, opened.value, value.length);
    }
    this.#locked++;
    this.#count('encrypted', '', value.length);
    if (encryption !== undefined) {
      this.#notes.add('value-not-opened', 'encrypted values that no key given opens', { lossy: true, example: showKey(key) });
    }
    return undefined;
  }

  #decoded(key: Buffer, value: Buffer, bytes: number): string | undefined {
    try {
      const { kind, apiVersion, format, isKnownKind, unknownFields } = decodeStored(value);
      this.#count(kind === '' ? format : kind, apiVersion, bytes);
      const isObject = parseStoragePath(key) !== undefined;
      if (isObject && !isKnownKind)
        this.#notes.add('unknown-kind', 'objects of a kind that this release does not know', { example: `${kind} of ${apiVersion}` });
      if (unknownFields > 0)
        this.#notes.add('unknown-fields', 'objects with fields that this release does not know', { example: showKey(key) });
      return undefined;
    } catch (thrown) {
      if (!(thrown instanceof FerryError)) throw thrown;
      this.#count('unreadable', '', bytes);
      return `has a value that does not decode: ${thrown.message}`;
    }
  }

  #count(kind: string, apiVersion: string, bytes: number): void {
    const name = `${apiVersion} ${kind}`;
    const known = this.#kinds.has(name) || this.#kinds.size < MAX_KINDS;
    const id = known ? name : '(other)';
    let counted = this.#kinds.get(id);
    if (counted === undefined) {
      counted = { kind: known ? kind : '(other)', apiVersion: known ? apiVersion : '', records: 0, bytes: 0 };
      this.#kinds.set(id, counted);
    }
    counted.records++;
    counted.bytes += bytes;
  }
}
