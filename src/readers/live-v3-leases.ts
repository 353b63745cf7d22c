import type { V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import type { NoteBook } from '../model/note.js';
import { leasesIn } from '../wire/rpc-leases.js';

const IN_FLIGHT = 32;
const BATCH = 1024;

/**
 * The leases of a cluster at about the pinned revision: those listed before it was pinned and those
 * listed after. All are kept, also those that no selected key refers to: which keys a lease has is
 * told only by asking for all of them.
 */
export class LeaseBook {
  readonly #cluster: V3Cluster;
  readonly #notes: NoteBook;
  /** Undefined when they may not be listed. */
  #ids: Set<bigint> | undefined = new Set();
  readonly #gone = new Set<bigint>();

  constructor(cluster: V3Cluster, notes: NoteBook) {
    this.#cluster = cluster;
    this.#notes = notes;
  }

  /** Adds the leases there are now. To be called before the revision is pinned, and after. */
  async list(): Promise<void> {
    if (this.#ids === undefined) return;
    try {
      for (const id of await this.#cluster.leases()) this.#ids.add(id);
    } catch (thrown) {
      if (reasonOf(thrown) !== 'permission-denied') throw thrown;
      this.#ids = undefined;
      this.#notes.add('leases-not-listed', 'the user may not list leases: none were read');
    }
  }

  /** Every lease with its TTLs, by signed id; one that is gone by now has vanished. */
  async *read(signal: AbortSignal): AsyncGenerator<readonly Lease[]> {
    const ids = BigInt64Array.from(this.#ids ?? []).sort();
    for (let at = 0; at < ids.length; at += BATCH) {
      const batch = ids.subarray(at, at + BATCH);
      const leases = new Array<Lease>(batch.length);
      let next = 0;
      const work = async (): Promise<void> => {
        while (next < batch.length) {
          signal.throwIfAborted();
          const index = next++;
          leases[index] = await this.#look(batch[index] as bigint);
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, work));
      yield leases;
    }
  }

  /** Notes the records whose lease is gone. */
  check(records: RecordBatch): void {
    if (this.#ids === undefined) return;
    for (const id of leasesIn(records)) {
      if (this.#ids.has(id) && !this.#gone.has(id)) continue;
      this.#notes.add('lease-vanished', 'keys refer to leases that were gone when they were looked up', { example: leaseName(id) });
    }
  }

  async #look(id: bigint): Promise<Lease> {
    const state = await this.#cluster.leaseState(id);
    if (state === undefined) this.#gone.add(id);
    return {
      id,
      grantedTtl: state?.grantedTtl ?? 0n,
      remainingTtl: state?.remainingTtl ?? -1n,
      seenAt: Date.now(),
      origin: 'lease',
    };
  }
}

/** As etcdctl prints it: lower-case hex of the 64 bits. */
function leaseName(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}
