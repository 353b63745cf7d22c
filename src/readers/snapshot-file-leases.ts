import type { Lease } from '../model/lease.js';
import type { RunContext } from '../model/run.js';
import { RecordSorter } from '../sort/sorter.js';
import type { BackendView } from '../wire/backend.js';
import type { StoredLease } from '../wire/backend-messages.js';

const ID_BYTES = 8;
const STARTS = Uint32Array.of(0);
const ENDS = Uint32Array.of(ID_BYTES);
const SORT_BUDGET = 2 * 1024 * 1024;
const LEASES_AT_ONCE = 1000;

/** The ids of leases that records refer to, each once; in bounded memory, as there may be one a key. */
export class UsedLeases {
  readonly #sorter: RecordSorter;
  readonly #id = Buffer.alloc(ID_BYTES);
  #last = 0n;

  constructor(tmpDir: string, run: RunContext) {
    const findKey = (_: Buffer, start: number, end: number, range: { start: number; end: number }): void => {
      range.start = start;
      range.end = end;
    };
    this.#sorter = new RecordSorter({ findKey, tmpDir, budget: SORT_BUDGET, dropOlder: true }, run);
  }

  async add(id: bigint): Promise<void> {
    if (id === this.#last) return;
    this.#last = id;
    this.#id.writeBigInt64BE(id);
    await this.#sorter.addSlices(this.#id, STARTS, ENDS, 1);
  }

  finish(): Promise<void> {
    return this.#sorter.finish();
  }

  /** In the order of etcd's `lease` bucket: as unsigned integers. */
  async *ids(): AsyncGenerator<bigint> {
    for await (const batch of this.#sorter.lentBatches()) {
      for (let i = 0; i < batch.count; i++) yield batch.bytes.readBigInt64BE(batch.starts[i]);
    }
  }

  close(): Promise<void> {
    return this.#sorter.close();
  }
}

/**
 * The leases in use, in order of their ids (signed). One that is not in the file any more is given
 * as vanished.
 *
 * @param seenAt milliseconds since the Unix epoch: a lease of a file has its whole TTL before it,
 * since it starts again when a server loads the file
 */
export async function* leasesInUse(backend: BackendView, used: UsedLeases, seenAt: number): AsyncGenerator<readonly Lease[]> {
  // The bucket has negative ids last, so it is gone through twice.
  for (const negative of [true, false]) {
    let leases: Lease[] = [];
    for await (const [id, stored] of join(used.ids(), backend.leases())) {
      if (id < 0n !== negative) continue;
      leases.push(leaseOf(id, stored, seenAt));
      if (leases.length < LEASES_AT_ONCE) continue;
      yield leases;
      leases = [];
    }
    if (leases.length > 0) yield leases;
  }
}

function leaseOf(id: bigint, stored: StoredLease | undefined, seenAt: number): Lease {
  if (stored === undefined) return { id, grantedTtl: 0n, remainingTtl: -1n, seenAt, origin: 'lease' };
  const remainingTtl = stored.remainingTtl > 0n ? stored.remainingTtl : stored.ttl;
  return { id, grantedTtl: stored.ttl, remainingTtl, seenAt, origin: 'lease' };
}

/** Each id with its stored lease, where there is one; both in unsigned order. */
async function* join(ids: AsyncGenerator<bigint>, stored: AsyncGenerator<StoredLease>): AsyncGenerator<[bigint, StoredLease | undefined]> {
  try {
    let lease = await stored.next();
    for await (const id of ids) {
      const wanted = BigInt.asUintN(64, id);
      while (lease.done !== true && BigInt.asUintN(64, lease.value.id) < wanted) lease = await stored.next();
      yield [id, lease.done !== true && lease.value.id === id ? lease.value : undefined];
    }
  } finally {
    await stored.return(undefined);
  }
}
