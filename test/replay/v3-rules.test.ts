import { expect, test } from 'vitest';
import { joinAlike, rulesOf } from '../../src/replay/v3-rules.js';

const named = (rules: ReturnType<typeof rulesOf>): string[] => rules.map(({ since, until }) => `${since} ${until ?? ''}`.trimEnd());

test('a minor version stands for every run of its patch releases that judge alike', () => {
  expect(named(rulesOf('3.5.0'))).toEqual(['3.5.0 3.5.7', '3.5.8 3.5.9', '3.5.10 3.5.27', '3.5.28 3.5.29', '3.5.30 3.5.32', '3.5.33']);
  expect(named(rulesOf('3.7.0'))).toEqual(['3.7.0 3.7.0', '3.7.1']);
  expect(named(rulesOf('3.3.0'))).toEqual(['3.4.0 3.4.24']);
  expect(named(rulesOf('3.8.0'))).toEqual(named(rulesOf('3.7.0')));
});

test('a version that says nothing stands for all', () => {
  for (const version of [undefined, '3.0.0', '', 'x']) {
    expect(rulesOf(version).map(({ since }) => since.slice(0, 3))).toEqual(
      [...'4'.repeat(6), ...'5'.repeat(6), ...'6'.repeat(4), '7', '7'].map((n) => `3.${n}`),
    );
  }
});

test('a release that is known has one set of rules', () => {
  expect(named(rulesOf('3.5.0', '3.5.16'))).toEqual(['3.5.10 3.5.27']);
  expect(named(rulesOf(undefined, '3.4.44'))).toEqual(['3.4.44']);
  expect(named(rulesOf('3.6.0', '3.6.8'))).toEqual(['3.6.0 3.6.8']);
  expect(named(rulesOf('3.7.0', '3.9.1'))).toEqual(['3.7.1']);
});

test('rules that differ in nothing asked about are one', () => {
  const rules = rulesOf('3.5.0');
  expect(named(joinAlike(rules, new Set()))).toEqual(['3.5.0']);
  expect(named(joinAlike(rules, new Set(['judgesNestedRequests'])))).toEqual(['3.5.0 3.5.27', '3.5.28']);
  expect(named(joinAlike(rules, new Set(['countsNestedPuts', 'refusesInvalidGrants'])))).toEqual(['3.5.0 3.5.7', '3.5.8 3.5.32', '3.5.33']);
});
