import { setMaxListeners } from 'node:events';
import type { PutOptions, V2Cluster } from '../cluster/v2.js';
import type { V2Refusal } from '../cluster/v2-errors.js';
import { showKey } from '../convert/key-text.js';
import { InheritedEnds } from '../convert/v2-select.js';
import { FerryError } from '../errors.js';
import { type RecordBatch, recordAt } from '../model/batch.js';
import type { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { isUnder } from '../model/tree-path.js';
import { type Action, decodeAction } from './live-v2-action.js';
import type { V2Tally } from './live-v2-options.js';
import { isSameNode, nanoseconds, remainingTtl } from './live-v2-same.js';

/** What a directory ends so soon after, in nanoseconds, that it may be gone when it is written. */
const ENDING_SOON = 10_000_000_000n;

export interface WriteOptions {
  readonly cluster: V2Cluster;
  readonly inFlight: number;
  readonly now: () => number;
  readonly tally: V2Tally;
  readonly notes: NoteBook;
  readonly run: RunContext;
}

/** Carries out the planned actions: several at once, but no node before a directory it needs. */
export async function writeTree(actions: AsyncIterable<RecordBatch>, options: WriteOptions): Promise<void> {
  await new TreeWriter(options).write(actions);
}

class TreeWriter {
  readonly #o: WriteOptions;
  readonly #flying = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #failure: { readonly thrown: unknown } | undefined;
  #done = 0;
  #bytes = 0;
  /** Of directories whose TTL the target's etcd cannot change. */
  readonly #inherited = new InheritedEnds();

  constructor(options: WriteOptions) {
    this.#o = options;
    this.#signal = AbortSignal.any([options.run.signal, this.#stop.signal]);
    // Every request in flight listens.
    setMaxListeners(0, this.#signal);
  }

  async write(actions: AsyncIterable<RecordBatch>): Promise<void> {
    try {
      let waiting: Action | undefined;
      for await (const batch of actions) {
        for (let i = 0; i < batch.count; i++) {
          const next = decodeAction(recordAt(batch, i));
          if (this.#hasExpired(next)) continue;
          if (waiting !== undefined) await this.#start(waiting, next);
          waiting = next;
        }
      }
      if (waiting !== undefined) await this.#start(waiting, undefined);
      await Promise.all(this.#flying);
      this.#check();
    } catch (thrown) {
      this.#stop.abort(thrown);
      await Promise.all(this.#flying);
      throw thrown;
    }
  }

  /** @param next the action that follows: it may need this one's directory, or bring it about */
  async #start(planned: Action, next: Action | undefined): Promise<void> {
    this.#check();
    const action = this.#inherited.isEmpty ? planned : { ...planned, node: this.#inherited.give(planned.node) };
    const { kind, node } = action;
    const needed = node.dir && next !== undefined && isUnder(next.node.path, node.path);
    // etcd makes the directories above a node, permanent ones, with it.
    if (needed && kind === 'create' && node.expiration === 0n) return this.#count(action);
    const work = this.#carryOut(action);
    if (needed) return work;
    const tracked = work
      .catch((thrown: unknown) => {
        this.#failure ??= { thrown };
      })
      .finally(() => this.#flying.delete(tracked));
    this.#flying.add(tracked);
    if (this.#flying.size >= this.#o.inFlight) await Promise.race(this.#flying);
  }

  #check(): void {
    this.#o.run.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure.thrown;
  }

  /** What was still alive when it was planned may not be any more. */
  #hasExpired({ kind, node, ends }: Action): boolean {
    const { now, tally, notes } = this.#o;
    if (remainingTtl(ends, nanoseconds(now)) !== 0n) return false;
    if (kind === 'create') tally.written--;
    else tally.overwritten--;
    tally.leftOut++;
    const example = showKey(node.path);
    notes.add('expired-node-dropped', 'nodes left out because they, or a directory above them, have expired', { lossy: true, example });
    return true;
  }

  async #carryOut(action: Action): Promise<void> {
    const refusal = await this.#request(action);
    if (refusal !== undefined) await this.#settle(action, refusal);
    this.#count(action);
  }

  async #request({ kind, node, targetIndex, ends }: Action): Promise<V2Refusal | undefined> {
    const { cluster, now } = this.#o;
    const { path, dir, value } = node;
    const time = nanoseconds(now);
    // Were the directory gone already, etcd would make a permanent one, for good.
    const isUnderEnding = ends !== 0n && ends - time < ENDING_SOON;
    const ttl = remainingTtl(isUnderEnding ? ends : node.expiration, time);
    const what: PutOptions = { ...(dir ? { dir } : { value }), ...(ttl === undefined ? {} : { ttl: ttl === 0n ? 1n : ttl }) };
    if (kind === 'swap value') return cluster.put(path, { ...what, prevIndex: targetIndex }, this.#signal);
    if (kind === 'set directory ttl') return cluster.put(path, { ...what, prevExist: true }, this.#signal);
    if (kind !== 'create') {
      const removal = kind === 'directory to file' ? ({ dir: true } as const) : { prevIndex: targetIndex };
      const refusal = await cluster.remove(path, removal, this.#signal);
      if (refusal !== undefined) return refusal;
    }
    return cluster.put(path, { ...what, prevExist: false }, this.#signal);
  }

  /** A refused request may have been done before, by an attempt whose answer was lost. */
  async #settle({ kind, node, ends }: Action, refusal: V2Refusal): Promise<void> {
    const { cluster, notes } = this.#o;
    const found = await cluster.get(node.path, this.#signal);
    if (found !== undefined && isSameNode(node, found, { ends })) return;
    if (kind === 'set directory ttl' && found?.dir === true) {
      const message = 'directories whose TTL could not be changed: this version of etcd does not do that';
      notes.add('directory-ttl-kept', message, { lossy: true, example: showKey(node.path) });
      this.#inherited.leave(node);
      return;
    }
    throw new FerryError('in-the-way', `${showKey(node.path)} was changed in the target meanwhile: ${refusal.text}`, {
      hint: 'Stop what writes to the target, and run this again.',
    });
  }

  #count({ node }: Action): void {
    this.#done++;
    this.#bytes += node.path.length + node.value.length;
    this.#o.run.progress({ phase: 'writing', records: this.#done, bytes: this.#bytes });
  }
}
