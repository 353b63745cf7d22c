import type { Terminal } from './terminal.js';

export type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'bold' | 'dim';
/** Puts a text in a colour, or leaves it as it is where there are none. */
export type Paint = (colour: Colour, text: string) => string;

const CODES: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };

/** What a painter puts before and behind a text. */
export const PAINTED: RegExp = new RegExp(`(\x1b\\[(?:0|${Object.values(CODES).join('|')})m)`);

/** Whether stdout takes colours: a terminal does, where neither $NO_COLOR is set (no-color.org) nor $TERM says it has none. */
export function hasColours({ stdout, env }: Pick<Terminal, 'stdout' | 'env'>): boolean {
  return stdout.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

/** Colours for stdout, where it takes them. What is painted has to be harmless already. */
export function painter(terminal: Terminal): Paint {
  return hasColours(terminal) ? (colour, text) => `\x1b[${CODES[colour]}m${text}\x1b[0m` : (_, text) => text;
}
