import { FerryError } from '../errors.js';
import type { TreeNode } from '../model/node.js';
import type { NoteBook } from '../model/note.js';
import { EVERYTHING, type KeySelection } from '../model/source.js';
import { compareTreePaths } from '../model/tree-path.js';
import { KeySet } from '../selection/key-set.js';
import { type AnswerClock, offsetText } from './v2-clock.js';
import type { ParsedNode, TreeHandler } from './v2-tree-parser.js';

/** Where nodes go; `NodeSpool` says what each method does. */
export interface NodeSink {
  appendNode(node: TreeNode): void;
  appendPending(path: Uint8Array, expiration: bigint): number;
  complete(number: number, createdIndex: bigint, modifiedIndex: bigint): void;
}

export interface SpoolerOptions {
  /** Whether a path is wanted. */
  readonly selects: (path: Buffer) => boolean;
  /** The same as prefixes, for a path that is known in part; everything unless given. */
  readonly selection?: KeySelection | undefined;
  /** Now, in nanoseconds since the Unix epoch: what expired before is noted, where the answer does not tell what is left. */
  readonly now: bigint;
  /** Sets expirations right. */
  readonly clock: AnswerClock;
}

/** What the v2 API gives for bytes that are not UTF-8. */
const REPLACED = Buffer.from('\ufffd');
/** Every byte that such bytes can begin with. */
const NOT_ASCII = Array.from({ length: 0x80 }, (_, i) => Buffer.of(0x80 + i));

/** Whether a path of which the API tells only a beginning may be one that is wanted. */
function mayBeSelected(path: Buffer, selection: KeySelection): boolean {
  const known = path.subarray(0, Math.max(path.indexOf(REPLACED), 0));
  return !KeySet.of(selection).intersect(KeySet.under(NOT_ASCII.map((byte) => Buffer.concat([known, byte])))).isEmpty;
}

/** Number of a directory that is not spooled: the root, one that is not selected. */
const NONE = -1;

interface OpenDirectory {
  /** Its number in the spool, or NONE. */
  number: number;
  /** Of one that is not selected, but has a TTL. */
  readonly path?: Buffer;
  readonly expiration?: bigint;
}

/** Puts the nodes of an answer into a spool, and sees to it that they come in tree order. */
export class TreeSpooler implements TreeHandler {
  readonly #spool: NodeSink;
  readonly #notes: NoteBook;
  readonly #options: SpoolerOptions;
  /** The open directories, from the root down. */
  readonly #open: OpenDirectory[] = [];
  /** Depth of the outermost open directory whose name is lost; 0 for none. */
  #unnamed = 0;
  #last = Buffer.alloc(256);
  #lastLength = 0;
  #isClockNoted = false;

  constructor(spool: NodeSink, notes: NoteBook, options: SpoolerOptions) {
    this.#spool = spool;
    this.#notes = notes;
    this.#options = options;
  }

  enter(node: ParsedNode): void {
    const { path } = node;
    const expiration = this.#options.clock.endOf(node.expiration, node.ttl);
    if (this.#takes(node, expiration)) this.#open.push({ number: this.#spool.appendPending(path, expiration) });
    else this.#open.push({ number: NONE, ...(expiration !== 0n && !node.pathReplaced ? { path: Buffer.from(path), expiration } : {}) });
    if (node.pathReplaced && this.#unnamed === 0) this.#unnamed = this.#open.length;
  }

  leave(createdIndex: bigint, modifiedIndex: bigint): void {
    if (this.#unnamed === this.#open.length) this.#unnamed = 0;
    const { number } = this.#open.pop() as OpenDirectory;
    if (number !== NONE) this.#spool.complete(number, createdIndex, modifiedIndex);
  }

  leaf(node: ParsedNode, createdIndex: bigint, modifiedIndex: bigint): void {
    const expiration = this.#options.clock.endOf(node.expiration, node.ttl);
    if (!this.#takes(node, expiration)) return;
    if (node.valueReplaced) this.#noteValue(node.path);
    const { path, dir, value } = node;
    this.#spool.appendNode({ path, dir, value, createdIndex, modifiedIndex, expiration });
  }

  /** Whether the node is to be spooled. */
  #takes(node: ParsedNode, expiration: bigint): boolean {
    const { path } = node;
    if (path.length === 0) return false;
    const { selects, selection = EVERYTHING } = this.#options;
    if (node.pathReplaced || this.#unnamed > 0) {
      if (!mayBeSelected(path, selection)) return false;
      this.#notes.add('path-not-utf8', 'nodes left out because their path is not UTF-8, and the v2 API does not tell its bytes', {
        lossy: true,
        example: path.toString(),
      });
      return false;
    }
    this.#checkOrder(path);
    if (!selects(path)) return false;
    this.#takeAbove();
    if (expiration !== 0n) this.#noteExpiring(node, expiration);
    return true;
  }

  /** Directories with a TTL come along with what is selected under them, which lives no longer. */
  #takeAbove(): void {
    for (const above of this.#open) {
      if (above.number !== NONE || above.path === undefined) continue;
      above.number = this.#spool.appendPending(above.path, above.expiration ?? 0n);
    }
  }

  #checkOrder(path: Buffer): void {
    if (this.#lastLength > 0 && compareTreePaths(this.#last.subarray(0, this.#lastLength), path) >= 0) {
      throw new FerryError('unreachable', `the answer is not sorted: ${JSON.stringify(path.toString())} comes too late`, {
        hint: 'Is there something between that changes the answers of etcd?',
      });
    }
    if (path.length > this.#last.length) this.#last = Buffer.alloc(2 * path.length);
    path.copy(this.#last);
    this.#lastLength = path.length;
  }

  #noteValue(path: Buffer): void {
    const message = 'values that are not UTF-8: the v2 API gives U+FFFD for each byte that is none (the data dir has them whole)';
    this.#notes.add('value-not-utf8', message, { lossy: true, example: path.toString() });
  }

  #noteClock(offset: bigint): void {
    const message = "expirations set right, because the server's clock and that of this machine are apart";
    this.#notes.add('source-clock-apart', message, this.#isClockNoted ? {} : { example: offsetText(offset) });
    this.#isClockNoted = true;
  }

  /** What is left by the server's own account decides whether a node has expired. */
  #noteExpiring({ path, ttl }: ParsedNode, expiration: bigint): void {
    const { clock, now } = this.#options;
    if (clock.offset !== 0n) this.#noteClock(clock.offset);
    if (ttl > 0 || (ttl === 0 && expiration > now)) return;
    this.#notes.add('expired-node', 'nodes that had expired when they were read', { example: path.toString() });
  }
}
