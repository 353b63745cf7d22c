import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { testdata } from '../support/bytes.js';
import { etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdVersions } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { UnpackedDataDir } from '../support/v2-data.js';
import { v2 } from '../support/v2-workload.js';
import { base64, v3 } from '../support/v3-workload.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const PAGE = 4096;
const TRAILER = 32;

/** The same pages with a SHA-256 behind them that says they are whole. */
function sealed(pages: Buffer): Buffer {
  return Buffer.concat([pages, createHash('sha256').update(pages).digest()]);
}

const flipped = (bytes: Buffer, offset: number): Buffer => {
  const changed = Buffer.from(bytes);
  changed[offset] = (changed[offset] as number) ^ 1;
  return changed;
};

/** Where the first leaf page with entries lies (bbolt page.go: flags 2, then the count). */
function firstLeaf(pages: Buffer): number {
  for (let page = 2 * PAGE; page < pages.length; page += PAGE) {
    if (pages.readUInt16LE(page + 8) === 2 && pages.readUInt16LE(page + 10) > 1) return page;
  }
  throw new Error('no leaf page');
}

/** Damage is one line and 12, and nothing comes to be under the target's name. */
async function expectDamage(path: string, says: RegExp, ...flags: string[]): Promise<void> {
  const target = at('of-damage.tar');
  const result = await etcdferry(['backup', '--from', path, '--to', target, ...flags]);
  expect(result, result.stderr).toMatchObject({ exit: 12 });
  expect(result.stderr).toMatch(says);
  expect(result.stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
  expect(existsSync(target)).toBe(false);
}

test('a snapshot file cut short, or changed, is damaged to backup and to verify', async () => {
  const whole = testdata('etcd-v3/v3-35.db.gz');
  const pages = whole.subarray(0, -TRAILER);
  const leaf = firstLeaf(pages);
  const damaged: [string, Buffer, RegExp][] = [
    ['cut-meta.db', whole.subarray(0, 1000), /ends after 1000 bytes/],
    ['cut-pages.db', whole.subarray(0, 512 * 321), /ends after/],
    ['cut-trailer.db', whole.subarray(0, -1), /SHA-256|ends/],
    ['changed.db', flipped(whole, 500_000), /SHA-256/],
    ['page-id.db', sealed(flipped(pages, leaf)), /page/],
    ['page-flags.db', sealed(flipped(pages, leaf + 8)), /page/],
    ['page-count.db', sealed(flipped(pages, leaf + 11)), /page/],
  ];
  for (const [name, bytes, says] of damaged) {
    writeFileSync(at(name), bytes);
    await expectDamage(at(name), says);
  }
  const verified = await etcdferry(['verify', '--json', ...damaged.map(([name]) => at(name))]);
  expect(verified.exit).toBe(12);
  const lines = verified.stdout.toString().trimEnd().split('\n');
  const results = lines.map((line) => JSON.parse(line) as { whole: boolean; error?: { exit: number } });
  expect(results.slice(0, -1).map(({ whole, error }) => [whole, error?.exit])).toEqual(damaged.map(() => [false, 12]));
});

describe('--skip-hash-check', () => {
  const UNPROVEN = 'hash-not-checked';
  const codes = (notes: unknown): string[] => (notes as { code: string }[]).map(({ code }) => code);
  const json = async (...args: string[]): Promise<Record<string, unknown>> => {
    const result = await etcdferryInside([...args, '--json']);
    expect(result, result.stderr).toMatchObject({ exit: 0 });
    return JSON.parse(result.stdout.toString().split('\n')[0] as string) as Record<string, unknown>;
  };

  test('reads a raw copy of a db, is told wherever it is missing, and calls nothing whole', async () => {
    writeFileSync(at('raw.db'), testdata('etcd-v3/v3-34.db.gz').subarray(0, -TRAILER));
    await expectDamage(at('raw.db'), /no SHA-256[\s\S]*--skip-hash-check/);
    expect(await json('verify', at('raw.db'), '--skip-hash-check')).toMatchObject({
      passed: true,
      whole: false,
      unproven: 'skip-hash-check',
    });
    const text = await etcdferryInside(['verify', at('raw.db'), '--skip-hash-check']);
    expect(text).toMatchObject({ exit: 0 });
    expect(text.stdout.toString()).toMatch(/readable snapshot file, .*nothing proves it whole/);
    expect(text.stdout.toString()).not.toMatch(/whole snapshot file/);
  });

  test('calls no file whole that has a good hash either, since the flag left the proof out', async () => {
    writeFileSync(at('hashed.db'), testdata('etcd-v3/v3-34.db.gz'));
    expect(await json('verify', at('hashed.db'))).toMatchObject({ whole: true });
    expect(await json('verify', at('hashed.db'), '--skip-hash-check')).toMatchObject({ whole: false, unproven: 'skip-hash-check' });
  });

  test('stays visible in every archive that is made of the file, of that archive, and in a repository', async () => {
    writeFileSync(at('raw.db'), testdata('etcd-v3/v3-34.db.gz').subarray(0, -TRAILER));
    const repository = at('repository');
    const made = [at('made.tar'), at('made-again.tar')] as const;
    expect(codes((await json('backup', '--from', at('raw.db'), '--skip-hash-check', '--to', made[0])).notes)).toEqual([UNPROVEN]);
    expect(codes((await json('backup', '--from', made[0], '--to', made[1])).notes)).toEqual([UNPROVEN]);
    await json('backup', '--from', made[1], '--to', repository, '--create', '--name', 'raw');
    await json('backup', '--from', at('raw.db'), '--skip-hash-check', '--history', '--to', at('made-history.tar'));
    for (const archive of [...made, at('made-history.tar'), repository]) {
      const verified = await json('verify', archive);
      expect([verified.whole, codes(verified.notes)], archive).toEqual([true, [UNPROVEN]]);
      expect(codes((await json('inspect', archive)).notes), archive).toEqual([UNPROVEN]);
      expect((await etcdferryInside(['inspect', archive])).stderr, archive).toMatch(/nothing proves that the file was whole/);
    }
    const restored = await json('restore', '--from', made[1], '--to', at('made.db'));
    expect(codes(restored.notes)).toContain(UNPROVEN);
    const list = await json('list', repository);
    expect(list.archives).toMatchObject([{ summary: { notes: [{ code: UNPROVEN }] } }]);
    expect((await etcdferryInside(['list', repository])).stdout.toString()).toMatch(/\.tar: read with --skip-hash-check/);
    // Where a repository has lost the summary, the archive itself tells.
    rmSync(join(repository, '.etcdferry'), { recursive: true });
    expect((await json('list', repository)).archives).toMatchObject([{ summary: { notes: [{ code: UNPROVEN }] } }]);
    // And nothing of it where the file was proven.
    writeFileSync(at('hashed.db'), testdata('etcd-v3/v3-34.db.gz'));
    expect((await json('backup', '--from', at('hashed.db'), '--to', at('proven.tar'))).notes).toEqual([]);
    expect((await json('verify', at('proven.tar'))).notes).toEqual([]);
  });

  test('does not let a hash pass that is there and wrong, whoever reads the file', async () => {
    const file = at('wrong-hash.db');
    writeFileSync(file, flipped(testdata('etcd-v3/v3-34.db.gz'), testdata('etcd-v3/v3-34.db.gz').length - 1));
    writeFileSync(at('hashed.db'), testdata('etcd-v3/v3-34.db.gz'));
    const commands = [
      ['verify', file],
      ['verify', file, '--depth', 'records'],
      ['backup', '--from', file, '--to', at('none.tar')],
      ['restore', '--from', file, '--to', at('none.db')],
      ['inspect', file],
      ['ls', file],
      ['diff', file, at('hashed.db')],
      ['hashkv', file],
    ];
    for (const command of commands) {
      const result = await etcdferryInside([...command, '--skip-hash-check']);
      expect(result, `${command[0]}: ${result.stderr}`).toMatchObject({ exit: 12 });
      expect(result.stdout.toString() + result.stderr, command[0]).toMatch(/SHA-256 is .* last 32 bytes say/);
    }
    expect([existsSync(at('none.tar')), existsSync(at('none.db'))]).toEqual([false, false]);
  });
});

test('a damaged archive comes to no snapshot file, though it is proven while it is read', async () => {
  writeFileSync(at('good.db'), testdata('etcd-v3/v3-35.db.gz'));
  expect(await etcdferry(['backup', '--from', at('good.db'), '--to', at('good.tar')])).toMatchObject({ exit: 0 });
  const good = readFileSync(at('good.tar'));
  const segment = good.indexOf('segments/000000.pb.gz') + 512;
  writeFileSync(at('there.db'), 'mine');
  const damaged: [string, Buffer][] = [
    ['in its records', flipped(good, segment + 3000)],
    ['in its last block', flipped(good, good.length - 1)],
    ['in the manifest', flipped(good, good.lastIndexOf('"sha256"') + 20)],
    ['in a header nothing else depends on', flipped(good, segment - 512 + 300)],
    ['cut', good.subarray(0, -512)],
  ];
  for (const [what, bytes] of damaged) {
    writeFileSync(at('bad.tar'), bytes);
    // What is in the way is looked for only in a target that something could be written to.
    for (const target of ['from-damage.db', 'there.db']) {
      const result = await etcdferry(['restore', '--from', at('bad.tar'), '--to', at(target)]);
      expect(result, `${what}: ${result.stderr}`).toMatchObject({ exit: 12 });
    }
  }
  expect(await etcdferry(['restore', '--from', at('good.tar'), '--to', at('there.db')])).toMatchObject({ exit: 11 });
  expect(readFileSync(at('there.db'), 'utf8')).toBe('mine');
  // No temporary file is left either.
  expect(readdirSync(directory).filter((name) => name.includes('from-damage') || name.startsWith('.'))).toEqual([]);
});

describe('a data dir', () => {
  const wal = 'member/wal/0000000000000000-0000000000000000.wal';

  test('with a bad CRC in the middle of its WAL is damaged', async () => {
    using dir = new UnpackedDataDir('v34');
    const path = join(dir.path, wal);
    writeFileSync(path, flipped(readFileSync(path), 200_000));
    await expectDamage(dir.path, /CRC|crc/, '--api', 'v2');
    expect(await etcdferry(['verify', dir.path])).toMatchObject({ exit: 12 });
  });

  test('with a torn tail is read up to there, and that is told', async () => {
    using dir = new UnpackedDataDir('v238');
    const path = join(dir.path, wal);
    truncateSync(path, readFileSync(path).length - 5);
    const result = await etcdferry(['backup', '--from', dir.path, '--to', at('torn.tar')]);
    expect(result).toMatchObject({ exit: 0 });
    expect(result.stderr).toMatch(/not wholly written/);
  });

  test('whose newest .snap has a bad CRC is read from the one before, and that is told', async () => {
    using dir = new UnpackedDataDir('v238');
    const names = readdirSync(join(dir.path, 'member/snap')).filter((name) => name.endsWith('.snap'));
    const newest = join(dir.path, 'member/snap', names.sort().at(-1) as string);
    const bytes = readFileSync(newest);
    const before = await etcdferry(['backup', '--from', dir.path, '--to', at('before.tar'), '--json']);
    writeFileSync(newest, flipped(bytes, bytes.length >> 1));
    const after = await etcdferry(['backup', '--from', dir.path, '--to', at('after.tar'), '--json']);
    expect(after).toMatchObject({ exit: 0 });
    const [one, other] = [before, after].map((run) => jsonOf(run) as { archive: { digests: object }; notes: { code: string }[] });
    expect(other?.archive.digests).toEqual(one?.archive.digests);
    expect(other?.notes.map(({ code }) => code)).toContain('snap-damaged');
  });
});

describe.each(etcdVersions())('a member of etcd $version', (etcd) => {
  test('is refused while it runs; killed with writes in flight, all it acknowledged is in the backup', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--enable-v2', '--snapshot-count', '300'] });
    await server.etcdctl('--dial-timeout', '30s', '--command-timeout', '30s', 'put', 'first', '1');
    const acknowledged = new Map<string, string>();
    const nodes = new Map<string, number>();
    const put = async (writer: number, i: number): Promise<void> => {
      const key = `key ${writer} ${i}`;
      const answer = await v3(server.endpoint, 'kv/put', { key: base64(key), value: base64(`value ${i}`) });
      acknowledged.set(key, (answer.header as { revision: string }).revision);
    };
    const set = async (writer: number, i: number): Promise<void> => {
      const path = `/node/${writer}-${i}`;
      const { status, index } = await v2(server.endpoint, 'PUT', path, `value=${i}`);
      if (status < 300) nodes.set(path, Number(index));
    };
    const write = async (writer: number): Promise<void> => {
      for (let i = 0; ; i++) await (writer % 2 === 0 ? put(writer, i) : set(writer, i));
    };
    // Each ends when the server does.
    const writers = Array.from({ length: 8 }, (_, writer) => write(writer).catch(() => {}));
    const refused = await etcdferry(['backup', '--from', server.dataDir, '--api', 'v3', '--to', at('running.tar')]);
    expect(refused).toMatchObject({ exit: 2 });
    expect(refused.stderr).toMatch(/is in use: a process holds a lock[\s\S]*Stop the member first/);
    expect(existsSync(at('running.tar'))).toBe(false);
    await server.kill('SIGKILL');
    await Promise.all(writers);

    for (const api of ['v2', 'v3']) {
      const archive = at(`killed-${etcd.version}-${api}.tar`);
      expect(await etcdferry(['backup', '--from', server.dataDir, '--api', api, '--to', archive])).toMatchObject({ exit: 0 });
    }
    const listed = async (api: string): Promise<Record<string, unknown>[]> => {
      const { stdout } = await etcdferry(['ls', at(`killed-${etcd.version}-${api}.tar`), '--json']);
      const lines = stdout.toString().trimEnd().split('\n').slice(0, -1);
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    };
    const keys = new Map((await listed('v3')).map(({ key, modRevision }) => [key, String(modRevision)]));
    expect(acknowledged.size).toBeGreaterThan(50);
    for (const [key, revision] of acknowledged) expect(keys.get(key), key).toBe(revision);
    const paths = new Set((await listed('v2')).map(({ path }) => path));
    expect(nodes.size).toBeGreaterThan(20);
    for (const path of nodes.keys()) expect(paths.has(path), path).toBe(true);
    const both = await etcdferry(['verify', server.dataDir]);
    expect(both.stdout.toString()).toMatch(/data dir \(v2\)[\s\S]*data dir \(v3\)/);
    expect(both.exit).toBe(0);
    const asked = await etcdferry(['backup', '--from', server.dataDir, '--to', at('which.tar')]);
    expect(asked).toMatchObject({ exit: 2 });
    expect(asked.stderr).toMatch(/--api v2 or --api v3/);

    // Its WAL is of some 64 MB, all zeros behind the last record.
    const names = readdirSync(join(server.dataDir, 'member/wal')).filter((name) => name.endsWith('.wal'));
    const name = names.sort().at(-1) as string;
    const wal = join(server.dataDir, 'member/wal', name);
    const log = readFileSync(wal);
    let end = log.length;
    while (log[end - 1] === 0) end--;
    writeFileSync(wal, log.subarray(0, end - 3));
    for (const api of ['v2', 'v3']) {
      const torn = await etcdferry(['backup', '--from', server.dataDir, '--api', api, '--to', at('torn.tar'), '--overwrite']);
      expect(torn, torn.stderr).toMatchObject({ exit: 0 });
      expect(torn.stderr).toMatch(/not wholly written/);
    }
    // In a value: a bit of a record's length is told otherwise.
    writeFileSync(wal, flipped(log, log.indexOf('value ', end >> 1)));
    for (const api of ['v2', 'v3']) await expectDamage(server.dataDir, /CRC|crc/, '--api', api);
  });
});
