import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { FerryError } from '../errors.js';
import { bytesField } from '../wire/rpc.js';
import { rpcError } from './v3-errors.js';
import type { Failover } from './v3-failover.js';
import { asIs } from './v3-messages.js';

const DEADLINE_EXCEEDED = 4;

/**
 * The blobs of `Maintenance.Snapshot` (SnapshotResponse.blob, field 3). Never repeated: what follows a
 * lost connection is another file.
 *
 * @param stallTimeout longest time to wait for the next blob, in milliseconds
 */
export async function* snapshotStream(calls: Failover, stallTimeout: number, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const { endpoint, client, metadata } = await calls.open(signal);
  const stream = client.makeServerStreamRequest(
    '/etcdserverpb.Maintenance/Snapshot',
    asIs<Buffer>,
    asIs<Buffer>,
    Buffer.alloc(0),
    metadata,
  );
  const abort = (): void => stream.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for await (const message of withoutStalls(stream, stallTimeout)) {
      const blob = bytesField(message, 0x1a);
      if (blob.length > 0) yield blob;
    }
  } catch (thrown) {
    signal?.throwIfAborted();
    if (thrown instanceof FerryError) throw thrown;
    throw rpcError(thrown as ServiceError, endpoint.address);
  } finally {
    signal?.removeEventListener('abort', abort);
    stream.cancel();
  }
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
