import { setMaxListeners } from 'node:events';
import type { V2Cluster } from '../cluster/v2.js';
import type { V2Event, Watched } from '../cluster/v2-watch.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';

/** Watches that wait side by side while there is something to catch up with. */
const WINDOW = 16;
const PATIENCE = 45_000;
const TOLD_WITHIN = 500;
/** What may wait to be taken; then no more is asked for. */
const MOST_EVENTS = 4_000;
const MOST_BYTES = 16 << 20;
/** Between two attempts at a source that does not answer, in milliseconds. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 5_000;

/**
 * The changes of a v2 store from an index on, in order and without a gap. etcd gives one change for
 * each request, the first at the index asked for or after it; so that a long way does not make the
 * feed slow, requests for the next indices wait side by side: the first answered is the next change,
 * and an answer for an index that was passed by is none.
 */
export class Feed {
  readonly #cluster: V2Cluster;
  readonly #path: Buffer;
  readonly #run: RunContext;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #polls = new Map<bigint, Promise<Watched>>();
  #events: V2Event[] = [];
  #bytes = 0;
  #next: bigint;
  #storeIndex: bigint;
  #cleared = false;
  #failure: { readonly thrown: unknown } | undefined;
  #changed: () => void = () => {};
  readonly #running: Promise<void>;

  /** @param from the first index of interest */
  constructor(cluster: V2Cluster, path: Buffer, from: bigint, run: RunContext) {
    this.#cluster = cluster;
    this.#path = path;
    this.#run = run;
    this.#next = from;
    this.#storeIndex = from - 1n;
    this.#signal = AbortSignal.any([run.signal, this.#stop.signal]);
    // Every watch listens.
    setMaxListeners(0, this.#signal);
    this.#running = this.#feed().catch((thrown: unknown) => {
      this.#failure = { thrown };
      this.#changed();
    });
  }

  /** The source's index, as far as changes are still to come from before it. */
  get storeIndex(): bigint {
    return this.#storeIndex;
  }

  /** Changes after what has been taken are lost: the source has forgotten them. */
  get cleared(): boolean {
    return this.#cleared && this.#events.length === 0;
  }

  /**
   * Takes the next changes, as soon as there are any.
   *
   * @param most of them
   * @param patience longest wait, in milliseconds
   * @throws FerryError as the source does, but for `unreachable`: it is waited for
   */
  async take(most: number, patience: number): Promise<V2Event[]> {
    if (this.#events.length === 0 && !this.#cleared && this.#failure === undefined) await this.#change(patience);
    if (this.#events.length === 0 && this.#failure !== undefined) throw this.#failure.thrown;
    const taken = this.#events.splice(0, most);
    for (const { node } of taken) this.#bytes -= node.path.length + node.value.length;
    this.#changed();
    return taken;
  }

  async close(): Promise<void> {
    this.#stop.abort(new FerryError('failed', 'the feed was closed'));
    this.#changed();
    await this.#running;
  }

  async #feed(): Promise<void> {
    let pause = FIRST_PAUSE;
    while (!this.#signal.aborted && !this.#cleared) {
      if (this.#events.length >= MOST_EVENTS || this.#bytes >= MOST_BYTES) {
        await this.#change(LONGEST_PAUSE);
        continue;
      }
      try {
        await this.#one();
        pause = FIRST_PAUSE;
      } catch (thrown) {
        if (this.#signal.aborted) return;
        const error = FerryError.from(thrown);
        if (error.code !== 'unreachable') throw error;
        if (pause === FIRST_PAUSE) this.#run.warn(`the source does not answer and is waited for: ${error.message}`);
        this.#polls.clear();
        await this.#change(pause);
        pause = Math.min(2 * pause, LONGEST_PAUSE);
      }
    }
  }

  /** Waits for the next change. */
  async #one(): Promise<void> {
    const behind = Number(this.#storeIndex - this.#next) + 1;
    for (let i = 0; i < Math.min(Math.max(behind, 1), WINDOW); i++) this.#poll(this.#next + BigInt(i));
    // A change that has happened is told of at once: when nothing comes, there is none up to now, though
    // the index may have gone on, by hidden nodes, refreshed TTLs and the cluster's own nodes.
    const caughtUp = setTimeout(() => {
      this.#storeIndex = this.#next - 1n;
    }, TOLD_WITHIN);
    const watched = await (this.#polls.get(this.#next) as Promise<Watched>).finally(() => clearTimeout(caughtUp));
    this.#polls.delete(this.#next);
    if (watched.kind === 'cleared') this.#cleared = true;
    if (watched.kind === 'event') {
      if (watched.storeIndex > this.#storeIndex) this.#storeIndex = watched.storeIndex;
      this.#push(watched.event);
    }
    this.#changed();
  }

  #poll(index: bigint): void {
    if (this.#polls.has(index)) return;
    const poll = this.#cluster.watch(this.#path, index, PATIENCE, this.#signal);
    // Looked at when its turn comes, if it does.
    poll.catch(() => {});
    this.#polls.set(index, poll);
  }

  #push(event: V2Event): void {
    this.#events.push(event);
    this.#bytes += event.node.path.length + event.node.value.length;
    this.#next = event.index + 1n;
    if (event.index > this.#storeIndex) this.#storeIndex = event.index;
    for (const index of this.#polls.keys()) if (index < this.#next) this.#polls.delete(index);
  }

  /** Waits until something has changed, or some milliseconds. */
  async #change(patience: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const before = this.#changed;
      const timer = setTimeout(() => this.#changed(), patience);
      this.#changed = () => {
        clearTimeout(timer);
        this.#changed = () => {};
        before();
        resolve();
      };
    });
  }
}
