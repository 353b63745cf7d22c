import { connectV3 } from '../../src/cluster/v3-connect.js';
import { encodeTxn } from '../../src/wire/rpc-request.js';

export interface Put {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease?: bigint;
}

const MAX_OPS = 128;
const MAX_BYTES = 1 << 20;
const IN_FLIGHT = 8;

/** Puts keys into a live cluster as fast as it takes them. */
export async function load(endpoint: string, puts: Iterable<Put>): Promise<void> {
  const cluster = await connectV3({ endpoints: [endpoint], dialTimeout: 5_000, commandTimeout: 60_000 });
  const running = new Set<Promise<unknown>>();
  try {
    for (const group of grouped(puts)) {
      const success = group.map((put) => ({ kind: 'put' as const, key: put.key, value: put.value, lease: put.lease ?? 0n }));
      const call = cluster.call('KV/Txn', encodeTxn({ compares: [], success, failure: [] })).finally(() => running.delete(call));
      running.add(call);
      if (running.size >= IN_FLIGHT) await Promise.race(running);
    }
    await Promise.all(running);
  } finally {
    await cluster.close();
  }
}

function* grouped(puts: Iterable<Put>): Iterable<Put[]> {
  let group: Put[] = [];
  let size = 0;
  for (const put of puts) {
    const more = put.key.length + put.value.length;
    if (group.length === MAX_OPS || (group.length > 0 && size + more > MAX_BYTES)) {
      yield group;
      group = [];
      size = 0;
    }
    group.push(put);
    size += more;
  }
  if (group.length > 0) yield group;
}
