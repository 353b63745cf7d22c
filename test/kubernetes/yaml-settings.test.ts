import { expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { yamlSettings } from '../../src/kubernetes/yaml-settings.js';

const wrong = (what: string, line?: number): FerryError => new FerryError('usage', `${line ?? 'nowhere'}: ${what}`);

test('settings are read with their aliases', () => {
  expect(yamlSettings('a: &a [1, x]\nb: *a\n', wrong)).toEqual({ a: [1, 'x'], b: [1, 'x'] });
});

test.each([
  ['a name twice', 'a: 1\nb: 2\na: hidden', '3: is not YAML (duplicate key)'],
  ['two documents', 'a: 1\n---\nhidden: 2', '2: is not YAML (multiple docs)'],
  ['an alias of nothing', 'a: *hidden', 'nowhere: has an alias that cannot be resolved'],
  ['aliases of aliases', `hidden: &a [x]\nb: [${'*a,'.repeat(200)}]`, 'nowhere: has an alias that cannot be resolved'],
  ['nesting without end', `hidden: ${'['.repeat(401)}${']'.repeat(401)}`, 'nowhere: is nested too deep'],
])('%s is refused, and nothing of the text is told', (_, text, message) => {
  expect(() => yamlSettings(text, wrong)).toThrow(expect.objectContaining({ message }) as Error);
});

test('where the first document alone counts, the others are left', () => {
  expect(yamlSettings('a: 1\n---\nb: 2', wrong, { logLevel: 'silent' })).toEqual({ a: 1 });
});
