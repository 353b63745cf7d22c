import type { V3Cluster } from '../cluster/v3.js';
import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';

/** What a database may have grown by between a look at its size and a read, in bytes. */
const GROWTH = 64n << 20n;
/** etcd keeps keys and values as they are; what kine keeps them in may press them. */
const PRESSED = 16n;

/** What is known of the cluster whose pages are read. */
export interface Stored {
  readonly clusterId?: bigint;
  /** Of its database, in bytes; undefined where the user may not ask. */
  readonly dbSize?: bigint;
}

/**
 * The pages, until they have more bytes than the server's database can give: a server that always has
 * more would be read until a disk is full.
 *
 * @throws FerryError `failed` then
 */
export async function* withinStored(
  pages: AsyncIterable<RecordBatch>,
  cluster: V3Cluster,
  { clusterId, dbSize }: Stored,
): AsyncGenerator<RecordBatch> {
  const limitOf = (size: bigint): bigint => (clusterId === 0n ? PRESSED * size : size) + GROWTH;
  let most = dbSize === undefined ? undefined : limitOf(dbSize);
  let read = 0n;
  for await (const page of pages) {
    read += BigInt(page.bytes.length);
    if (most !== undefined && read > most) {
      const now = (await cluster.about()).dbSize ?? 0n;
      most = limitOf(now);
      if (read > most) throw moreThanStored(cluster.location, read, now);
    }
    yield page;
  }
}

function moreThanStored(location: string, read: bigint, stored: bigint): FerryError {
  return new FerryError('failed', `${location}: keys have not ended after ${read} bytes, and its database has ${stored}`, {
    hint: "See what answers there, and the server's log.",
  });
}
