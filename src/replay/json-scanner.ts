import { FerryError } from '../errors.js';

/** What a JSON document consists of, in its order. */
export interface JsonHandler {
  open(kind: 'object' | 'array'): void;
  close(): void;
  /** A member's name. The bytes are only good during the call. */
  key(bytes: Buffer, damage: Damage): void;
  /** A string's content. The bytes are only good during the call. */
  string(bytes: Buffer, damage: Damage): void;
  /** A number, `true`, `false` or `null`, as it is written. */
  literal(text: string): void;
}

/**
 * Whether a string had bytes that are not UTF-8 before Go's encoder wrote it. `certain`: it holds the
 * escape that Go puts in their place (encoding/json, appendString). `possible`: it holds U+FFFD
 * itself, which may always have been there.
 */
export type Damage = 'none' | 'possible' | 'certain';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const REPLACEMENT = Buffer.from('\ufffd');
const MAX_LITERAL = 64;

type Expect = 'value' | 'value-or-end' | 'key' | 'key-or-end' | 'colon' | 'comma-or-end' | 'nothing';

/**
 * Scans a JSON document handed over in pieces; in memory it holds one string, and a byte per level
 * of nesting. Strings stay bytes: they are not checked to be UTF-8.
 */
export class JsonScanner {
  readonly #handler: JsonHandler;
  readonly #maxString: number;
  /** One per open container: true for an object. */
  readonly #stack: boolean[] = [];
  #expect: Expect = 'value';
  #state: 'between' | 'string' | 'literal' = 'between';
  #pieces: Buffer[] = [];
  #piecesLength = 0;
  #escaped = false;
  #decoded: Buffer = Buffer.alloc(0);
  #afterBackslash = false;

  /** @param maxString longest string to accept, in bytes as written */
  constructor(handler: JsonHandler, maxString: number) {
    this.#handler = handler;
    this.#maxString = maxString;
  }

  /** @throws FerryError `damaged` when what comes is not JSON */
  write(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'string') at = this.#string(chunk, at);
      else if (this.#state === 'literal') at = this.#literal(chunk, at);
      else at = this.#between(chunk, at);
    }
  }

  /** @throws FerryError `damaged` when the document is not finished */
  end(): void {
    if (this.#expect !== 'nothing' || this.#state !== 'between') throw bad('ends too early');
  }

  #between(chunk: Buffer, at: number): number {
    const byte = chunk[at] as number;
    switch (byte) {
      case 0x20:
      case 0x09:
      case 0x0a:
      case 0x0d:
        return at + 1;
      case 0x7b:
      case 0x5b:
        this.#open(byte === 0x7b);
        return at + 1;
      case 0x7d:
      case 0x5d:
        this.#close(byte === 0x7d);
        return at + 1;
      case 0x3a:
        if (this.#expect !== 'colon') throw bad('has a colon out of place');
        this.#expect = 'value';
        return at + 1;
      case 0x2c:
        if (this.#expect !== 'comma-or-end') throw bad('has a comma out of place');
        this.#expect = this.#stack.at(-1) === true ? 'key' : 'value';
        return at + 1;
      case QUOTE:
        if (!this.#wantsKey() && !this.#wantsValue()) throw bad('has a string out of place');
        this.#state = 'string';
        this.#escaped = false;
        return at + 1;
      default:
        if (!this.#wantsValue()) throw bad('has a character out of place');
        this.#state = 'literal';
        return at;
    }
  }

  #open(object: boolean): void {
    if (!this.#wantsValue()) throw bad('has a bracket out of place');
    this.#stack.push(object);
    this.#expect = object ? 'key-or-end' : 'value-or-end';
    this.#handler.open(object ? 'object' : 'array');
  }

  #close(object: boolean): void {
    const ends = this.#expect === 'comma-or-end' || this.#expect === (object ? 'key-or-end' : 'value-or-end');
    if (!ends || this.#stack.pop() !== object) throw bad('has a closing bracket out of place');
    this.#valueDone();
    this.#handler.close();
  }

  #string(chunk: Buffer, from: number): number {
    let at = from;
    // What a backslash at the end of the last piece made ordinary.
    if (this.#afterBackslash) at++;
    this.#afterBackslash = false;
    for (; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === QUOTE) return this.#endOfString(chunk, from, at);
      if (byte !== BACKSLASH) continue;
      this.#escaped = true;
      at++;
    }
    this.#afterBackslash = at > chunk.length;
    this.#keep(chunk, from, chunk.length);
    return chunk.length;
  }

  #endOfString(chunk: Buffer, from: number, at: number): number {
    if (this.#pieces.length === 0) this.#emit(chunk.subarray(from, at));
    else {
      this.#keep(chunk, from, at);
      this.#emit(this.#takePieces());
    }
    return at + 1;
  }

  #takePieces(): Buffer {
    const whole = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#piecesLength = 0;
    return whole;
  }

  #keep(chunk: Buffer, from: number, end: number): void {
    this.#piecesLength += end - from;
    if (this.#piecesLength > this.#maxString) throw new FerryError('damaged', `a string is longer than ${this.#maxString} bytes`);
    this.#pieces.push(chunk.subarray(from, end));
  }

  #emit(written: Buffer): void {
    this.#state = 'between';
    const { bytes, replaced } = this.#escaped ? decodeEscapes(written, this.#room(written.length)) : { bytes: written, replaced: false };
    const damage = replaced ? 'certain' : bytes.includes(REPLACEMENT) ? 'possible' : 'none';
    if (this.#wantsKey()) {
      this.#expect = 'colon';
      this.#handler.key(bytes, damage);
    } else {
      this.#valueDone();
      this.#handler.string(bytes, damage);
    }
  }

  /** Memory for a string's content, used again for the next one. */
  #room(length: number): Buffer {
    if (this.#decoded.length < length) this.#decoded = Buffer.allocUnsafeSlow(2 * length);
    return this.#decoded;
  }

  #literal(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length && isLiteralByte(chunk[at] as number)) at++;
    this.#keep(chunk, from, at);
    if (this.#piecesLength > MAX_LITERAL || this.#piecesLength === 0) throw bad('has a character out of place');
    if (at === chunk.length) return at;
    const text = this.#takePieces().toString('latin1');
    this.#state = 'between';
    this.#valueDone();
    this.#handler.literal(text);
    return at;
  }

  #wantsValue(): boolean {
    return this.#expect === 'value' || this.#expect === 'value-or-end';
  }

  #wantsKey(): boolean {
    return this.#expect === 'key' || this.#expect === 'key-or-end';
  }

  #valueDone(): void {
    this.#expect = this.#stack.length === 0 ? 'nothing' : 'comma-or-end';
  }
}

