import type { V3Cluster } from '../cluster/v3.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import { FerryError } from '../errors.js';
import type { KeyValue } from '../model/keyvalue.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { EVERYTHING, type Source } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { tryAgain } from './live-v3-again.js';
import { type AuthPlan, planAuth, writeAuth } from './live-v3-auth.js';
import { spansAreEmpty } from './live-v3-empty.js';
import { noteEnded } from './live-v3-ended.js';
import { extrasScope, onlyOurs, removeExtras, requireKeys, scopeOf, spansOf } from './live-v3-extras.js';
import { LeaseTable } from './live-v3-lease-table.js';
import { TargetLeases } from './live-v3-leases.js';
import { emptyTally, type RestoreV3Options, type RestoreV3Report, type Tally } from './live-v3-options.js';
import { planRestore } from './live-v3-plan.js';
import { DEFAULT_MAX_BYTES, DEFAULT_MAX_OPS } from './live-v3-requests.js';
import { TargetRecords } from './live-v3-stream.js';
import { TargetReader } from './live-v3-target.js';
import { type Expected, writeRecords } from './live-v3-write.js';

export type { WriteMemory } from './live-v3-memory.js';
export type { RestoreV3Options, RestoreV3Report } from './live-v3-options.js';

const DEFAULT_IN_FLIGHT = 8;
/** Room for what a request adds to a record: its frame, and its key once more in a guard. */
const REQUEST_FRAME = 64 * 1024;

/**
 * Writes a source into a live v3 cluster. Whatever could stand against it is looked for before the
 * first write: keys with another value, keys that would become one, a record too large for the
 * server. A run that was cut short is run again and ends in the same state; one that finds
 * everything in place writes nothing.
 *
 * Records in tree order are a converted tree's that is still being read: they are written as they
 * come, for a target found to hold nothing. What is there all the same is met when it is met.
 *
 * @param source v3 records: in key order, and readable more than once; or in tree order
 * @throws FerryError `in-the-way` under the rule `fail` when the target has a key with another value
 *   or lease; `usage` for a mapping that cannot be; `no-space`, `unauthorized`, `unreachable` as the
 *   cluster says; the signal's reason when it is aborted
 */
export async function restoreLiveV3(
  source: Source,
  cluster: V3Cluster,
  options: RestoreV3Options,
  run: RunContext,
): Promise<RestoreV3Report> {
  const { api, order } = source.info;
  const readOnce = order === 'tree' && options.dryRun !== true && (options.deleteExtra ?? 'no') === 'no';
  if (api !== 'v3' || (order !== 'key' && !readOnce)) {
    throw new FerryError('usage', `only v3 records in key order can be written, found ${api} in ${order} order`);
  }
  return new Restore(source, cluster, options, run).carryOut();
}

interface Done {
  readonly tally: Tally;
  readonly notes: NoteBook;
}

class Restore {
  readonly #source: Source;
  readonly #cluster: V3Cluster;
  readonly #o: RestoreV3Options;
  readonly #run: RunContext;
  readonly #records: TargetRecords;
  readonly #target: TargetReader;
  readonly #dryRun: boolean;

  constructor(source: Source, cluster: V3Cluster, options: RestoreV3Options, run: RunContext) {
    this.#source = source;
    this.#cluster = cluster;
    this.#o = options;
    this.#run = run;
    this.#records = new TargetRecords(source, options);
    this.#target = new TargetReader(cluster, run.signal, options.memory);
    this.#dryRun = options.dryRun ?? false;
  }

