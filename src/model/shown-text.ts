/** What steers a terminal or reorders the text around it: C0, DEL, C1, line separators, bidi controls. */
const STEERING = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
/** The same without what a text of lines is made of. */
const STEERING_A_BLOCK = /[^\P{Cc}\t\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/**
 * Text from elsewhere (a file, a server, a command line) as a piece of a line that is harmless wherever it is
 * shown: what steers is written as `\xNN`. Everything else stays as it is.
 */
export function harmless(text: string): string {
  return text.replace(STEERING, escaped);
}

/** The same for a text of several lines, whose line feeds and tabs stay. */
export function harmlessBlock(text: string): string {
  return text.replace(STEERING_A_BLOCK, escaped);
}

/** So much of a text from elsewhere is enough for a message to tell what it is. In characters. */
const ENOUGH = 200;

/** A text, or its beginning where it is long. */
export function beginning(text: string): string {
  return text.length > ENOUGH ? `${text.slice(0, ENOUGH - 1)}…` : text;
}

/** Text of several lines on one, harmless. */
export function harmlessLine(text: string): string {
  return harmless(text.replace(/\s*\n\s*/g, ' '));
}

/**
 * Lines for a log that a CI server reads for commands: none begins with `::`, as GitHub Actions has them, and no
 * `##[`, `##vso[` or `##teamcity[` stands anywhere. One character of each is written as `\xNN`.
 */
export function withoutCommands(text: string): string {
  return text.replace(/^([^\S\n]*):(?=:)/gm, '$1\\x3a').replace(/##(?=\w*\[)/g, '#\\x23');
}

/**
 * The same JSON without what JSON.stringify leaves: DEL, C1 and bidi controls, and `##[` or `##vso[`. All of it can
 * stand in strings only, where a character may be written by its number.
 */
export function harmlessJson(json: string): string {
  return json.replace(/[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|##(?=\w*\[)/g, (found) =>
    found === '##' ? '#\\u0023' : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function escaped(character: string): string {
  return [...Buffer.from(character)].map(hexEscape).join('');
}

/** `\x1b` */
export function hexEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
