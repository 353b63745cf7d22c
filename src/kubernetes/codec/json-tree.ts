import { FerryError } from '../../errors.js';
import { DEEPEST, isJson } from './json-check.js';

/**
 * A parsed JSON value that forgets nothing: numbers keep their digits, members their order, and every
 * value where it stood in the text.
 */
export type JsonNode = { readonly start: number; readonly end: number } & (
  | { readonly kind: 'object'; readonly members: ReadonlyMap<string, JsonNode> }
  | { readonly kind: 'array'; readonly items: readonly JsonNode[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'null' }
);

/**
 * Parses JSON text (RFC 8259). Of members with the same name the last counts, as in Go.
 *
 * @throws FerryError `usage` when it is no JSON, or nested more than DEEPEST deep
 */
export function parseJsonTree(text: string): JsonNode {
  const bytes = Buffer.from(text);
  if (!isJson(bytes, 0, bytes.length))
    throw new FerryError('usage', `not JSON, or nested more than ${DEEPEST} deep`, { hint: 'Give one JSON or YAML document.' });
  return new Parser(text).value();
}

/** Only for text that isJson has passed: it does not look for errors. */
class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): JsonNode {
    this.#space();
    const start = this.#at;
    switch (this.#text[start]) {
      case '{':
        return this.#object(start);
      case '[':
        return this.#array(start);
      case '"': {
        const value = this.#string();
        return { kind: 'string', value, start, end: this.#at };
      }
      case 't':
        this.#at += 4;
        return { kind: 'boolean', value: true, start, end: this.#at };
      case 'f':
        this.#at += 5;
        return { kind: 'boolean', value: false, start, end: this.#at };
      case 'n':
        this.#at += 4;
        return { kind: 'null', start, end: this.#at };
      default: {
        while ('+-.eE0123456789'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
        return { kind: 'number', text: this.#text.slice(start, this.#at), start, end: this.#at };
      }
    }
  }

  #object(start: number): JsonNode {
    const members = new Map<string, JsonNode>();
    this.#at++;
    this.#space();
    while (this.#text[this.#at] !== '}') {
      const name = this.#string();
      this.#space();
      this.#at++;
      members.set(name, this.value());
      this.#next();
    }
    this.#at++;
    return { kind: 'object', members, start, end: this.#at };
  }

  #array(start: number): JsonNode {
    const items: JsonNode[] = [];
    this.#at++;
    this.#space();
    while (this.#text[this.#at] !== ']') {
      items.push(this.value());
      this.#next();
    }
    this.#at++;
    return { kind: 'array', items, start, end: this.#at };
  }

  #next(): void {
    this.#space();
    if (this.#text[this.#at] === ',') this.#at++;
    this.#space();
  }

  #string(): string {
    const start = this.#at;
    let escaped = false;
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) {
      if (this.#text[this.#at] !== '\\') continue;
      escaped = true;
      this.#at++;
    }
    this.#at++;
    const raw = this.#text.slice(start, this.#at);
    return escaped ? (JSON.parse(raw) as string) : raw.slice(1, -1);
  }

  #space(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }
}

/** JSON text without the white space around its tokens; everything else stays as it is written. */
export function compactJson(text: string): string {
  return text.replace(/("(?:[^"\\]|\\.)*")|[ \t\n\r]+/g, '$1');
}
