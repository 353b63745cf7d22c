import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CliResult, etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { keysOfServer } from '../support/migrated.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const HIDDEN = '/_h/k';
const ALL = ['/a/x', '/a/y', '/d/k'];

let source: EtcdServer;
let target: EtcdServer;

/** Makes an archive of the tree, as it is now. */
async function archive(name: string, ...flags: string[]): Promise<void> {
  const made = await etcdferryInside(['backup', '--api', 'v2', '--from', source.endpoint, '--to', at(name), ...flags]);
  expect(made, made.stderr).toMatchObject({ exit: 0 });
}

beforeAll(async () => {
  [source, target] = await Promise.all([EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] }), EtcdServer.start(newestEtcd())]);
  const client = new V2Client(source.endpoint);
  for (const path of [...ALL, HIDDEN, '/a/gone', '/_h/gone']) await client.send('PUT', `/keys${path}`, 'value=v');
  await archive('full.tar');
  await archive('hidden.tar', '--include-hidden', '/_h');
  cpSync(source.dataDir, at('data'), { recursive: true });
  for (const path of ['/a/gone', '/_h/gone']) await client.send('DELETE', `/keys${path}`);
  await archive('d.tar', '--prefix', '/d/');
  await archive('but-a.tar', '--exclude-prefix', '/a/');
  await archive('full-since.tar');
  await archive('hidden-since.tar', '--include-hidden', '/_h');
  cpSync(source.dataDir, at('data-since'), { recursive: true });
});
afterAll(() => Promise.all([source.stop(), target.stop()]));

const sources: Record<string, () => string> = { live: () => source.endpoint };
let number = 0;

/** Migrates one source after another, as runs of the same work. */
function migration(...flags: string[]): (from: string, ...more: string[]) => Promise<CliResult> {
  const state = at(`${++number}.state`);
  const common = ['--to', target.endpoint, '--state', state, '--empty-dirs', 'drop', '--json', ...flags];
  return (from, ...more) => etcdferryInside(['migrate', '--from', sources[from]?.() ?? at(from), ...common, ...more]);
}

/** How many keys the note says were left alone. */
function leftAlone(result: CliResult): number {
  expect(result, result.stderr).toMatchObject({ exit: 0 });
  const { notes } = jsonOf(result) as { notes: { code: string; count: number; lossy: boolean }[] };
  return notes.find(({ code, lossy }) => code === 'not-told-by-source' && !lossy)?.count ?? 0;
}

const there = async (prefix: string): Promise<string[]> =>
  [...(await keysOfServer(target)).keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));

test.each<[first: string, second: string, gone: string[], left: number]>([
  ['full.tar', 'full-since.tar', ['/a/gone'], 0],
  ['full.tar', 'd.tar', [], 3],
  ['full.tar', 'but-a.tar', [], 3],
  ['hidden.tar', 'hidden-since.tar', ['/a/gone', '/_h/gone'], 0],
  ['hidden.tar', 'live', ['/a/gone'], 2],
  ['data', 'live', ['/a/gone'], 2],
])('after %s, %s has only what it shows to be gone deleted; a fuller source the rest', async (first, second, gone, left) => {
  const prefix = `/${number}-${first}-${second}`;
  const migrate = migration('--add-prefix', prefix);
  await migrate(first);
  const before = await there(prefix);
  expect(before).toEqual(expect.arrayContaining([...ALL, '/a/gone']));
  expect(leftAlone(await migrate(second, '--dry-run'))).toBe(left);
  expect(await there(prefix)).toEqual(before);
  expect(leftAlone(await migrate(second))).toBe(left);
  expect(await there(prefix)).toEqual(before.filter((key) => !gone.includes(key)));
  expect(leftAlone(await migrate('data-since'))).toBe(0);
  expect((await there(prefix)).sort()).toEqual([HIDDEN, ...ALL].sort());
});

test('hidden nodes that were not asked for stay where the tree is followed after its files', async () => {
  const migrate = migration('--add-prefix', '/followed');
  await migrate('data');
  expect(leftAlone(await migrate('live', '--follow', '--until-idle', '100ms'))).toBe(2);
  expect((await there('/followed')).sort()).toEqual([HIDDEN, '/_h/gone', ...ALL].sort());
});

test('hidden nodes that are asked for by name and gone are deleted while the tree is followed', async () => {
  const client = new V2Client(source.endpoint);
  await client.send('PUT', '/keys/_asked/k', 'value=v');
  const migrate = migration('--add-prefix', '/asked', '--include-hidden', '/_asked');
  await migrate('live');
  expect(await there('/asked')).toContain('/_asked/k');
  await client.send('DELETE', '/keys/_asked/k');
  expect(leftAlone(await migrate('live', '--follow', '--until-idle', '100ms'))).toBe(0);
  expect(await there('/asked')).not.toContain('/_asked/k');
});
