import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { testdata } from '../support/bytes.js';
import { type CliResult, etcdferry, jsonOf } from '../support/cli.js';
import { temporaryDirectory } from '../support/temp.js';

/** `nobody` of most systems. */
const NOBODY = 65_534;
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const isRoot = process.getuid?.() === 0;
/** Another user can run what is tested here. */
let canTry = true;

// One user writes the backups, and lets others read the archives, but not what is kept beside them.
beforeAll(async () => {
  writeFileSync(at('v3.db'), testdata('etcd-v3/v3-35.db.gz'));
  for (const name of ['a', 'b'])
    expect(await etcdferry(['backup', '--from', at('v3.db'), '--to', at('repo/'), '--create', '--name', name])).toMatchObject({ exit: 0 });
  for (const name of readdirSync(at('repo'))) if (name.endsWith('.tar')) chmodSync(at(`repo/${name}`), 0o644);
  chmodSync(directory, 0o755);
  chmodSync(at('repo'), 0o555);
  // Its owner is kept out too, unless that is root.
  chmodSync(at('repo/.etcdferry'), 0);
  canTry = !isRoot || (await etcdferry(['--version'], { user: NOBODY, cwd: '/' })).exit === 0;
});

afterAll(() => {
  chmodSync(at('repo'), 0o755);
  chmodSync(at('repo/.etcdferry'), 0o700);
});

function reading(context: TestContext, ...args: string[]): Promise<CliResult> {
  if (!canTry) console.warn('another user cannot run the program from here: reading archives without their summaries is NOT tried');
  context.skip(!canTry);
  return etcdferry(args, isRoot ? { user: NOBODY, cwd: '/' } : {});
}

function warnings({ stderr }: CliResult): string[] {
  return stderr.split('\n').filter((line) => line !== '');
}

test('verify goes by the archives where their summaries cannot be read, and says so once', async (context) => {
  const run = await reading(context, 'verify', at('repo'));
  expect(run.exit).toBe(0);
  expect(run.stdout.toString()).toMatch(/whole archive.*\n.*whole archive.*\n2 locations: 2 whole, 0 not\n/);
  expect(warnings(run)).toEqual([
    expect.stringMatching(/^warning: .*repo: what is kept beside its archives can be neither read nor changed: /),
  ]);
});

test('list tells what the archives tell', async (context) => {
  const run = await reading(context, 'list', at('repo'), '--json');
  expect(run.exit).toBe(0);
  expect(jsonOf(run)).toMatchObject({ archives: [{ name: 'a', summary: { records: 369, verified: {} } }, { name: 'b' }] });
  expect(warnings(run)).toEqual([
    expect.stringMatching(/^warning: .*repo: what is kept beside its archives cannot be read, and is left out: /),
  ]);
});

test('check-age goes by the names of the archives, unless it is to tell what passed verify', async (context) => {
  expect(await reading(context, 'check-age', at('repo'), '--max-age', '1h')).toMatchObject({ exit: 0 });
  const needed = await reading(context, 'check-age', at('repo'), '--max-age', '1h', '--require', 'verify');
  expect(needed).toMatchObject({ exit: 1, stderr: expect.stringMatching(/permission denied/) });
});

test('diff needs none', async (context) => {
  const run = await reading(context, 'diff', at('repo'), at('repo'), '--name', 'b');
  expect(run).toMatchObject({ exit: 0, stderr: expect.stringMatching(/^no difference: 369 keys equal/) });
});