/**
 * Decodes the escapes of a string's content.
 *
 * @param out has room for as many bytes as were written
 */
function decodeEscapes(written: Buffer, out: Buffer): { bytes: Buffer; replaced: boolean } {
  let [from, to] = [0, 0];
  let replaced = false;
  for (let at = written.indexOf(BACKSLASH); at >= 0; at = written.indexOf(BACKSLASH, from)) {
    to += written.copy(out, to, from, at);
    const simple = simpleEscape(written[at + 1]);
    if (simple !== undefined) {
      out[to++] = simple;
      from = at + 2;
      continue;
    }
    const { codePoint, end } = unicodeEscape(written, at);
    if (codePoint === 0xfffd) replaced = true;
    // Never longer than its escape: 6 bytes for at most 3, 12 for 4.
    to += out.write(String.fromCodePoint(codePoint), to);
    from = end;
  }
  to += written.copy(out, to, from);
  return { bytes: out.subarray(0, to), replaced };
}

function simpleEscape(byte: number | undefined): number | undefined {
  switch (byte) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
      return byte;
    case 0x62:
      return 8;
    case 0x66:
      return 12;
    case 0x6e:
      return 10;
    case 0x72:
      return 13;
    case 0x74:
      return 9;
    default:
      return undefined;
  }
}

/** Decodes `\uXXXX`, or two of them that are a pair; half a pair is U+FFFD, as in Go. */
function unicodeEscape(written: Buffer, at: number): { codePoint: number; end: number } {
  const high = hexUnit(written, at);
  if (high === undefined) throw bad('has an escape that is not known');
  if (high < 0xd800 || high > 0xdfff) return { codePoint: high, end: at + 6 };
  const low = hexUnit(written, at + 6);
  if (high > 0xdbff || low === undefined || low < 0xdc00 || low > 0xdfff) return { codePoint: 0xfffd, end: at + 6 };
  return { codePoint: 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), end: at + 12 };
}

function hexUnit(written: Buffer, at: number): number | undefined {
  if (written[at] !== BACKSLASH || written[at + 1] !== 0x75) return undefined;
  const digits = written.toString('latin1', at + 2, at + 6);
  return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : undefined;
}

/** Of a number, `true`, `false` or `null`. */
function isLiteralByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x2d || byte === 0x2b || byte === 0x2e || byte === 0x45
  );
}

function bad(what: string): FerryError {
  return new FerryError('damaged', `the snapshot's JSON ${what}`);
}
