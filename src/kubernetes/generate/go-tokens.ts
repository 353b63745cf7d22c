/** A lexical token of Go source; comments are gone. `text` of a string is its contents. */
export interface Token {
  readonly kind: 'word' | 'string' | 'mark' | 'newline';
  readonly text: string;
}

const PATTERN =
  /(\/\/[^\n]*|\/\*[\s\S]*?\*\/|[ \t\r]+)|(\n)|`([^`]*)`|"((?:[^"\\\n]|\\.)*)"|('(?:[^'\\\n]|\\.)+')|([\p{L}_][\p{L}\d_]*)|(\d[\w.]*|\.\.\.|.)/gsu;

/** Splits Go source into tokens; enough for type declarations, not a whole lexer. */
export function goTokens(source: string): Token[] {
  const tokens: Token[] = [];
  for (const match of source.matchAll(PATTERN)) {
    const [, skipped, newline, raw, quoted, rune, word, mark] = match;
    if (skipped !== undefined) {
      if (skipped.startsWith('/*') && skipped.includes('\n')) tokens.push({ kind: 'newline', text: '\n' });
    } else if (newline !== undefined) tokens.push({ kind: 'newline', text: '\n' });
    else if (raw !== undefined || quoted !== undefined) tokens.push({ kind: 'string', text: raw ?? quoted ?? '' });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word });
    else tokens.push({ kind: 'mark', text: rune ?? mark ?? '' });
  }
  return tokens;
}
