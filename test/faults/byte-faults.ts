import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { entriesOf, rewritten } from '../archive/samples.js';
import { gzipMember, testdata } from '../support/bytes.js';
import { etcdferryInside } from '../support/cli.js';
import { keyValuesOf, snapshotSource } from '../support/snapshots.js';
import { archive } from './damaged-archives.js';
import { mutate, pick, type Random } from './mutate.js';
import { expectClear, type Fault, Unexpected } from './outcome.js';
import { faultRun } from './run.js';

const ARCHIVES = ['v1-key.tar', 'v1-revision.tar', 'v1-tree.tar', 'v0-gzip.tar', 'v0-zstd.tar'].map(archive);
const SNAPSHOTS = ['etcd-v3/v3-34.db.gz', 'etcd-v3/v3-35.db.gz', 'kubernetes/1.20/plain.db.gz'].map(testdata);
const TRAILER = 32;
/** One case in so many is a process of its own, whose memory is watched. */
const WATCHED = 25;

/** Every format we read, damaged in every way; `work` is a folder for what is made. */
export async function byteFaults(work: string): Promise<Fault[]> {
  const values = (await keyValuesOf(await snapshotSource(testdata('kubernetes/1.20/plain.db.gz')))).map(({ value }) => value);
  const encrypted = (await keyValuesOf(await snapshotSource(testdata('kubernetes/1.20/encrypted.db.gz')))).map(({ value }) => value);
  const path = (name: string): string => join(work, name);
  const dirs = dataDirs(work);

  const run = async (args: readonly string[], random: Random): Promise<Awaited<ReturnType<typeof etcdferryInside>>> =>
    random(WATCHED) === 0 ? faultRun(args) : etcdferryInside(args);

  const verified = async (file: string, exits: readonly number[], what: string, random: Random): Promise<number> => {
    const result = await run(['verify', file], random);
    const lines = `${result.stdout.toString()}${result.stderr}`;
    expectClear({ ...result, stderr: lines }, exits, what);
    return result.exit as number;
  };

  /** A job on what is damaged must fail alike, and leave nothing. */
  const refused = async (
    args: readonly string[],
    target: string,
    exits: readonly number[],
    what: string,
    random: Random,
  ): Promise<void> => {
    const before = readdirSync(work);
    const result = await run([...args, '--to', target], random);
    expectClear(result, exits, what);
    const after = readdirSync(work).filter((name) => !before.includes(name));
    if (result.exit !== 0 && result.exit !== 3 && after.length > 0) throw new Unexpected(`${what}: left ${after.join(', ')} behind`);
    rmSync(target, { force: true });
  };

  return [
    {
      name: 'archive damaged',
      run: async (random) => {
        const [good, donor] = [pick(random, ARCHIVES), pick(random, ARCHIVES)];
        const { bytes, kind } = mutate(good, donor, random);
        if (bytes.equals(good)) return 'unchanged';
        writeFileSync(path('a.tar'), bytes);
        await verified(path('a.tar'), [12], `${kind} archive`, random);
        if (random(4) === 0)
          await refused(['restore', '--from', path('a.tar')], path('of-a.db'), [12, 2], `restore of ${kind} archive`, random);
        return `${kind}: damaged (12)`;
      },
    },
    {
      name: 'archive damaged inside, digests made to match',
      run: async (random) => {
        const good = pick(random, ARCHIVES.slice(0, 4));
        const { bytes, kind } = await forged(good, random);
        writeFileSync(path('f.tar'), bytes);
        const exit = await verified(path('f.tar'), [0, 1, 12, 13], `forged archive, ${kind}`, random);
        if (random(4) === 0)
          await refused(['restore', '--from', path('f.tar')], path('of-f.db'), [0, 1, 2, 3, 12, 13], 'restore of it', random);
        return `${kind}: ${WORDS[exit]}`;
      },
    },
    {
      name: 'snapshot file damaged',
      run: async (random) => {
        const [good, donor] = [pick(random, SNAPSHOTS), pick(random, SNAPSHOTS)];
        const { bytes, kind } = mutate(good, donor, random);
        if (bytes.equals(good)) return 'unchanged';
        writeFileSync(path('s.db'), bytes);
        await verified(path('s.db'), [12], `${kind} snapshot file`, random);
        if (random(4) === 0)
          await refused(['backup', '--from', path('s.db')], path('of-s.tar'), [12], `backup of ${kind} snapshot file`, random);
        return `${kind}: damaged (12)`;
      },
    },
    {
      name: 'snapshot file damaged, SHA-256 made to match',
      run: async (random) => {
        const [good, donor] = [pick(random, SNAPSHOTS), pick(random, SNAPSHOTS)];
        const { bytes, kind } = mutate(good.subarray(0, -TRAILER), donor, random);
        writeFileSync(path('m.db'), Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]));
        const exit = await verified(path('m.db'), [0, 1, 3, 12, 13], `${kind} pages`, random);
        const history = random(2) === 0 ? ['--history'] : [];
        if (random(4) === 0)
          await refused(['backup', '--from', path('m.db'), ...history], path('of-m.tar'), [0, 1, 3, 12, 13], 'backup of it', random);
        return `${kind}: ${WORDS[exit]}`;
      },
    },
    ...(['wal', 'snap', 'db'] as const).map((what): Fault => {
      const name = { wal: 'WAL damaged', snap: '.snap damaged', db: "member's db damaged" }[what];
      return {
        name,
        run: async (random) => {
          const dir = pick(
            random,
            dirs.filter((each) => each.files[what].length > 0),
          );
          const [file, other] = [pick(random, dir.files[what]), pick(random, pick(random, dirs).files.wal)];
          const good = readFileSync(file);
          const { bytes, kind } = mutate(good, readFileSync(other), random);
          const before = await measured(dir);
          try {
            writeFileSync(file, bytes);
            const exit = await verified(dir.path, [0, 1, 3, 12, 13], `${kind} ${what} of ${dir.name}`, random);
            // No CRC guards a member's db; of what has one nothing may get lost without a word.
            if (what !== 'db' && exit === 0) await expectSame(before, dir, `${kind} ${what} of ${dir.name}`);
            return `${kind}: ${WORDS[exit]}`;
          } finally {
            writeFileSync(file, good);
          }
        },
      };
    }),
    {
      name: 'stored value damaged',
      run: async (random) => {
        const from = random(3) === 0 ? encrypted : values;
        const { bytes, kind } = mutate(pick(random, from), pick(random, from), random);
        writeFileSync(path('v.bin'), bytes);
        const result = await run(['decode', path('v.bin'), ...pick(random, [[], ['-o', 'json'], ['--json']])], random);
        expectClear(
          { ...result, stderr: `${result.stdout.subarray(0, 500).toString('latin1')}${result.stderr}` },
          [0, 3, 12, 13],
          `${kind} value`,
        );
        return `${kind}: ${WORDS[result.exit as number]}`;
      },
    },
    { name: 'noise as any file', run: (random) => noise(path('n'), random, verified) },
  ];
}

