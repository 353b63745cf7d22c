import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { differenceText, type ShownDifference } from '../../src/cli/diff-text.js';
import { painter } from '../../src/cli/paint.js';
import type { Terminal } from '../../src/cli/terminal.js';
import type { Entry } from '../../src/jobs/entries.js';
import type { ReadableValue } from '../../src/jobs/readable-value.js';

const plain = (_: string, text: string): string => text;

function entry(value: string): Entry {
  const bytes = Buffer.from(value);
  return { key: Buffer.from('/k'), value: bytes, dir: false, created: 1n, modified: 1n, version: 1n, lease: 0n, expiration: 0n };
}

function readable(text: string): ReadableValue {
  return { bytes: Buffer.from(text), kind: '', apiVersion: '', json: undefined, text, locked: undefined };
}

function changed(before: string, after: string): ShownDifference {
  const [left, right] = [entry(before), entry(after)];
  const key = Buffer.from('/k');
  return { api: 'v3', kind: 'changed', key, left, right, parts: ['value'], leftValue: readable(before), rightValue: readable(after) };
}

function terminal(isTTY: boolean, env: Record<string, string>): Terminal {
  return { stdout: Object.assign(new PassThrough(), { isTTY }), env } as unknown as Terminal;
}

test('a change too long for a screen is cut, and says where the rest is', () => {
  const many = (what: string): string => Array.from({ length: 300 }, (_, i) => `${what} ${i}`).join('\n');
  const lines = differenceText(changed(many('old'), many('new')), plain)
    .trimEnd()
    .split('\n');
  expect(lines).toHaveLength(202);
  expect(lines.at(-1)).toBe('  … 401 more lines: etcdferry get LOC /k');
});

test('two texts with next to nothing in common are told by their sizes', () => {
  const many = (what: string): string => Array.from({ length: 5000 }, (_, i) => `${what} ${i}`).join('\n');
  expect(differenceText(changed(many('old'), many('new')), plain)).toBe(
    '~ /k\n  too much of it differs to be shown: 42.9 KiB → 42.9 KiB\n',
  );
});

test('nothing that is shown of a value steers a terminal', () => {
  expect(differenceText(changed('a\x1b]0;x\x07', 'b\u202e'), plain)).toBe('~ /k\n  - a\\x1b]0;x\\x07\n  + b\\xe2\\x80\\xae\n');
});

test('texts that differ in a last newline only are not shown as the same', () => {
  expect(differenceText(changed('a', 'a\n'), plain)).toBe('~ /k\n  the same content, stored otherwise: 1 B → 2 B\n');
});

test('colours are for terminals that have some, and for nobody who set NO_COLOR', () => {
  expect(painter(terminal(true, {}))('red', 'x')).toBe('\x1b[31mx\x1b[0m');
  expect(painter(terminal(true, { NO_COLOR: '' }))('red', 'x')).toBe('\x1b[31mx\x1b[0m');
  for (const one of [terminal(false, {}), terminal(true, { NO_COLOR: '1' }), terminal(true, { TERM: 'dumb' })])
    expect(painter(one)('red', 'x')).toBe('x');
});
