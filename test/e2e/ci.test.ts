import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { testdata } from '../support/bytes.js';
import { etcdferry } from '../support/cli.js';
import { cleanEnvironment } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';

const ROOT = join(import.meta.dirname, '../..');
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

/** The page's YAML, in the order GitHub, GitLab, Tekton. */
const [github, gitlab, tekton] = [...readFileSync(join(ROOT, 'docs/ci.md'), 'utf8').matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(
  (match) => parse(match[1] as string) as unknown,
) as [
  { jobs: { verify: { env: object; steps: { run?: string }[] } } },
  { 'verify backups': { script: string[]; artifacts: { reports: { junit: string } } } },
  { kind: string; spec: { steps: { env: { name: string }[]; script: string }[] } },
];

beforeAll(async () => {
  mkdirSync(at('bin'));
  symlinkSync(join(ROOT, 'bin/etcdferry.js'), at('bin/etcdferry'));
  writeFileSync(at('v3.db'), testdata('etcd-v3/v3-35.db.gz'));
  copyFileSync(join(ROOT, 'testdata/archive/v0-gzip.tar'), at('before.tar'));
  for (const name of ['etcd', 'another'])
    expect(await etcdferry(['backup', '--from', at('v3.db'), '--to', at('repo/'), '--create', '--name', name])).toMatchObject({ exit: 0 });
  mkdirSync(at('damaged'));
  writeFileSync(at('damaged/etcd-20240301T030000.000Z-r1.etcd.tar'), 'no archive');
});

/** Runs a step as its service would, and resolves to its exit status. */
async function run(script: string, backups: string, env: Record<string, string> = {}): Promise<number> {
  const path = `${at('bin')}:${process.env.PATH}`;
  const all = {
    ...cleanEnvironment(),
    PATH: path,
    BACKUPS: backups,
    NAME: 'etcd',
    BEFORE: at('before.tar'),
    EXIT_FILE: at('exit'),
    ...env,
  };
  return promisify(execFile)('bash', ['-c', script], { cwd: directory, env: all }).then(
    () => 0,
    (failed: { code: number }) => failed.code,
  );
}

test("GitHub's steps pass on good backups, and fail on damaged ones with an annotation", async () => {
  const { env, steps } = github.jobs.verify;
  expect(Object.keys(env)).toEqual(['BACKUPS', 'NAME', 'BEFORE']);
  const scripts = steps.flatMap((step) => (step.run === undefined ? [] : [`set -e -o pipefail\n${step.run}`]));
  expect(scripts.length).toBe(3);
  const inActions = { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: at('summary.md') };
  for (const script of scripts) expect(await run(script, at('repo'), inActions), script).toBe(0);
  expect(readFileSync(at('summary.md'), 'utf8')).toContain('2 passed');
  expect(readFileSync(at('verify.xml'), 'utf8')).toContain('failures="0"');
  // The step that compares hides no other status.
  const compare = scripts[2] as string;
  expect(await run(compare, at('repo'), { BEFORE: at('v3.db') })).toBe(0);
  expect(await run(compare, at('repo'), { NAME: 'other' })).toBe(2);
  expect(await run(compare, at('damaged'))).toBe(12);
  expect(await run(scripts[1] as string, at('damaged'), inActions)).toBe(12);
  expect(readFileSync(at('verify.xml'), 'utf8')).toContain('type="damaged"');
});

test("GitLab's script writes the report that its artifacts name", async () => {
  const { script, artifacts } = gitlab['verify backups'];
  for (const line of script) expect(await run(line, at('repo')), line).toBe(0);
  expect(readFileSync(at(artifacts.reports.junit), 'utf8')).toContain('<testsuites');
});

test("Tekton's step keeps the exit status", async () => {
  const [step] = tekton.spec.steps;
  expect(tekton.kind).toBe('Task');
  expect(step?.env.map(({ name }) => name)).toEqual(['BACKUPS', 'EXIT_FILE']);
  expect(await run(step?.script ?? '', at('repo'))).toBe(0);
  expect(await run(step?.script ?? '', at('damaged'))).toBe(12);
  expect(readFileSync(at('exit'), 'utf8')).toBe('12');
});
