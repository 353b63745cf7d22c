import type { V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import { showKey } from '../convert/key-text.js';
import type { RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import type { NoteBook } from '../model/note.js';
import { keyOf, leaseOf } from '../wire/keyvalue.js';
import { leasesIn } from '../wire/rpc-leases.js';

const IN_FLIGHT = 32;
const BATCH = 1024;

/**
 * The leases of a cluster at about the pinned revision: those listed before it was pinned and those
 * listed after. All are kept, also those that no selected key refers to: which keys a lease has is
 * told only by asking for all of them. Who may not read the keys of every lease may list none from etcd
 * 3.5.28 and 3.6.9 on (etcd server/etcdserver/v3_server.go checkLeaseLeases), and yet ask for each.
 */
export class LeaseBook {
  readonly #cluster: V3Cluster;
  readonly #notes: NoteBook;
  /** Undefined when they may not be listed. */
  #ids: Set<bigint> | undefined = new Set();
  readonly #gone = new Set<bigint>();
  readonly #untold = new Set<bigint>();
  readonly #records: () => AsyncIterable<RecordBatch>;

  /** @param records all records at the pinned revision: read for their leases where these may not be listed */
  constructor(cluster: V3Cluster, notes: NoteBook, records: () => AsyncIterable<RecordBatch>) {
    this.#cluster = cluster;
    this.#notes = notes;
    this.#records = records;
  }

  /** Adds the leases there are now. To be called before the revision is pinned, and after. */
  async list(): Promise<void> {
    if (this.#ids === undefined) return;
    try {
      for (const id of await this.#cluster.leases()) this.#ids.add(id);
    } catch (thrown) {
      if (reasonOf(thrown) !== 'permission-denied') throw thrown;
      this.#ids = undefined;
    }
  }

  /** Every lease with its TTLs, by signed id, but those that may not be asked for; one that is gone by now has vanished. */
  async *read(signal: AbortSignal): AsyncGenerator<readonly Lease[]> {
    const ids = BigInt64Array.from(this.#ids ?? (await this.#inUse())).sort();
    for (let at = 0; at < ids.length; at += BATCH) {
      const batch = ids.subarray(at, at + BATCH);
      const leases = new Array<Lease | undefined>(batch.length);
      let next = 0;
      const work = async (): Promise<void> => {
        while (next < batch.length) {
          signal.throwIfAborted();
          const index = next++;
          leases[index] = await this.#look(batch[index] as bigint);
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, work));
      yield leases.filter((lease) => lease !== undefined);
    }
  }

  /** Notes the records whose lease is gone, or may not be asked for. */
  check(records: RecordBatch): void {
    for (const id of leasesIn(records)) {
      if (this.#gone.has(id) || this.#ids?.has(id) === false) {
        this.#notes.add('lease-vanished', 'keys refer to leases that were gone when they were looked up', { example: leaseName(id) });
      }
    }
    if (this.#untold.size > 0) this.#checkUntold(records);
  }

  #checkUntold({ bytes, starts, ends, count }: RecordBatch): void {
    for (let i = 0; i < count; i++) {
      const [start, end] = [starts[i] as number, ends[i] as number];
      if (!this.#untold.has(leaseOf(bytes, start, end))) continue;
      this.#notes.add('lease-not-told', 'keys with a lease that the user may not ask for: when they expire is not known', {
        ...{ lossy: true, example: showKey(keyOf(bytes, start, end)) },
      });
    }
  }

  /** Each lease that a record names. Not asked for with `keys_only`: etcd 3.7 then says that no key has any. */
  async #inUse(): Promise<Set<bigint>> {
    const ids = new Set<bigint>();
    for await (const page of this.#records()) for (const id of leasesIn(page)) ids.add(id);
    return ids;
  }

  async #look(id: bigint): Promise<Lease | undefined> {
    const state = await this.#cluster.leaseState(id).catch((thrown: unknown) => {
      if (reasonOf(thrown) !== 'permission-denied') throw thrown;
      return 'not-told' as const;
    });
    if (state === 'not-told') {
      this.#untold.add(id);
      this.#notes.add('leases-not-listed', 'leases that the user may neither list nor ask for', { example: leaseName(id) });
      return undefined;
    }
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
