import type { V2Cluster } from '../cluster/v2.js';

/** Between two questions for the store's index, in milliseconds. */
const ASK_EVERY = 1_000;

/**
 * Finds out that a v2 store was changed without an event. etcd keeps a TTL that was refreshed
 * (`refresh=true`) from every watcher (api/v2store/store.go, Update; event_history.go, scan), but its index
 * counts it: an index that no event accounts for is that of such a change, or of one that is not followed
 * (hidden nodes, other directories, the cluster's own nodes).
 */
export class UntoldChanges {
  readonly #cluster: V2Cluster;
  readonly #path: Buffer;
  /** Up to this index all changes are accounted for. */
  #from: bigint;
  /** Indices of events after it. */
  #told: bigint[] = [];
  #asked: bigint | undefined;
  #askedAt = 0;

  /**
   * @param path a directory that may be read
   * @param from the index that the tree was read at
   */
  constructor(cluster: V2Cluster, path: Buffer, from: bigint) {
    this.#cluster = cluster;
    this.#path = path;
    this.#from = from;
  }

  /** An event was taken. */
  told(index: bigint): void {
    if (index > this.#from) this.#told.push(index);
  }

  /** The tree was read anew. */
  readAt(index: bigint): void {
    this.#from = index;
    this.#told = this.#told.filter((each) => each > index);
    this.#asked = undefined;
  }

  /**
   * Asks for the store's index, once a second at most, and looks whether events account for the one told
   * before: by now they have come.
   *
   * @param caughtUp no event is known to be on its way
   * @param now milliseconds since the Unix epoch
   * @returns whether there was a change without an event
   * @throws FerryError as V2Cluster does
   */
  async ask(caughtUp: boolean, now: number, signal: AbortSignal): Promise<boolean> {
    if (!caughtUp || now - this.#askedAt < ASK_EVERY) return false;
    this.#askedAt = now;
    const found = this.#asked !== undefined && this.#settle(this.#asked);
    this.#asked = await this.#cluster.storeIndex(this.#path, signal);
    return found;
  }

  #settle(index: bigint): boolean {
    if (index <= this.#from) return false;
    const told = this.#told.filter((each) => each <= index).length;
    const found = index - this.#from > BigInt(told);
    this.#told = this.#told.filter((each) => each > index);
    this.#from = index;
    return found;
  }
}
