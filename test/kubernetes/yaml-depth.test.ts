import { expect, test } from 'vitest';
import { DEEPEST_YAML, isTooDeep } from '../../src/kubernetes/yaml-depth.js';
import { goldenTriples } from './golden.js';

const nested = (open: string, close: string, times: number): string => `${open.repeat(times)}1${close.repeat(times)}`;
const indented = (times: number): string => Array.from({ length: times }, (_, i) => `${' '.repeat(i)}a:`).join('\n');

test.each([
  ['brackets', (n: number) => nested('[', ']', n)],
  ['maps', (n: number) => nested('{a: ', '}', n)],
  ['dashes', (n: number) => nested('- ', '', n)],
  ['question marks', (n: number) => nested('? ', '', n)],
  ['indentation', indented],
])('nesting by %s is told from what is no deeper than it may be', (_, write) => {
  expect(isTooDeep(write(DEEPEST_YAML / 2 - 1))).toBe(false);
  expect(isTooDeep(write(DEEPEST_YAML + 2))).toBe(true);
  expect(isTooDeep(`a: 1\n---\n${write(100_000 / (write === indented ? 100 : 1))}`)).toBe(true);
});

test('what only looks like nesting does not count', () => {
  const brackets = '['.repeat(2_000);
  expect(isTooDeep(`a: "${brackets}"\nb: |\n   ${' '.repeat(2_000)}${brackets}\n# ${brackets}\nc: x${brackets}\n`)).toBe(false);
  expect(isTooDeep(`{${'"a": 1, '.repeat(5_000)}"b": [${'[1],'.repeat(5_000)}]}`)).toBe(false);
  expect(isTooDeep('- a\n'.repeat(5_000))).toBe(false);
  for (const { yaml, json } of goldenTriples()) expect([isTooDeep(yaml), isTooDeep(json)]).toEqual([false, false]);
});
