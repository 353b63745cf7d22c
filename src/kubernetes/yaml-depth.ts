import { Lexer } from 'yaml';

/**
 * How deep YAML may be nested, as brackets and columns of indentation. The YAML library follows nesting by
 * calling itself; where that fills the stack V8 may not throw but end the process (it does when a
 * regular expression is being compiled just then), so it must not come to that.
 */
export const DEEPEST_YAML = 400;
/** How the lexer marks it. */
const DOCUMENT_START = '\u0002';

/** Whether text is nested deeper than DEEPEST_YAML, be it YAML or not. Quoted text and block scalars do not count. */
export function isTooDeep(text: string): boolean {
  let [brackets, column, isIndent] = [0, 0, true];
  for (const lexeme of new Lexer().lex(text)) {
    const first = lexeme[0] as string;
    if ('[{'.includes(first)) brackets++;
    else if (']}'.includes(first)) brackets--;
    else if ('\r\n'.includes(first)) [column, isIndent] = [0, true];
    else if (' \t'.includes(first)) column += isIndent ? lexeme.length : 0;
    else if ('-?:'.includes(lexeme) && brackets === 0) column++;
    else if (lexeme !== DOCUMENT_START) isIndent = false;
    if (brackets + column > DEEPEST_YAML) return true;
  }
  return false;
}
