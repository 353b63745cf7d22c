import { createRequire } from 'node:module';
import type CliTable from 'cli-table3';
import { harmless } from '../model/shown-text.js';

const load = createRequire(import.meta.url);

const NO_LINES = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
    .map((part) => [part, '']),
);

/** Columns of text without lines, as kubectl prints them; what stands in cells is made harmless. Ends in a newline. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], aligns: readonly ('left' | 'right')[] = []): string {
  // Loaded with the first table: every command knows of tables, few draw one.
  const Table = load('cli-table3') as typeof CliTable;
  const drawn = new Table({
    head: [...head],
    colAligns: [...aligns],
    chars: { ...NO_LINES, middle: '   ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  drawn.push(...rows.map((row) => row.map(harmless)));
  const lines = drawn.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}
