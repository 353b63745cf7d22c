import type { RecordBatch } from '../model/batch.js';
import type { TreeNode } from '../model/node.js';
import { nodeLength, writeNode } from '../wire/node.js';
import type { NodeSink } from './v2-spooler.js';

const FIRST_BYTES = 512 * 1024;
const FIRST_RECORDS = 1024;
const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Encoded v2 nodes in memory, until they are taken: for who reads a tree once, as it comes. The
 * indices of a directory come after what is under it, when it may have been taken: they stay 0.
 */
export class NodeQueue implements NodeSink {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #starts = new Uint32Array(FIRST_RECORDS);
  #ends = new Uint32Array(FIRST_RECORDS);
  #count = 0;
  #used = 0;

  /** Bytes that wait. */
  get used(): number {
    return this.#used;
  }

  appendNode(node: TreeNode): void {
    const length = nodeLength(node);
    if (this.#used + length > this.#bytes.length) this.#growBytes(length);
    if (this.#count === this.#starts.length) this.#growRecords();
    this.#starts[this.#count] = this.#used;
    this.#used = writeNode(this.#bytes, this.#used, node);
    this.#ends[this.#count++] = this.#used;
  }

  appendPending(path: Uint8Array, expiration: bigint): number {
    this.appendNode({ path: Buffer.from(path), dir: true, value: NOTHING, createdIndex: 0n, modifiedIndex: 0n, expiration });
    return 0;
  }

  complete(): void {}

  /** All that waits, with its memory. */
  take(): RecordBatch {
    const batch = { bytes: this.#bytes, starts: this.#starts, ends: this.#ends, count: this.#count };
    this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.#starts = new Uint32Array(Math.max(FIRST_RECORDS, this.#count));
    this.#ends = new Uint32Array(this.#starts.length);
    this.#count = 0;
    this.#used = 0;
    return batch;
  }

  #growBytes(more: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#used + more, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#used);
    this.#bytes = grown;
  }

  #growRecords(): void {
    const [starts, ends] = [new Uint32Array(2 * this.#count), new Uint32Array(2 * this.#count)];
    starts.set(this.#starts);
    ends.set(this.#ends);
    [this.#starts, this.#ends] = [starts, ends];
  }
}
