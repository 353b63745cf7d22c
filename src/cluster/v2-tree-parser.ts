import { FerryError } from '../errors.js';
import { JsonStringDecoder } from './v2-json-string.js';
import { parseTime } from './v2-time.js';

/** A node as the answer gives it, before its indices. `path` and `value` are lent for the call. */
export interface ParsedNode {
  /** Empty for the root of the user's namespace. */
  path: Buffer;
  /** True when the path held a byte that is not UTF-8, which the answer does not tell. */
  pathReplaced: boolean;
  dir: boolean;
  value: Buffer;
  /** True when the value held such a byte; it stands there as U+FFFD. */
  valueReplaced: boolean;
  /** Nanoseconds since the Unix epoch, by the server's clock; 0n when permanent. */
  expiration: bigint;
  /** Seconds left when the answer was made; 0 where it does not tell. */
  ttl: number;
}

/** Told of every node, in the order of the answer: parents before children. */
export interface TreeHandler {
  /** A directory with nodes under it, which follow; its indices come with `leave`. */
  enter(node: ParsedNode): void;
  leave(createdIndex: bigint, modifiedIndex: bigint): void;
  /** A file, or a directory with nothing (to be seen) in it. */
  leaf(node: ParsedNode, createdIndex: bigint, modifiedIndex: bigint): void;
}

type State =
  | 'start'
  | 'field or end'
  | 'field'
  | 'colon'
  | 'value'
  | 'after value'
  | 'node or end'
  | 'node'
  | 'after node'
  | 'string'
  | 'scalar'
  | 'done';

const EMPTY: Buffer = Buffer.alloc(0);
const LONGEST_SCALAR = 64;
const HINT = 'Is every endpoint an etcd that serves the v2 API, with nothing between that changes its answers?';

/**
 * Parses the answer of `GET /v2/keys/?recursive=true&sorted=true` as it comes, whatever way it is
 * cut into chunks, holding one path and one value at a time. Integers keep all their digits, and
 * what was not UTF-8 is told from a real U+FFFD, which general JSON parsers lose.
 *
 * A node's fields come as etcd writes them (store/node_extern.go): key, value, dir, expiration,
 * ttl, nodes, modifiedIndex, createdIndex. So the indices of a directory follow its children.
 */
export class TreeParser {
  readonly #handler: TreeHandler;
  readonly #string = new JsonStringDecoder();
  #state: State = 'start';
  /** The state a string or scalar leads to, and the field it belongs to. */
  #field = '';
  #isName = false;
  #scalar = '';
  #before = 0;
  #seenNode = false;

  /** The nodes that are open, from the root down: whether entered, and their indices so far. */
  readonly #entered: boolean[] = [];
  readonly #created: bigint[] = [];
  readonly #modified: bigint[] = [];
  /** Fields of the innermost open node. */
  readonly #node: ParsedNode = { path: EMPTY, pathReplaced: false, dir: false, value: EMPTY, valueReplaced: false, expiration: 0n, ttl: 0 };
  #pathScratch: Buffer = Buffer.allocUnsafe(1024);
  #spare: Buffer = Buffer.allocUnsafe(1024);

  constructor(handler: TreeHandler) {
    this.#handler = handler;
  }

  /** @throws FerryError `unreachable` when this is not the answer etcd gives */
  push(chunk: Uint8Array): void {
    let i = 0;
    while (i < chunk.length) {
      if (this.#state === 'string') {
        i = this.#string.read(chunk, i);
        if (i === -1) break;
        this.#endString();
      } else if (this.#state === 'scalar') {
        i = this.#readScalar(chunk, i);
      } else {
        i = this.#step(chunk, i);
      }
    }
    this.#before += chunk.length;
  }

