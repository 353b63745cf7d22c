import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { create } from 'xmlbuilder2';
import { annotation, stepSummary } from '../../src/cli/github.js';
import { reportJunit, type Verdict, verdictOf } from '../../src/cli/verify-report.js';
import { failedText } from '../../src/cli/verify-text.js';
import { FerryError } from '../../src/errors.js';
import { etcdferry } from '../support/cli.js';
import { schemaErrors } from '../support/json-schema.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const GOOD = join(import.meta.dirname, '../../testdata/archive/v1-key.tar');

interface Junit {
  readonly testsuites: {
    readonly '@tests': string;
    readonly '@failures': string;
    readonly testsuite: {
      readonly testcase: readonly { readonly '@name': string; readonly failure?: { readonly '@type': string; readonly '#': string } }[];
    };
  };
}

test('reports tell what the terminal told, with the same exit status', async () => {
  writeFileSync(at('cut.tar'), readFileSync(GOOD).subarray(0, 5_000));
  const files = ['--report', at('r.xml'), '--report', at('r.json')];
  const run = await etcdferry(['verify', GOOD, at('cut.tar'), ...files]);
  expect(run.exit).toBe(12);
  const { testsuites } = create(readFileSync(at('r.xml'), 'utf8')).toObject() as unknown as Junit;
  expect(testsuites).toMatchObject({ '@tests': '2', '@failures': '1' });
  const [whole, cut] = testsuites.testsuite.testcase;
  expect(whole).toMatchObject({ '@name': GOOD, 'system-out': expect.stringContaining('whole archive, 369 records') });
  expect(cut).toMatchObject({ '@name': at('cut.tar'), failure: { '@type': 'damaged', '@message': expect.stringContaining('5000 bytes') } });
  const json = JSON.parse(readFileSync(at('r.json'), 'utf8')) as { results: object[]; summary: object };
  expect(schemaErrors(json)).toEqual([]);
  expect(json).toMatchObject({
    results: [{ whole: true }, { whole: false, error: { code: 'damaged' } }],
    summary: { failed: 1, exit: 12 },
  });
  expect(await etcdferry(['verify', GOOD, '--report', at('r.txt')])).toMatchObject({ exit: 2 });
  expect(run.stderr).not.toContain('::error');
});

