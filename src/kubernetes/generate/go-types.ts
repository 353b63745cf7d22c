import { goTokens, type Token } from './go-tokens.js';

/** A Go type as far as serialization cares. A name is qualified with its package: `k8s.io/api/core/v1.Pod`. */
export type GoType =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'pointer' | 'slice'; readonly of: GoType }
  | { readonly kind: 'map'; readonly key: GoType; readonly of: GoType }
  | { readonly kind: 'struct'; readonly fields: readonly GoField[] }
  | { readonly kind: 'other' };

export interface GoField {
  /** Empty for an embedded type. */
  readonly name: string;
  readonly type: GoType;
  /** The struct tag, without its backquotes. */
  readonly tag: string;
}

const BASIC = new Set(
  'bool string byte rune int int8 int16 int32 int64 uint uint8 uint16 uint32 uint64 float32 float64 error any'.split(' '),
);

/** Reads the type declarations of one Go file. */
export class GoFile {
  readonly #tokens: Token[];
  #at = 0;
  readonly #package: string;
  readonly #imports = new Map<string, string>();

  /** @param packagePath import path of the file's package, put before its own types' names */
  constructor(source: string, packagePath: string) {
    this.#tokens = goTokens(source);
    this.#package = packagePath;
  }

  /** @returns every type declared at top level, by qualified name */
  types(): Map<string, GoType> {
    const found = new Map<string, GoType>();
    while (this.#at < this.#tokens.length) {
      if (this.#word('import')) this.#importBlock();
      else if (this.#word('type')) this.#group(() => this.#typeSpec(found));
      else this.#skipOne();
    }
    return found;
  }

  #importBlock(): void {
    this.#group(() => {
      const alias = this.#peek().kind === 'word' || this.#peek().text === '.' ? this.#next().text : undefined;
      const path = this.#next().text;
      this.#imports.set(alias ?? path.slice(path.lastIndexOf('/') + 1), path);
    });
  }

  #typeSpec(found: Map<string, GoType>): void {
    const name = this.#next().text;
    this.#mark('=');
    found.set(`${this.#package}.${name}`, this.#type());
  }

  /** One declaration, or several in parentheses. */
  #group(one: () => void): void {
    if (!this.#mark('(')) {
      one();
      return;
    }
    this.#newlines();
    while (!this.#mark(')')) {
      one();
      this.#newlines();
      this.#mark(';');
    }
  }

  #type(): GoType {
    if (this.#mark('*')) return { kind: 'pointer', of: this.#type() };
    if (this.#mark('[')) {
      while (!this.#mark(']')) this.#next();
      return { kind: 'slice', of: this.#type() };
    }
    if (this.#word('map')) {
      this.#mark('[');
      const key = this.#type();
      this.#mark(']');
      return { kind: 'map', key, of: this.#type() };
    }
    if (this.#word('struct')) return { kind: 'struct', fields: this.#fields() };
    if (this.#peek().kind === 'word' && !['interface', 'func', 'chan'].includes(this.#peek().text)) return this.#named();
    return this.#other();
  }

  #named(): GoType {
    const first = this.#next().text;
    if (this.#mark('.')) return { kind: 'name', name: `${this.#imports.get(first) ?? first}.${this.#next().text}` };
    if (this.#mark('[')) this.#skipTo('[', ']');
    return { kind: 'name', name: BASIC.has(first) ? first : `${this.#package}.${first}` };
  }

  #other(): GoType {
    while (this.#at < this.#tokens.length && this.#peek().kind !== 'newline') this.#skipOne();
    return { kind: 'other' };
  }

  #fields(): GoField[] {
    const fields: GoField[] = [];
    this.#mark('{');
    this.#newlines();
    while (!this.#mark('}')) {
      fields.push(...this.#field());
      this.#mark(';');
      this.#newlines();
    }
    return fields;
  }

  #field(): GoField[] {
    const names: string[] = [];
    // `Name Type`, `A, B Type`, or an embedded `Type`, `pkg.Type`, `*Type`.
    const after = this.#tokens[this.#at + 1];
    const embedded =
      this.#peek().text === '*' || after === undefined || after.kind === 'newline' || after.kind === 'string' || after.text === '.';
    if (!embedded) {
      do names.push(this.#next().text);
      while (this.#mark(','));
    }
    const type = this.#type();
    const tag = this.#peek().kind === 'string' ? this.#next().text : '';
    return (embedded ? [''] : names).map((name) => ({ name, type, tag }));
  }

  #skipOne(): void {
    const { text, kind } = this.#next();
    if (kind !== 'mark') return;
    if (text === '{') this.#skipTo('{', '}');
    else if (text === '(') this.#skipTo('(', ')');
  }

  #skipTo(open: string, close: string): void {
    for (let depth = 1; depth > 0 && this.#at < this.#tokens.length; ) {
      const { text, kind } = this.#next();
      if (kind === 'mark' && text === open) depth++;
      if (kind === 'mark' && text === close) depth--;
    }
  }

  #newlines(): void {
    while (this.#peek().kind === 'newline') this.#at++;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { kind: 'mark', text: '' };
  }

  #next(): Token {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new Error(`${this.#package}: the source ends inside a declaration`);
    return token;
  }

  #mark(text: string): boolean {
    const found = this.#peek().kind === 'mark' && this.#peek().text === text;
    if (found) this.#at++;
    return found;
  }

  #word(text: string): boolean {
    const found = this.#peek().kind === 'word' && this.#peek().text === text;
    if (found) this.#at++;
    return found;
  }
}