  async carryOut(): Promise<RestoreV3Report> {
    const scope = await this.#scope();
    const leases = await this.#leases();
    const authNotes = new NoteBook();
    const auth = await this.#planAuth(authNotes);
    const { tally, notes } = (await this.#isFreeOfDoubt())
      ? await this.#write({ targetEmpty: true, inOrder: this.#source.info.order === 'key', ...this.#estimate() }, leases)
      : await this.#compareAndWrite(leases);
    notes.merge(leases.notes.list());
    notes.merge(authNotes.list());
    this.#noteLeftAlone(notes);
    if (scope !== undefined) await this.#removeExtras(scope, tally, notes);
    const { memory } = this.#o;
    // A tree that is written while it is read goes where nothing is.
    if (memory?.hasEarlier === true && this.#source.info.order === 'key') {
      await this.#removeExtras(scopeOf(memory), tally, notes, onlyOurs(memory, this.#source, notes));
    }
    if (auth !== undefined) await this.#writeAuth(auth, tally, notes);
    // A tree that is read once only has deadlines, which are met.
    if (!this.#dryRun && this.#source.info.order === 'key') {
      await noteEnded(this.#records, { leases, target: this.#target, notes, signal: this.#run.signal });
    }
    tally.leasesGranted = leases.granted;
    tally.leasesReused = leases.reused;
    return { ...tally, dryRun: this.#dryRun, revision: await this.#revision(), notes: notes.list() };
  }

  async #scope(): Promise<KeySet | undefined> {
    const { deleteExtra = 'no', selection = EVERYTHING, mapping = SAME_KEYS } = this.#o;
    if (deleteExtra === 'no') return undefined;
    const { location, selection: ofSource, objects } = this.#source.info;
    if (objects !== undefined) {
      throw new FerryError(
        'usage',
        `${location} has only objects that were chosen by kind, namespace or name: all others would be deleted`,
        {
          hint: 'Leave --delete-extra away, or restore what was chosen by --prefix only.',
        },
      );
    }
    const scope = extrasScope(deleteExtra, selection, ofSource, mapping);
    await requireKeys(this.#source, selection);
    return scope;
  }

  async #leases(): Promise<TargetLeases> {
    const rule = this.#o.leaseTtl ?? 'granted';
    const table = await LeaseTable.read(this.#source, rule, this.#o.now ?? Date.now);
    const { memory } = this.#o;
    return new TargetLeases({ cluster: this.#cluster, table, dryRun: this.#dryRun, signal: this.#run.signal, memory });
  }

  async #planAuth(notes: NoteBook): Promise<AuthPlan | undefined> {
    if (this.#o.withAuth !== true) return undefined;
    const auth = await this.#source.auth();
    if (auth !== undefined) return planAuth(auth, this.#cluster, this.#o.onConflict ?? 'fail', notes);
    notes.add('no-auth-in-source', 'the source has no users and roles, or may not tell them');
    return undefined;
  }

  /**
   * Whether nothing can be found wrong by comparing before the first write: the records were proven,
   * keep their order and stay apart under their new names, none is too large, and the target holds
   * nothing where they go. Of a tree that is being read, whoever reads it has seen to that.
   */
  async #isFreeOfDoubt(): Promise<boolean> {
    const { order, largestRecord, selection: ofSource } = this.#source.info;
    if (order === 'tree') return true;
    const { mapping = SAME_KEYS, selection = EVERYTHING, maxRequestBytes = DEFAULT_MAX_BYTES, deleteExtra = 'no' } = this.#o;
    if (this.#dryRun || deleteExtra !== 'no' || !mapping.keepsApart) return false;
    if (largestRecord === undefined || largestRecord + REQUEST_FRAME > Math.min(maxRequestBytes, DEFAULT_MAX_BYTES)) return false;
    const names = mapping.mapSet(KeySet.of(selection).intersect(KeySet.of(ofSource)));
    return spansAreEmpty(spansOf(names), this.#target);
  }

  #estimate(): { readonly totalRecords?: number } {
    const { estimatedRecords } = this.#source.info;
    return estimatedRecords === undefined ? {} : { totalRecords: estimatedRecords };
  }

  /** Writes the records, unless there is nothing to write; then the plan is what was done. */
  async #compareAndWrite(leases: TargetLeases): Promise<Done> {
    const plan = await planRestore(this.#records, {
      cluster: this.#cluster,
      target: this.#target,
      leases,
      onConflict: this.#o.onConflict ?? 'fail',
      dryRun: this.#dryRun,
      onConflictFound: this.#o.onConflictFound,
      run: this.#run,
      ...this.#estimate(),
    });
    const totalRecords = plan.tally.written + plan.tally.overwritten;
    if (this.#dryRun || totalRecords === 0) return plan;
    return this.#write({ targetEmpty: plan.targetEmpty, inOrder: true, totalRecords, totalBytes: plan.tally.bytes }, leases);
  }

  async #write(expected: Expected, leases: TargetLeases): Promise<Done> {
    const [tally, notes] = [emptyTally(), new NoteBook()];
    await writeRecords(this.#records, expected, {
      cluster: this.#cluster,
      target: this.#target,
      leases,
      tally,
      notes,
      onConflict: this.#o.onConflict ?? 'fail',
      maxOps: this.#o.maxTxnOps ?? DEFAULT_MAX_OPS,
      maxBytes: this.#o.maxRequestBytes ?? DEFAULT_MAX_BYTES,
      inFlight: this.#o.inFlight ?? DEFAULT_IN_FLIGHT,
      limitRate: this.#o.limitRate,
      signal: this.#run.signal,
      progress: this.#run.progress,
    });
    return { tally, notes };
  }

  async #removeExtras(scope: KeySet, tally: Tally, notes: NoteBook, mayGo: (kv: KeyValue) => boolean = () => true): Promise<void> {
    await removeExtras(this.#records, scope, {
      cluster: this.#cluster,
      target: this.#target,
      tally,
      notes,
      dryRun: this.#dryRun,
      onExtra: this.#o.onExtra ?? (() => {}),
      run: this.#run,
      mayGo,
      leaveAlone: this.#o.leaveAlone,
    });
  }

  #noteLeftAlone(notes: NoteBook): void {
    const { count, examples } = this.#records.leftAlone;
    const { leaveAlone } = this.#o;
    if (leaveAlone !== undefined && count > 0) notes.merge([{ ...leaveAlone.note, count, examples, lossy: false }]);
  }

  async #writeAuth(plan: AuthPlan, tally: Tally, notes: NoteBook): Promise<void> {
    if (!this.#dryRun) return writeAuth(plan, this.#cluster, tally, notes);
    tally.rolesAdded = plan.roles.filter(({ isNew }) => isNew).length;
    tally.usersAdded = plan.users.filter(({ isNew }) => isNew).length;
  }

  /** The newest revision any answer told; a source without records has asked nothing. */
  async #revision(): Promise<bigint> {
    if (this.#target.revision > 0n) return this.#target.revision;
    return (await tryAgain(() => this.#cluster.about(this.#run.signal), this.#run.signal)).revision ?? 0n;
  }
}