test('GitHub is told where it runs us, and only there', async () => {
  writeFileSync(at('summary.md'), 'before\n');
  const env = { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: at('summary.md') };
  const run = await etcdferry(['verify', GOOD, at('100%, none.tar')], { env });
  expect(run.exit).toBe(2);
  const told = run.stderr.split('\n').filter((line) => line.startsWith('::'));
  expect(told).toEqual([expect.stringMatching(/^::error title=etcdferry verify%3A not-found::.*100%25, none\.tar: no such file.*$/)]);
  expect(run.stdout.toString()).not.toContain('::');
  const summary = readFileSync(at('summary.md'), 'utf8');
  expect(summary).toMatch(/^before\n### etcdferry verify: 1 of 2 did not pass\n/);
  expect(summary.trimEnd().split('\n').length).toBe(7);
  const unwritable = await etcdferry(['verify', GOOD], { env: { ...env, GITHUB_STEP_SUMMARY: at('no/such') } });
  expect(unwritable).toMatchObject({ exit: 0, stderr: expect.stringContaining("the step's summary was not written") });
});

test('a report that cannot be written is refused before the work', async () => {
  mkdirSync(at('directory.xml'));
  for (const [path, says] of [
    [at('no/such.xml'), /no is not a directory that exists/],
    [at('directory.xml'), /exists and is not a regular file/],
    [join(GOOD, 'below.json'), /is not a directory/],
  ] as const) {
    const run = await etcdferry(['verify', at('cut.tar'), '--report', at('r2.xml'), '--report', path]);
    expect(run, path).toMatchObject({ exit: 2, stderr: expect.stringMatching(says) });
    expect(run.stdout.toString()).toBe('');
    expect(existsSync(at('r2.xml'))).toBe(false);
  }
});

test('a report never comes in the place of what is verified, by whatever name', async () => {
  copyFileSync(GOOD, at('archive.xml'));
  symlinkSync(at('archive.xml'), at('link.xml'));
  symlinkSync(at('.'), at('round'));
  for (const path of ['archive.xml', 'link.xml', 'round/archive.xml']) {
    for (const locations of [[at('archive.xml')], [GOOD, '--against', at('archive.xml')]]) {
      const run = await etcdferry(['verify', ...locations, '--report', at(path)]);
      expect(run, path).toMatchObject({ exit: 2, stderr: expect.stringMatching(/is one of the files that are read/) });
    }
  }
  expect(readFileSync(at('archive.xml')).equals(readFileSync(GOOD))).toBe(true);
});

test('a report that fails at the end takes nothing from what was found, nor from the others who are told', async () => {
  // A directory in which nobody can make a file, though its mode says that root may.
  const late = '/proc/x.xml';
  const env = { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: at('late.md') };
  const damaged = await etcdferry(['verify', at('cut.tar'), '--report', late, '--report', at('late.json')], { env });
  expect(damaged).toMatchObject({ exit: 12, stderr: expect.stringMatching(/warning: the report .*x\.xml was not written: /) });
  expect(damaged.stderr).toContain('::error title=etcdferry verify%3A damaged');
  expect(readFileSync(at('late.md'), 'utf8')).toContain('1 of 1 did not pass');
  expect(readFileSync(at('late.json'), 'utf8')).toContain('"damaged"');
  const whole = await etcdferry(['verify', GOOD, '--report', late, '--json']);
  expect(whole.exit).toBe(1);
  expect(
    whole.stdout
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object),
  ).toMatchObject([{ passed: true }, { exit: 1 }]);
  expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

const hostile: Verdict = {
  location: 'a\n::add-mask::x|<script>`*',
  exit: 12,
  code: 'damaged',
  line: 'key "\u0000\u001b[31m]]>&\uffff" 100%\r\n::stop-commands::x',
  details: ['::set-env name=PATH::/tmp'],
  seconds: 1,
};

test('what stands in an archive becomes no workflow command, no markup and no broken XML', async () => {
  expect(annotation(hostile).split(/[\r\n]/)).toHaveLength(1);
  expect(annotation(hostile)).toContain('100%25%0D%0A\\x3a:stop-commands');
  const summary = stepSummary([hostile]);
  expect(summary.trimEnd().split('\n')).toHaveLength(5);
  expect(summary).not.toMatch(/<script|`/);
  const junit = await reportJunit([hostile], new Date(0));
  for (const character of ['\u0000', '\u001b', '\uffff']) expect(junit).not.toContain(character);
  expect(junit).toContain(']]&gt;&amp;');
  expect(create(junit).toObject()).toHaveProperty('testsuites');
});

test('a terminal has what is wrong in colour, a report never', async () => {
  const failed = { location: 'a\x1b[2J.tar', error: new FerryError('damaged', 'a\x1b[2J.tar: cut\x9b\nshort') };
  expect(failedText(failed, (colour, text) => `<${colour}>${text}</>`)).toBe('a\\x1b[2J.tar: <red>cut\\xc2\\x9b short</>');
  expect(verdictOf(failed)).toMatchObject({ location: 'a\\x1b[2J.tar', line: 'cut\\xc2\\x9b short' });
});

test('what is whole and differs is not called not whole', async () => {
  const other = join(import.meta.dirname, '../../testdata/archive/v0-gzip.tar');
  const run = await etcdferry(['verify', GOOD, other, '--against', GOOD]);
  expect(run.exit).toBe(4);
  expect(run.stdout.toString()).toMatch(/2 locations: 1 passed, 1 not\n$/);
});