  /** @throws FerryError `unreachable` when the answer is not whole */
  end(): void {
    if (this.#state === 'start') throw new FerryError('unreachable', 'the answer is empty, expected a v2 tree', { hint: HINT });
    if (this.#state !== 'done') {
      throw new FerryError('unreachable', `the answer is cut short after ${this.#before} bytes`, { hint: 'Try again.' });
    }
    if (!this.#seenNode) throw new FerryError('unreachable', 'the answer is JSON, but holds no v2 tree', { hint: HINT });
  }

  /** Takes what stands at `i`, outside of strings and scalars. @returns where to read on */
  #step(chunk: Uint8Array, i: number): number {
    const byte = chunk[i] as number;
    if (byte === 0x22 && (this.#state === 'field' || this.#state === 'field or end')) {
      const past = this.#readKnownName(chunk, i + 1);
      if (past !== i + 1) return past;
    }
    const isSpace = byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
    if (!isSpace && !this.#take(byte)) throw unexpected(byte, this.#before + i);
    // A scalar's first byte is read again, as part of it.
    return this.#state === 'scalar' ? i : i + 1;
  }

  /** Takes a byte outside of strings and scalars; false when it may not stand here. */
  #take(byte: number): boolean {
    switch (this.#state) {
      case 'start':
        return byte === 0x7b && this.#goOn('field or end');
      case 'field or end':
        return byte === 0x7d ? this.#closeObject() : byte === 0x22 && this.#startString(true);
      case 'field':
        return byte === 0x22 && this.#startString(true);
      case 'colon':
        return byte === 0x3a && this.#goOn('value');
      case 'value':
        return this.#startValue(byte);
      case 'after value':
        return byte === 0x7d ? this.#closeObject() : byte === 0x2c && this.#goOn('field');
      case 'node or end':
        return byte === 0x5d ? this.#goOn('after value') : byte === 0x7b && this.#openNode();
      case 'node':
        return byte === 0x7b && this.#openNode();
      case 'after node':
        return byte === 0x5d ? this.#goOn('after value') : byte === 0x2c && this.#goOn('node');
      default:
        return false;
    }
  }

  #goOn(state: State): true {
    this.#state = state;
    return true;
  }

  #startValue(byte: number): boolean {
    const inNode = this.#entered.length > 0;
    if (byte === 0x22) return this.#startString(false);
    if (byte === 0x7b && !inNode && this.#field === 'node' && !this.#seenNode) {
      this.#seenNode = true;
      return this.#openNode();
    }
    if (byte === 0x5b && inNode && this.#field === 'nodes') return this.#enter();
    // Nothing else that etcd answers with holds anything: it would be nodes under another name.
    if (byte === 0x7b || byte === 0x5b) return false;
    this.#scalar = '';
    return this.#goOn('scalar');
  }

  #openNode(): true {
    const node = this.#node;
    node.path = EMPTY;
    node.pathReplaced = false;
    node.dir = false;
    node.value = EMPTY;
    node.valueReplaced = false;
    node.expiration = 0n;
    node.ttl = 0;
    this.#entered.push(false);
    this.#created.push(0n);
    this.#modified.push(0n);
    return this.#goOn('field or end');
  }

  #enter(): true {
    const top = this.#entered.length - 1;
    if (this.#entered[top]) throw notATree('a node has "nodes" twice');
    this.#entered[top] = true;
    this.#node.dir = true;
    this.#handler.enter(this.#node);
    return this.#goOn('node or end');
  }

