import type { RecordBatch } from '../model/batch.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { inContext, type TreeAnswer } from './v2.js';
import type { AnswerClock } from './v2-clock.js';
import { NodeQueue } from './v2-node-queue.js';
import { answered, type TreeRequest } from './v2-read-tree.js';
import { TreeSpooler } from './v2-spooler.js';
import { TreeParser } from './v2-tree-parser.js';

/** So much of an answer must be good before any of it is passed on: until then another endpoint is tried. */
const BELIEVED_FROM = 1024 * 1024;
/** Bytes of nodes in a batch, at least, but for the last one. */
const BATCH_BYTES = 256 * 1024;

/** A tree that is still being received. To be closed in any case. */
export interface TreeStream {
  readonly path: Buffer;
  readonly index: bigint;
  readonly clusterId: bigint | undefined;
  /** Nanoseconds that the server's clock is ahead, as far as expirations were corrected for it so far. */
  readonly clockOffset: bigint;
  /** Complete once `batches()` has ended. */
  readonly notes: NoteBook;
  /**
   * The nodes, once, as they come: in tree order, without the indices of directories that have
   * nodes under them.
   *
   * @throws FerryError `unreachable` when the answer ends early or is not the answer etcd gives
   */
  batches(): AsyncGenerator<RecordBatch>;
  close(): Promise<void>;
}

/**
 * Reads one tree without keeping it. What is passed on cannot be taken back: an answer that turns
 * out to be cut short after its first mebibyte is an error, and no other endpoint is asked.
 */
export function streamTree(request: Omit<TreeRequest, 'tmpDir'>, run: RunContext): Promise<TreeStream> {
  return answered(
    request,
    async (answer) => {
      const stream = new AnswerStream(answer, request, run.signal);
      try {
        await stream.begin();
        return stream;
      } catch (thrown) {
        await stream.close();
        throw thrown;
      }
    },
    run.signal,
  );
}

class AnswerStream implements TreeStream {
  readonly index: bigint;
  readonly clusterId: bigint | undefined;
  readonly path: Buffer;
  readonly notes = new NoteBook();
  readonly #endpoint: string;
  readonly #clock: AnswerClock;
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #queue = new NodeQueue();
  readonly #parser: TreeParser;
  readonly #signal: AbortSignal;
  #ended = false;

  constructor(
    { index, clusterId, endpoint, clock, body }: TreeAnswer,
    { path, selects, selection, now }: Omit<TreeRequest, 'tmpDir'>,
    signal: AbortSignal,
  ) {
    this.#signal = signal;
    this.path = path;
    this.index = index;
    this.clusterId = clusterId;
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#chunks = body[Symbol.asyncIterator]();
    this.#parser = new TreeParser(new TreeSpooler(this.#queue, this.notes, { selects, selection, now: BigInt(now) * 1_000_000n, clock }));
  }

  get clockOffset(): bigint {
    return this.#clock.offset;
  }

  /** Takes the first part of the answer, all of a small one. */
  async begin(): Promise<void> {
    let bytes = 0;
    while (!this.#ended && bytes < BELIEVED_FROM) bytes += await this.#read();
  }

  async *batches(): AsyncGenerator<RecordBatch> {
    while (!this.#ended) {
      if (this.#queue.used >= BATCH_BYTES) yield this.#queue.take();
      await this.#readOn();
    }
    if (this.#queue.used > 0) yield this.#queue.take();
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** Parses one more chunk; @returns its length */
  async #read(): Promise<number> {
    const { done, value } = await this.#chunks.next();
    if (done !== true) {
      this.#parser.push(value);
      return value.length;
    }
    this.#parser.end();
    this.#ended = true;
    return 0;
  }

  async #readOn(): Promise<void> {
    try {
      await inContext(this.#endpoint, this.#read());
    } catch (thrown) {
      this.#signal.throwIfAborted();
      throw thrown;
    }
  }
}
