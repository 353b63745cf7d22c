import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { writeMetrics } from '../../src/jobs/metrics.js';
import { clearLeftovers, openUnnamed, temporaryName, temporaryPrefix } from '../../src/sort/temporary.js';
import { createFile } from '../../src/storage/file.js';
import { cleanEnvironment } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';

const MODULE = join(import.meta.dirname, '../../dist/sort/temporary.js');
const HOUR = 3600_000;
const root = temporaryDirectory();
let directories = 0;

function fresh(): string {
  const path = join(root, String(++directories));
  mkdirSync(path);
  return path;
}

/** The name that another process gives a temporary file; it goes on until `end` is called. */
async function named(before: string): Promise<{ name: string; end: () => Promise<void> }> {
  const script = `import(${JSON.stringify(MODULE)}).then(async (m) => { console.log(await m.temporaryName(${JSON.stringify(before)})); process.stdin.resume(); })`;
  const child = spawn(process.execPath, ['-e', script], { env: cleanEnvironment(), stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const end = async (): Promise<void> => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  return { name: line.toString().trim(), end };
}

/** The same name for a process of another machine. */
const elsewhere = (name: string): string => name.replace(/-[0-9a-f]{8}-/, '-00000000-');

function make(path: string, hoursAgo: number): void {
  writeFileSync(path, 'left');
  const at = (Date.now() - hoursAgo * HOUR) / 1000;
  utimesSync(path, at, at);
}

test('what a run left is removed when it has ended, whatever its age, and never while it goes on', async () => {
  const directory = fresh();
  const { name, end } = await named('.x.db');
  for (const hours of [0, 1000]) {
    make(join(directory, name), hours);
    await clearLeftovers(directory, '.x.db', Date.now());
    expect(readdirSync(directory)).toEqual([name]);
  }
  await end();
  await clearLeftovers(directory, '.x.db', Date.now());
  expect(readdirSync(directory)).toEqual([]);
});

test.each([
  { what: 'of this process', name: async () => temporaryName('.x.db'), hours: 1000, left: true },
  { what: 'of another machine, touched lately', name: async () => elsewhere(await temporaryName('.x.db')), hours: 23, left: true },
  { what: 'of another machine, long untouched', name: async () => elsewhere(await temporaryName('.x.db')), hours: 25, left: false },
  { what: 'of an earlier release, young', name: async () => '.x.db.0123456789ab.tmp', hours: 23, left: true },
  { what: 'of an earlier release, old', name: async () => '.x.db.0123456789ab.tmp', hours: 25, left: false },
  { what: 'of another target', name: async () => '.y.db.0123456789ab.tmp', hours: 1000, left: true },
  { what: 'of a target whose name begins the same', name: async () => '.x.db.old.0123456789ab.tmp', hours: 1000, left: true },
  { what: 'of somebody else', name: async () => '.x.db.swp', hours: 1000, left: true },
  { what: 'named by somebody else', name: async () => '.x.db.backup.tmp', hours: 1000, left: true },
  { what: 'the target itself', name: async () => 'x.db', hours: 1000, left: true },
])('a file $what, $hours hours old: is it left alone? $left', async ({ name, hours, left }) => {
  const directory = fresh();
  const found = await name();
  make(join(directory, found), hours);
  await clearLeftovers(directory, '.x.db', Date.now());
  expect(readdirSync(directory)).toEqual(left ? [found] : []);
});

test('a directory of another machine stays, and so does what cannot be removed', async () => {
  const directory = fresh();
  const name = elsewhere(await temporaryName('.x.db'));
  mkdirSync(join(directory, name));
  utimesSync(join(directory, name), 1, 1);
  await clearLeftovers(directory, '.x.db', Date.now());
  expect(readdirSync(directory)).toEqual([name]);
  await clearLeftovers(join(directory, 'none'), '.x.db', Date.now());
});

test.each([
  { what: 'a new file', write: async (path: string) => createFile(path, { overwrite: false }).then((sink) => sink.finish()) },
  { what: 'a file that replaces one', write: async (path: string) => createFile(path, { overwrite: true }).then((sink) => sink.finish()) },
  {
    what: 'a file of a long name',
    write: async (path: string) => createFile(path, { overwrite: true }).then((sink) => sink.finish()),
    long: 255,
  },
  { what: 'a file of metrics', write: async (path: string) => writeMetrics(path, []) },
])('$what clears away what was left beside it, and nothing else', async ({ write, long = 0 }) => {
  const directory = fresh();
  const path = join(directory, 'x.db'.padEnd(long, 'x'));
  const before = temporaryPrefix(basename(path));
  const { name, end } = await named(before);
  const running = await temporaryName(before);
  for (const one of [name, running, '.y.db.0123456789ab.tmp']) make(join(directory, one), 1000);
  await end();
  await write(path);
  expect(readdirSync(directory).sort()).toEqual([running, '.y.db.0123456789ab.tmp', basename(path)].sort());
});

test('an unnamed file clears away what a run left that was killed before its file had no name any more', async () => {
  const directory = fresh();
  const { name, end } = await named('.etcdferry');
  make(join(directory, name), 0);
  await end();
  const handle = await openUnnamed(directory);
  expect(readdirSync(directory)).toEqual([]);
  await handle.write('x');
  expect((await handle.stat()).size).toBe(1);
  await handle.close();
});

test('a file that is being written is touched from time to time, so that no other machine takes it for left over', async () => {
  const directory = fresh();
  const { setInterval } = globalThis;
  let touch = async (): Promise<void> => {};
  globalThis.setInterval = ((action: () => Promise<void>) => {
    touch = action;
    return setInterval(() => {}, HOUR);
  }) as typeof setInterval;
  const sink = await createFile(join(directory, 'x.db'), { overwrite: false }).finally(() => {
    globalThis.setInterval = setInterval;
  });
  const [name] = readdirSync(directory) as [string];
  make(join(directory, name), 48);
  renameSync(join(directory, name), join(directory, elsewhere(name)));
  await touch();
  expect(Date.now() - statSync(join(directory, elsewhere(name))).mtimeMs).toBeLessThan(HOUR);
  renameSync(join(directory, elsewhere(name)), join(directory, name));
  await sink.finish();
  expect(readdirSync(directory)).toEqual(['x.db']);
});