const WORDS: Readonly<Record<number, string>> = {
  0: 'read as it is (0)',
  1: 'over a limit (1)',
  3: 'read, with something left out (3)',
  12: 'damaged (12)',
  13: 'of an unknown kind (13)',
};

async function noise(
  file: string,
  random: Random,
  verified: (file: string, exits: readonly number[], what: string, random: Random) => Promise<number>,
): Promise<string> {
  const heads = [Buffer.alloc(0), (ARCHIVES[0] as Buffer).subarray(0, 512), (SNAPSHOTS[0] as Buffer).subarray(0, 4096 * (1 + random(3)))];
  const body = Buffer.from(Array.from({ length: random(20_000) }, () => random(256)));
  writeFileSync(file, Buffer.concat([pick(random, heads), body]));
  await verified(file, [12], 'noise', random);
  return 'damaged (12)';
}

/** Damages what a segment, a list of leases or a JSON document holds, and sets sizes, offsets and digests right. */
async function forged(good: Buffer, random: Random): Promise<{ bytes: Buffer; kind: string }> {
  const names = entriesOf(good)
    .map(({ name }) => name)
    .filter((name) => name !== 'manifest.json' && name !== 'end');
  const target = pick(random, names);
  let [kind, rawSize] = ['', 0];
  const bytes = await rewritten(good, {
    entries: (all) =>
      all.map((entry) => {
        if (entry.name !== target) return entry;
        const packed = target.endsWith('.gz');
        const raw = packed ? gunzipSync(entry.content) : entry.content;
        const changed = mutate(raw, gunzipSync((all.at(-1) as typeof entry).content), random);
        kind = changed.kind;
        rawSize = changed.bytes.length;
        return { ...entry, content: packed ? gzipMember(changed.bytes) : changed.bytes };
      }),
    manifest: (json) => {
      const entry = json.entries.find(({ name }) => name === target) as Record<string, unknown>;
      entry.rawSize = rawSize;
      if (target.startsWith('segments/')) json.totals.rawBytes = rawSize;
    },
  });
  return { bytes, kind };
}

/** What `verify` counts in a data dir, API by API; and whether it told of a torn end or a damaged .snap. */
async function measured(dir: Dir): Promise<{ readonly counts: string; readonly told: boolean }> {
  const { stdout } = await etcdferryInside(['verify', '--json', dir.path]);
  const lines = stdout.toString().trimEnd().split('\n').slice(0, -1);
  const results = lines.map((line) => JSON.parse(line) as { api: string; records: number; rawBytes: number; notes: { code: string }[] });
  return {
    counts: results.map(({ api, records, rawBytes }) => `${api} ${records} ${rawBytes}`).join(),
    told: results.some(({ notes }) => notes.some(({ code }) => code === 'wal-torn-tail')),
  };
}

async function expectSame(before: { readonly counts: string }, dir: Dir, what: string): Promise<void> {
  const { counts, told } = await measured(dir);
  if (counts !== before.counts && !told) throw new Unexpected(`${what}: ${counts}, where ${before.counts} were before, and no word of it`);
}

interface Dir {
  readonly name: string;
  readonly path: string;
  readonly files: { readonly wal: string[]; readonly snap: string[]; readonly db: string[] };
}

function dataDirs(work: string): Dir[] {
  const names = ['etcd-v2/v238', 'etcd-v2/v34', 'etcd-v3/v3-34', 'etcd-v3/v3-35'];
  return names.map((name) => {
    const root = join(work, name.replace('/', '-'));
    execFileSync('mkdir', ['-p', root]);
    execFileSync('tar', ['xzf', join(import.meta.dirname, '../../testdata', `${name}.data-dir.tar.gz`), '-C', root]);
    const member = join(root, 'data/member');
    const listed = (folder: string, ending: string): string[] =>
      readdirSync(join(member, folder))
        .filter((file) => file.endsWith(ending))
        .map((file) => join(member, folder, file));
    return {
      name,
      path: join(root, 'data'),
      files: { wal: listed('wal', '.wal'), snap: listed('snap', '.snap'), db: listed('snap', 'db') },
    };
  });
}
