import { createHash } from 'node:crypto';
import { closeSync, fdatasync, fsyncSync, openSync, writeSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { V3Cluster } from '../cluster/v3.js';
import { secondOfLease } from '../convert/v2-expiration.js';
import { FerryError } from '../errors.js';
import { RevisionSet } from '../model/revision-set.js';
import type { RunContext } from '../model/run.js';
import type { SourceInfo } from '../model/source.js';
import { createFile } from '../storage/file.js';
import type { SentRecord, SentTransaction, WriteMemory } from '../writers/live-v3-memory.js';
import { headerLine, parseState, type StateContents, type StateHeader, stateLine, type Witness } from './migrate-state-file.js';
import { digestOf, inOrder, isSameTarget, revokeUnused, sample, settleDoubts } from './migrate-state-target.js';

/** Where the state of a migration is kept. */
export interface StatePlace {
  /** A file; else one in `directory`, named by both clusters and the work. */
  readonly path?: string;
  readonly directory: string;
  /** What chooses and renames keys, in a form that is the same for the same work. */
  readonly work: string;
}

/** One migration, as far as its state tells it from others. */
export interface StateOf {
  readonly source: SourceInfo;
  readonly cluster: V3Cluster;
  /** Prefixes of the target that its keys lie under. */
  readonly within: readonly Buffer[];
}

/** Between two syncs of what was appended, in milliseconds: a kill loses nothing, a power cut so much. */
const SYNC_EVERY = 1_000;
/** A file that has grown so large, in bytes, is written anew. */
const LARGE = 8 << 20;
const WITNESSES_KEPT = 64;
/** A lease whose id says that it has ended so many seconds ago is not asked about: a long following has very many. */
const ENDED_FOR = 60n;

/**
 * Opens the state of a migration: reads what earlier runs left, finds out what became of the
 * transactions they were killed in, and writes it anew, on the disk before this returns.
 *
 * @throws FerryError `usage` when the file tells of other work, or of a later state of the source;
 *   `damaged`, `unknown-format` for a file that cannot be read; `not-writable` and its like
 */
export async function openState(
  place: StatePlace,
  of: StateOf,
  options: { readonly dryRun: boolean },
  run: RunContext,
): Promise<MigrateState> {
  const { clusterId = 0n, revision = 0n } = await of.cluster.about(run.signal);
  const header = headerOf(place, of.source, clusterId);
  const path = place.path ?? join(place.directory, `migrate-${header.source}-${header.target}-${header.work.slice(0, 8)}.state`);
  const found = await readState(path);
  const earlier = found === undefined ? undefined : await checked(found, path, header, revision, of, run);
  const state = new MigrateState(path, header, of.within, earlier);
  if (earlier !== undefined) for (const witness of await settleDoubts(earlier.doubts, of.cluster, run)) state.settle(witness);
  if (!options.dryRun) await state.begin(revision);
  return state;
}

function headerOf({ work }: StatePlace, source: SourceInfo, target: bigint): StateHeader {
  const name = source.clusterId === undefined ? `x${digest(source.location).slice(0, 15)}` : hex(source.clusterId);
  return { schema: 'etcdferry.migrate-state/v1', source: name, target: hex(target), work: digest(work) };
}

async function readState(path: string): Promise<StateContents | undefined> {
  try {
    return parseState(await readFile(path, 'utf8'), path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw FerryError.from(thrown, `reading ${path}`);
  }
}

/** What the state says, if it is of this work and this target. */
async function checked(
  found: StateContents,
  path: string,
  header: StateHeader,
  revision: bigint,
  { source, cluster }: StateOf,
  run: RunContext,
): Promise<StateContents | undefined> {
  const other = (['source', 'target', 'work'] as const).find((field) => found.header[field] !== header[field]);
  if (other !== undefined) {
    const what = other === 'work' ? 'with other keys chosen, or other names for them' : `with another ${other}`;
    throw new FerryError('usage', `${path} is the state of a migration ${what}`, { hint: 'Name another file with --state.' });
  }
  if (!(await isSameTarget(found, revision, cluster))) {
    run.warn(`${path} tells of a target that was another one then, or that has forgotten; what is in it now counts as not ours`);
    return undefined;
  }
  if (source.revision < found.sourceIndex) {
    throw new FerryError('usage', `the source is at index ${source.revision}, but was at ${found.sourceIndex} when it was migrated last`, {
      hint: `Is it an older copy, or a new cluster in its place? If that is meant, remove ${path}.`,
    });
  }
  return found;
}

/** The state of a migration, open. Every line is in the hands of the system when a call returns. */
export class MigrateState implements WriteMemory {
  readonly path: string;
  readonly within: readonly Buffer[];
  readonly #header: StateHeader;
  readonly #revisions: RevisionSet;
  readonly #leases: Set<bigint>;
  #witnesses: Witness[];
  #sourceIndex: bigint;
  readonly hasEarlier: boolean;
  #file: number | undefined;
  #sent = 0;
  #targetRevision = 0n;
  #written = 0;
  #syncedAt = 0;

  constructor(path: string, header: StateHeader, within: readonly Buffer[], earlier: StateContents | undefined) {
    this.path = path;
    this.within = within;
    this.#header = header;
    this.#revisions = earlier?.revisions ?? new RevisionSet();
    this.#leases = new Set(earlier?.leases);
    this.#witnesses = [...(earlier?.witnesses ?? [])];
    this.#sourceIndex = earlier?.sourceIndex ?? 0n;
    this.hasEarlier = earlier !== undefined && (!this.#revisions.isEmpty || earlier.doubts.length > 0);
  }

  isOurs(revision: bigint): boolean {
    return this.#revisions.has(revision);
  }

  /** Takes a transaction of an earlier run for ours. */
  settle({ key, revision }: Witness): void {
    this.#revisions.add(revision);
    this.#keepWitness(key, revision);
  }

  /** Writes the state anew, as a file that is whole, and goes on in it. */
  async begin(targetRevision: bigint): Promise<void> {
    this.#targetRevision = targetRevision;
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 }).catch((thrown) => {
      throw FerryError.from(thrown, `making ${dirname(this.path)}`);
    });
    this.#closeFile();
    const sink = await createFile(this.path, { overwrite: true });
    try {
      const text = this.#text();
      await sink.write(Buffer.from(text));
      await sink.finish();
      this.#written = text.length;
    } catch (thrown) {
      await sink.abort();
      throw thrown;
    }
    this.#file = openSync(this.path, 'a', 0o600);
    this.#syncedAt = Date.now();
  }

  /** Writes a file that has grown large anew; to be called while no transaction is under way. */
  async tidy(): Promise<void> {
    if (this.#file !== undefined && this.#written > LARGE) await this.begin(this.#targetRevision);
  }

  sends(records: readonly SentRecord[]): SentTransaction {
    const n = ++this.#sent;
    const sorted = inOrder(records);
    const [first, last] = [(sorted[0] as SentRecord).key, (sorted.at(-1) as SentRecord).key];
    this.#append(stateLine.sent(n, digestOf(sorted), first, last));
    return {
      wrote: (revision) => {
        this.#append(stateLine.wrote(n, revision));
        this.#revisions.add(revision);
        this.#keepWitness(first, revision);
      },
      failed: () => this.#append(stateLine.failed(n)),
    };
  }

  grants(lease: bigint): boolean {
    if (this.#leases.has(lease)) return false;
    this.#leases.add(lease);
    this.#append(stateLine.lease(lease));
    return true;
  }

  refused(lease: bigint): void {
    this.#leases.delete(lease);
    this.#append(stateLine.noLease(lease));
  }

  /** All is as the source was at this index: leases that nothing is attached to are revoked. */
  async finish(sourceIndex: bigint, cluster: V3Cluster, run: RunContext): Promise<void> {
    const now = BigInt(Math.trunc(Date.now() / 1000));
    const ended = (id: bigint): boolean => (secondOfLease(id) ?? now) < now - ENDED_FOR;
    for (const id of [...this.#leases].filter(ended)) this.refused(id);
    for (const id of await revokeUnused([...this.#leases], cluster, run)) this.refused(id);
    this.#sourceIndex = sourceIndex;
    this.#append(stateLine.source(sourceIndex));
    if (this.#file !== undefined) fsyncSync(this.#file);
  }

  close(): void {
    this.#closeFile();
  }

  #closeFile(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #keepWitness(key: Buffer, revision: bigint): void {
    // A copy: the batch's memory would live on.
    this.#witnesses.push({ key: Buffer.from(key), revision });
    if (this.#witnesses.length > 2 * WITNESSES_KEPT) this.#witnesses = this.#witnesses.filter((_, i) => i % 2 === 0 || i >= WITNESSES_KEPT);
  }

  #text(): string {
    const lines = [headerLine(this.#header), stateLine.source(this.#sourceIndex)];
    for (const [first, last] of this.#revisions.ranges()) lines.push(stateLine.ours(first, last));
    for (const id of this.#leases) lines.push(stateLine.lease(id));
    for (const witness of sample(this.#witnesses).reverse()) lines.push(stateLine.witness(witness));
    lines.push(stateLine.run(this.#targetRevision));
    return lines.join('');
  }

  #append(line: string): void {
    if (this.#file === undefined) return;
    try {
      writeSync(this.#file, line);
    } catch (thrown) {
      throw FerryError.from(thrown, `writing ${this.path}`);
    }
    this.#written += line.length;
    const now = Date.now();
    if (now - this.#syncedAt < SYNC_EVERY) return;
    this.#syncedAt = now;
    // In the background: a file that cannot be synced is told of by the last sync.
    fdatasync(this.#file, () => {});
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hex(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}
