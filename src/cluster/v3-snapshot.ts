import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import type { IStatusResponse } from 'etcd3';
import { FerryError } from '../errors.js';
import { bytesField, decodeRangeResponse } from '../wire/rpc.js';
import { encodeRange } from '../wire/rpc-request.js';
import type { SnapshotOptions, SnapshotStream } from './v3.js';
import { type Endpoint, isTransient } from './v3-endpoint.js';
import { reasonOf, rpcError } from './v3-errors.js';
import type { Failover, Member } from './v3-failover.js';
import { asIs, raw, typed } from './v3-messages.js';
import { doubtIn, memberStatus } from './v3-status.js';

const DEADLINE_EXCEEDED = 4;
/** What a database may have grown by between a look at its size and its snapshot, in bytes. */
const GROWTH = 64n << 20n;
/** Blobs of no bytes must come to an end, too. */
const EMPTY_COUNTS = 1024;
/** A linearizable read that costs nothing; the key need not be there. */
const READ = raw('/etcdserverpb.KV/Range', encodeRange({ key: Buffer.from([0]), countOnly: true }));

/** A member that can be asked for its snapshot, and what speaks against it. */
interface Candidate {
  readonly member: Member;
  readonly status: IStatusResponse;
  readonly doubt?: string;
  readonly atLeast: bigint;
}

/**
 * Opens a snapshot of the first endpoint whose member is up to date: it has a leader, is no learner,
 * has no alarm CORRUPT, and has just answered a linearizable read. Any member streams what it has,
 * also one that lost its cluster a day ago (etcd server/etcdserver/api/v3rpc/maintenance.go, Snapshot).
 *
 * @param stallTimeout longest time to wait for the next blob, in milliseconds
 * @throws FerryError `not-up-to-date` where there is none and the options do not allow another; as `Failover` does
 */
export async function openSnapshot(calls: Failover, stallTimeout: number, options: SnapshotOptions): Promise<SnapshotStream> {
  const { signal = calls.signal } = options;
  // Waits, as every call does, until one endpoint can be used.
  await calls.unary('Maintenance', typed('status', {}), { signal, repeatable: true });
  const { member, status, doubt, atLeast } = await choose(calls, signal);
  return {
    status: memberStatus(status),
    atLeast,
    ...(doubt === undefined ? {} : { doubt }),
    blobs: snapshotStream(calls, member, { stallTimeout, dbSize: BigInt(status.dbSize), signal }),
  };
}

async function choose(calls: Failover, signal: AbortSignal | undefined): Promise<Candidate> {
  const doubtful: Candidate[] = [];
  let failed: unknown;
  for (const endpoint of calls.endpoints) {
    try {
      const candidate = await look(calls, endpoint, signal);
      if (candidate.doubt === undefined) return candidate;
      doubtful.push(candidate);
    } catch (thrown) {
      if (!isTransient(thrown)) throw thrown;
      failed = thrown;
    }
  }
  const [first] = doubtful;
  if (first === undefined) throw failed;
  if (calls.allowStale) return first;
  const said = doubtful.map(({ member, doubt }) => `${member.endpoint.address} ${doubt}`).join('; ');
  throw new FerryError('not-up-to-date', `a snapshot could be older than its cluster: ${said}`, {
    hint: 'Name an endpoint of a member that is up to date, or take what this one has with --allow-stale.',
  });
}

async function look(calls: Failover, endpoint: Endpoint, signal: AbortSignal | undefined): Promise<Candidate> {
  const member = await calls.reach(endpoint, 'Maintenance', signal);
  const status = await calls.ask(member, typed('status', {}), { signal });
  const doubt = doubtIn(status);
  if (doubt !== undefined) return { member, status, doubt, atLeast: 0n };
  try {
    const answer = decodeRangeResponse(await calls.ask(member, READ, { signal, agreed: true }));
    return { member, status, atLeast: answer.header.revision };
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || (!isTransient(thrown) && reasonOf(thrown) !== 'corrupt')) throw thrown;
    const why = thrown.message.replace(`${endpoint.address}: `, '');
    return { member, status, doubt: `does not answer a read that the members agree on (${why})`, atLeast: 0n };
  }
}

/**
 * The blobs of `Maintenance.Snapshot` (SnapshotResponse.blob, field 3). Never repeated: what follows a
 * lost connection is another file. The stream has no header, so the member's status says at the end,
 * as it did before, whose it is.
 */
async function* snapshotStream(
  calls: Failover,
  member: Member,
  { stallTimeout, dbSize, signal }: { stallTimeout: number; dbSize: bigint; signal: AbortSignal | undefined },
): AsyncGenerator<Buffer> {
  const { endpoint, client, metadata } = member;
  const stream = client.makeServerStreamRequest(
    '/etcdserverpb.Maintenance/Snapshot',
    asIs<Buffer>,
    asIs<Buffer>,
    Buffer.alloc(0),
    metadata,
  );
  const status = async (): Promise<IStatusResponse> =>
    calls.ask(await calls.reach(endpoint, 'Maintenance', signal), typed('status', {}), { signal });
  const abort = (): void => stream.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  let most = dbSize + GROWTH;
  let received = 0n;
  try {
    for await (const message of withoutStalls(stream, stallTimeout)) {
      const blob = bytesField(message, 0x1a);
      received += BigInt(blob.length || EMPTY_COUNTS);
      if (received > most) most = await moreThanExpected(endpoint, received, BigInt((await status()).dbSize));
      if (blob.length > 0) yield blob;
    }
    await status();
  } catch (thrown) {
    signal?.throwIfAborted();
    if (thrown instanceof FerryError) throw thrown;
    throw rpcError(thrown as ServiceError, endpoint.address);
  } finally {
    signal?.removeEventListener('abort', abort);
    stream.cancel();
  }
}

/** @returns the new limit, where the database has grown so much meanwhile */
async function moreThanExpected({ address }: Endpoint, received: bigint, dbSize: bigint): Promise<bigint> {
  if (received <= dbSize + GROWTH) return dbSize + GROWTH;
  throw new FerryError('damaged', `${address}: the snapshot has not ended after ${received} bytes, and its database has ${dbSize}`, {
    hint: "See what answers there, and the server's log.",
  });
}

/** The stream's messages; ends it when the server sends nothing while somebody waits. */
async function* withoutStalls(stream: ClientReadableStream<Buffer>, timeout: number): AsyncGenerator<Buffer> {
  const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const stalled = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(Object.assign(new Error('stalled'), { code: DEADLINE_EXCEEDED, details: '' })), timeout);
    });
    try {
      const next = await Promise.race([iterator.next(), stalled]);
      if (next.done) return;
      yield next.value;
    } finally {
      clearTimeout(timer);
    }
  }
}