  #closeObject(): true {
    const entered = this.#entered.pop();
    if (entered === undefined) return this.#goOn('done');
    const created = this.#created.pop() as bigint;
    const modified = this.#modified.pop() as bigint;
    if (entered) this.#handler.leave(created, modified);
    else this.#handler.leaf(this.#node, created, modified);
    return this.#goOn(this.#entered.length === 0 ? 'after value' : 'after node');
  }

  #startString(isName: boolean): true {
    this.#string.start();
    this.#isName = isName;
    return this.#goOn('string');
  }

  #endString(): void {
    if (this.#isName) {
      this.#field = fieldName(this.#string.bytes, this.#string.length);
      if (this.#field === '' && this.#entered.length > 0) throw notATree(`a node has a field ${shown(this.#string.view())}`);
      this.#state = 'colon';
      return;
    }
    this.#state = 'after value';
    const top = this.#entered.length - 1;
    if (top < 0) return;
    if (this.#entered[top]) {
      if (this.#field === 'key' || this.#field === 'value' || this.#field === 'expiration') {
        throw notATree(`"${this.#field}" comes after "nodes"`);
      }
      return;
    }
    this.#keepString(this.#node);
  }

  #keepString(node: ParsedNode): void {
    switch (this.#field) {
      case 'key':
        node.path = this.#keepPath();
        node.pathReplaced = this.#string.replaced;
        return;
      case 'value':
        node.value = this.#keepValue();
        node.valueReplaced = this.#string.replaced;
        return;
      case 'expiration': {
        const text = this.#string.view().toString('latin1');
        const time = parseTime(text);
        if (time === undefined) throw notATree(`an expiration is "${text.slice(0, 40)}"`);
        node.expiration = time;
      }
    }
  }

  #keepPath(): Buffer {
    const { bytes, length } = this.#string;
    if (length > this.#pathScratch.length) this.#pathScratch = Buffer.allocUnsafe(2 * length);
    bytes.copy(this.#pathScratch, 0, 0, length);
    // The root is "" or "/" by version.
    return length === 1 && bytes[0] === 0x2f ? EMPTY : this.#pathScratch.subarray(0, length);
  }

  /** The value stays where it was decoded; the decoder goes on in memory of its own. */
  #keepValue(): Buffer {
    const string = this.#string;
    const value = string.view();
    [this.#spare, string.bytes] = [string.bytes, this.#spare];
    return value;
  }

  /**
   * Takes the name of a field of a node with what follows it up to its value, as etcd writes it, where
   * the chunk has it whole: what goes through the states byte by byte otherwise.
   *
   * @param from just past the name's opening quote
   * @returns where to read on; `from` when nothing was taken
   */
  #readKnownName(chunk: Uint8Array, from: number): number {
    for (const { name, bytes, isText } of USUAL_FIELDS) {
      if (chunk[from] !== bytes[0] || !startsAt(chunk, from, bytes)) continue;
      this.#field = name;
      if (isText) this.#startString(false);
      else this.#state = 'value';
      return from + bytes.length;
    }
    return from;
  }

  /** Reads an index of up to 15 digits that the chunk has whole. @returns where it ends; `from` when it is none */
  #readIndex(chunk: Uint8Array, from: number): number {
    const top = this.#entered.length - 1;
    const into = this.#field === 'modifiedIndex' ? this.#modified : this.#field === 'createdIndex' ? this.#created : undefined;
    if (top < 0 || into === undefined) return from;
    let value = 0;
    let i = from;
    for (; i < chunk.length && i - from < SAFE_DIGITS; i++) {
      const digit = (chunk[i] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (i === from || (i > from + 1 && chunk[from] === 0x30) || i === chunk.length || !endsScalar(chunk[i] as number)) return from;
    into[top] = BigInt(value);
    this.#state = 'after value';
    return i;
  }

  #readScalar(chunk: Uint8Array, from: number): number {
    if (this.#scalar === '') {
      const past = this.#readIndex(chunk, from);
      if (past !== from) return past;
    }
    for (let i = from; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (endsScalar(byte)) {
        this.#endScalar();
        return i;
      }
      if (this.#scalar.length === LONGEST_SCALAR) throw unexpected(byte, this.#before + i);
      this.#scalar += String.fromCharCode(byte);
    }
    return chunk.length;
  }

  #endScalar(): void {
    const text = this.#scalar;
    this.#state = 'after value';
    if (!/^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$/.test(text)) {
      throw new FerryError('unreachable', `the answer is not JSON: it holds ${JSON.stringify(text)}`, { hint: HINT });
    }
    const top = this.#entered.length - 1;
    if (top < 0) return;
    if (this.#field === 'modifiedIndex') this.#modified[top] = index(text);
    else if (this.#field === 'createdIndex') this.#created[top] = index(text);
    else if (this.#field === 'dir' && !this.#entered[top]) this.#node.dir = text === 'true';
    else if (this.#field === 'ttl' && !this.#entered[top]) this.#node.ttl = Number(text);
  }
}

/** As many digits as a number surely keeps. */
const SAFE_DIGITS = 15;

/** The fields that nearly every node has, as etcd writes them, from behind the quote before the name up to the value. */
const USUAL_FIELDS = ['value', 'key', 'modifiedIndex', 'createdIndex'].map((name) => {
  const isText = !name.endsWith('Index');
  return { name, bytes: Buffer.from(`${name}":${isText ? '"' : ''}`), isText };
});

function startsAt(chunk: Uint8Array, at: number, bytes: Uint8Array): boolean {
  if (chunk.length - at < bytes.length) return false;
  for (let i = 0; i < bytes.length; i++) if (chunk[at + i] !== bytes[i]) return false;
  return true;
}

function endsScalar(byte: number): boolean {
  return byte === 0x2c || byte === 0x7d || byte === 0x5d || byte <= 0x20;
}

/** The fields that etcd answers with (store/node_extern.go), by the length of their names. */
const NAMES = ['key', 'value', 'dir', 'expiration', 'ttl', 'nodes', 'modifiedIndex', 'createdIndex', 'node'].reduce<
  (readonly [string, Buffer])[][]
>(
  (byLength, name) => {
    byLength[name.length]?.push([name, Buffer.from(name)]);
    return byLength;
  },
  Array.from({ length: 16 }, () => []),
);

/** The name of a field, an empty string for one that etcd does not have. */
function fieldName(bytes: Uint8Array, length: number): string {
  for (const [name, expected] of NAMES[length] ?? []) {
    let i = 0;
    while (i < length && bytes[i] === expected[i]) i++;
    if (i === length) return name;
  }
  return '';
}

function index(text: string): bigint {
  if (!/^\d{1,20}$/.test(text)) throw notATree(`an index is ${text}`);
  const value = BigInt(text);
  if (value >= 2n ** 64n) throw notATree(`an index is ${text}`);
  return value;
}

function shown(name: Buffer): string {
  return JSON.stringify(name.toString('latin1', 0, 40));
}

function unexpected(byte: number, offset: number): FerryError {
  const found = JSON.stringify(String.fromCharCode(byte));
  return new FerryError('unreachable', `the answer is not the JSON of a v2 tree: ${found} at byte ${offset}`, { hint: HINT });
}

function notATree(what: string): FerryError {
  return new FerryError('unreachable', `the answer is not a v2 tree: ${what}`, { hint: HINT });
}
