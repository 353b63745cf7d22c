import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeDeleteRange, encodeTxn } from '../../src/wire/rpc-request.js';
import { type CliResult, etcdferryInside } from '../support/cli.js';
import { etcdVersions, newestEtcd } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { restored } from '../support/restore-file.js';
import { temporaryDirectory } from '../support/temp.js';

const DIRECTORIES = ['/a/', '/a/x/', '/b/', '/b/x/', '/c/'];
const KEYS = DIRECTORIES.flatMap((directory) => [`${directory}1`, `${directory}2`]);
const ALL = [...KEYS, ...DIRECTORIES.map((directory) => `${directory}extra`)];
/** Every key that one of these can be named from, over and over: each renaming may take an /x away. */
const NAMEABLE = ['/a/', '/b/', '/c/'].flatMap((top) =>
  ['', 'x/', 'x/x/', 'x/x/x/', 'x/x/x/x/'].flatMap((under) => ['1', '2', 'extra'].map((name) => top + under + name)),
);

interface Chosen {
  readonly prefixes: readonly string[];
  readonly excluded: readonly string[];
}

interface Renaming {
  readonly flags: readonly string[];
  readonly name: (key: string) => string;
}

const RENAMINGS: readonly Renaming[] = [
  { flags: [], name: (key) => key },
  { flags: ['--map', '/a/=/b/'], name: (key) => key.replace(/^\/a\//, '/b/') },
  { flags: ['--map', '/a/x/=/b/'], name: (key) => key.replace(/^\/a\/x\//, '/b/') },
  { flags: ['--map', '/a/=/b/', '--map', '/b/=/a/'], name: (key) => key.replace(/^\/([ab])\//, (_, c) => (c === 'a' ? '/b/' : '/a/')) },
];

const prefix = fc.constantFrom('/', ...DIRECTORIES);
const chosen: fc.Arbitrary<Chosen> = fc.record({
  prefixes: fc.uniqueArray(prefix, { minLength: 1, maxLength: 2 }),
  excluded: fc.uniqueArray(fc.constantFrom(...DIRECTORIES), { maxLength: 1 }),
});
const scenario = fc.record({
  source: fc.uniqueArray(fc.constantFrom(...KEYS), { minLength: 1 }),
  target: fc.uniqueArray(fc.constantFrom(...ALL), { minLength: 1 }),
  first: chosen,
  /** Steps from one file to the next: an archive of the last, or a snapshot file of it under other names. */
  steps: fc.array(fc.oneof(chosen, fc.constantFrom(...RENAMINGS)), { maxLength: 2 }),
  request: chosen,
  renaming: fc.constantFrom(...RENAMINGS),
});

function holds({ prefixes, excluded }: Chosen, key: string): boolean {
  return prefixes.some((p) => key.startsWith(p)) && !excluded.some((p) => key.startsWith(p));
}

function flagsOf({ prefixes, excluded }: Chosen): string[] {
  return [...prefixes.flatMap((p) => ['--prefix', p]), ...excluded.flatMap((p) => ['--exclude-prefix', p])];
}

/** What a file holds, and what it can speak for: single keys, nothing clever. */
interface Model {
  readonly keys: ReadonlySet<string>;
  readonly knows: ReadonlySet<string>;
}

function select({ keys, knows }: Model, wanted: Chosen): Model {
  const kept = (set: ReadonlySet<string>): Set<string> => new Set([...set].filter((key) => holds(wanted, key)));
  return { keys: kept(keys), knows: kept(knows) };
}

/** @returns undefined where two keys would become one */
function rename({ keys, knows }: Model, { name }: Renaming): Model | undefined {
  const renamed = new Set([...keys].map(name));
  return renamed.size < keys.size ? undefined : { keys: renamed, knows: new Set([...knows].map(name)) };
}

describe('restore --delete-extra', () => {
  const directory = temporaryDirectory();
  let files = 0;
  let etcd: RestoreTarget;
  beforeAll(async () => {
    etcd = await RestoreTarget.start(newestEtcd());
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  const ferry = (...args: string[]): Promise<CliResult> => etcdferryInside([...args, '-q']);
  const newFile = (ending: string): string => join(directory, `${files++}${ending}`);
  const hold = async (keys: Iterable<string>): Promise<void> => {
    await etcd.cluster.call('KV/DeleteRange', encodeDeleteRange(Buffer.alloc(1), Buffer.alloc(1)));
    const puts = [...keys].map((key) => ({ kind: 'put', key: Buffer.from(key), value: Buffer.from('value'), lease: 0n }) as const);
    await etcd.cluster.call('KV/Txn', encodeTxn({ compares: [], success: puts, failure: [] }));
  };
  const held = async (): Promise<string[]> => (await etcd.dump('/')).map(({ key }) => key.toString());

  /** Makes the files of a scenario; @returns undefined where a step is to be refused, and was. */
  async function fileOf({ source, first, steps }: { source: string[]; first: Chosen; steps: (Chosen | Renaming)[] }) {
    await hold(source);
    let model: Model = { keys: new Set(source), knows: new Set(NAMEABLE) };
    let file = etcd.server.endpoint;
    for (const step of [first, ...steps]) {
      const isArchive: boolean = 'prefixes' in step;
      const next = newFile(isArchive ? '.tar' : '.db');
      const made: Model | undefined = 'prefixes' in step ? select(model, step) : rename(model, step);
      const result = isArchive
        ? await ferry('backup', '--from', file, '--to', next, ...flagsOf(step as Chosen))
        : await ferry('restore', '--from', file, '--to', next, ...(step as Renaming).flags);
      const refused: boolean = made === undefined || (isArchive && made.keys.size === 0);
      expect([result.exit, result.stderr]).toEqual([refused ? 2 : 0, expect.anything()]);
      if (made === undefined || refused) return undefined;
      [model, file] = [made, next];
    }
    return { file, model };
  }

  it('deletes just what source and request both cover, after renaming, through any chain of files', async () => {
    const ends = { refused: 0, deleted: 0 };
    await fc.assert(
      fc.asyncProperty(scenario, async (s) => {
        const made = await fileOf(s);
        if (made === undefined) return;
        await hold(s.target);
        const selected = select(made.model, s.request);
        const named = rename(selected, s.renaming);
        const refused = named === undefined || selected.keys.size === 0;
        const args = ['restore', '--from', made.file, '--to', etcd.server.endpoint, '--on-conflict', 'overwrite', '--delete-extra'];
        const result = await ferry(...args, ...flagsOf(s.request), ...s.renaming.flags);
        expect([result.exit, result.stderr]).toEqual([refused ? 2 : 0, expect.anything()]);
        const stays = (key: string): boolean => refused || !named.knows.has(key) || named.keys.has(key);
        const wanted = new Set([...s.target.filter(stays), ...(refused ? [] : named.keys)]);
        expect(await held()).toEqual([...wanted].sort());
        if (refused) ends.refused++;
        else if (s.target.some((key) => !stays(key))) ends.deleted++;
      }),
      { numRuns: 20, endOnFailure: true },
    );
    expect(ends.deleted).toBeGreaterThan(0);
  }, 300_000);

  it('refuses a prefix under which a file holds no key that does not say what it was made of, whatever is allowed', async () => {
    await hold(['/a/1', '/b/1']);
    const [snapshot, archive] = [newFile('.db'), newFile('.tar')];
    await etcd.server.etcdctl('snapshot', 'save', snapshot);
    expect((await ferry('backup', '--from', snapshot, '--to', archive)).exit).toBe(0);
    await hold(['/a/extra', '/c/1']);
    for (const file of [snapshot, archive]) {
      for (const dryRun of [[], ['--dry-run']]) {
        const args = ['restore', '--from', file, '--to', etcd.server.endpoint, '--delete-extra', '--allow-empty', ...dryRun];
        const result = await ferry(...args, '--prefix', '/a/', '--prefix', '/c/');
        expect([result.exit, result.stderr]).toEqual([2, expect.stringMatching(/holds no key under "\/c\/"/)]);
        expect(await held()).toEqual(['/a/extra', '/c/1']);
      }
    }
    expect((await ferry('restore', '--from', archive, '--to', etcd.server.endpoint, '--delete-extra', '--prefix', '/a/')).exit).toBe(0);
    expect(await held()).toEqual(['/a/1', '/c/1']);
  });

  it('lets the mark of a .db count until an etcd was started on it, which owns the file since', async () => {
    await hold(['/a/1']);
    const [archive, file] = [newFile('.tar'), newFile('.db')];
    expect((await ferry('backup', '--from', etcd.server.endpoint, '--prefix', '/a/', '--to', archive)).exit).toBe(0);
    expect((await ferry('restore', '--from', archive, '--to', file)).exit).toBe(0);
    const selectionOf = async (location: string, ...more: string[]): Promise<unknown> => {
      const copy = newFile('.tar');
      expect((await ferry('backup', '--from', location, '--to', copy, ...more)).exit).toBe(0);
      const header = readFileSync(copy).subarray(512, 4096).toString();
      return (JSON.parse(header.slice(0, header.indexOf('\n}\n') + 2)) as { selection: { prefixes: unknown } }).selection.prefixes;
    };
    expect(await selectionOf(file)).toEqual([{ key: '/a/' }]);
    for (const binaries of etcdVersions()) {
      const [copy, saved] = [newFile('.db'), newFile('.db')];
      await using started = await restored(binaries, file, { beforeStart: (database) => copyFileSync(database, copy) });
      await started.etcdctl('snapshot', 'save', saved);
      expect([binaries.version, await selectionOf(copy, '--skip-hash-check')]).toEqual([binaries.version, []]);
      expect([binaries.version, await selectionOf(saved)]).toEqual([binaries.version, []]);
      expect(await selectionOf(started.endpoint, '--via', 'snapshot')).toEqual([]);
    }
  });

  it('empties a prefix that the source is known to hold nothing of only where that is said to be meant', async () => {
    await hold(['/a/1']);
    const file = newFile('.tar');
    expect((await ferry('backup', '--from', etcd.server.endpoint, '--to', file)).exit).toBe(0);
    await hold(['/a/1', '/c/1']);
    const args = ['restore', '--from', file, '--to', etcd.server.endpoint, '--prefix', '/c/', '--delete-extra'];
    expect((await ferry(...args)).exit).toBe(2);
    expect(await held()).toEqual(['/a/1', '/c/1']);
    expect((await ferry(...args, '--allow-empty')).exit).toBe(0);
    expect(await held()).toEqual(['/a/1']);
  });
});
