import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { openArchive } from '../../src/archive/open.js';
import { packArchive } from '../../src/archive/pack.js';
import { batchOf, type RecordBatch } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { delegate, EVERYTHING } from '../../src/model/source.js';
import { archiveSource } from '../../src/readers/archive.js';
import { decodeKeyValue, encodeKeyValue } from '../../src/wire/keyvalue.js';
import { memorySink, memorySource } from '../archive/memory.js';
import { type CliResult, etcdferryInside } from '../support/cli.js';
import { cleanEnvironment, EtcdServer, etcdVersions, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';

const TESTDATA = join(import.meta.dirname, '../../testdata');
const BIN = join(import.meta.dirname, '../../bin/etcdferry.js');
const FILES = { 'v3-34': 'etcd-v3/v3-34', 'v3-35': 'etcd-v3/v3-35', plain: 'kubernetes-1.20/plain' } as const;
const WRONG_KEY = '/registry/services/specs/default/kubernetes';
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
/** Everything a drill makes is made in here. */
const work = at('work');

const verify = (...args: string[]): Promise<CliResult> => etcdferryInside(['verify', ...args, '--tmp-dir', work]);

function first(result: CliResult): Record<string, unknown> {
  return JSON.parse(result.stdout.toString().split('\n')[0] as string) as Record<string, unknown>;
}

/** The same archive with one bit of one value another, and every digest made to match. */
async function forged(archive: Buffer): Promise<Buffer> {
  const source = archiveSource(await openArchive(memorySource(archive)), 'forged', EVERYTHING);
  async function* records(): AsyncGenerator<RecordBatch> {
    for await (const { bytes, starts, ends, count } of source.records()) {
      const changed = Array.from({ length: count }, (_, i) => {
        const kv = decodeKeyValue(Buffer.from(bytes.subarray(starts[i], ends[i])));
        if (kv.key.toString() === WRONG_KEY) kv.value[kv.value.length >> 1] = (kv.value[kv.value.length >> 1] as number) ^ 1;
        return encodeKeyValue(kv);
      });
      yield batchOf(changed);
    }
  }
  const sink = memorySink();
  await packArchive({ ...delegate(source), records }, sink, { compress: 'gzip', toolVersion: '0.1.0' }, quietRun());
  return sink.bytes();
}

/** A directory of programs of ours in the place of etcd's. */
function programs(name: string, scripts: Readonly<Record<string, string>>): string {
  mkdirSync(at(name));
  for (const [program, script] of Object.entries(scripts)) {
    writeFileSync(join(at(name), program), `#!/bin/sh\n${script}\n`);
    chmodSync(join(at(name), program), 0o755);
  }
  return at(name);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function until(what: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !what(); ) {
    if (Date.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

beforeAll(async () => {
  mkdirSync(work);
  for (const [name, path] of Object.entries(FILES)) {
    writeFileSync(at(`${name}.db`), gunzipSync(readFileSync(join(TESTDATA, `${path}.db.gz`))));
    expect((await etcdferryInside(['backup', '--from', at(`${name}.db`), '--to', at(`${name}.tar`)])).exit).toBe(0);
  }
  writeFileSync(at('forged.tar'), await forged(readFileSync(at('plain.tar'))));
});

for (const etcd of etcdVersions())
  describe(`etcd ${etcd.version}`, () => {
    test('serves what archives and snapshot files hold, revisions and leases too; nothing stays behind', async () => {
      const names = [...Object.keys(FILES).map((name) => at(`${name}.tar`)), at('v3-35.db')];
      const result = await verify(...names, '--drill', '--etcd-bin', etcd.dir, '--json');
      const results = result.stdout
        .toString()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      for (const one of results.slice(0, -1)) {
        expect(one).toMatchObject({
          passed: true,
          drill: { etcdVersion: etcd.version, differ: false, equal: one.records, seconds: expect.any(Number) },
        });
      }
      expect(results.at(-1)).toMatchObject({ verified: 4, passed: 4, exit: 0 });
      expect(readdirSync(work)).toEqual([]);
    });

    test('a byte that was wrong when it was written is told by another source', async () => {
      const result = await verify(at('forged.tar'), '--against', at('plain.db'), '--drill', '--etcd-bin', etcd.dir, '--json');
      expect(result.exit).toBe(4);
      expect(first(result)).toMatchObject({
        passed: false,
        whole: true,
        drill: { differ: false, equal: 317 },
        against: { differ: true, changed: 1, equal: 316, differences: [{ change: 'changed', key: WRONG_KEY, parts: ['value'] }] },
      });
    });
  });

describe('a drill', () => {
  const etcd = newestEtcd();
  const drill = ['--drill', '--etcd-bin', etcd.dir];

  test('alone does not tell a byte that was wrong when it was written, nor does any digest; another source does without it', async () => {
    expect((await verify(at('forged.tar'), ...drill)).exit).toBe(0);
    expect((await verify(at('forged.tar'), '--against', at('plain.tar'))).exit).toBe(4);
    expect((await verify(at('plain.tar'), '--against', at('plain.db'), ...drill)).exit).toBe(0);
  });

  test('fails when the etcd serves something else than was restored, exit 4', async () => {
    expect((await etcdferryInside(['restore', '--from', at('forged.tar'), '--to', at('forged.db')])).exit).toBe(0);
    const swap = `shift 3; exec ${etcd.snapshotTool} snapshot restore ${at('forged.db')} "$@"`;
    const bin = programs('swapping', { etcd: `exec ${etcd.dir}/etcd "$@"`, etcdutl: swap });
    const result = await verify(at('plain.tar'), '--drill', '--etcd-bin', bin);
    expect(result.exit).toBe(4);
    expect(result.stdout.toString()).toContain(`which serves SOMETHING ELSE: 0 more, 0 missing, 1 changed, 316 equal\n  ~ ${WRONG_KEY}\n`);
  });

  test('takes a history, an archive on stdin, and a file whose users would keep it out', async () => {
    expect((await etcdferryInside(['backup', '--from', at('v3-35.db'), '--history', '--to', at('history.tar')])).exit).toBe(0);
    expect((await verify(at('history.tar'), ...drill)).exit).toBe(0);
    expect((await etcdferryInside(['verify', '-', ...drill], readFileSync(at('plain.tar')))).exit).toBe(0);
    await using server = await EtcdServer.start(etcd);
    await server.etcdctl('put', 'a', 'b');
    await server.enableAuth('secret');
    await server.etcdctl('--user', 'root:secret', 'snapshot', 'save', at('auth.db'));
    const result = await verify(at('auth.db'), ...drill);
    expect(result).toMatchObject({
      exit: 0,
      stderr: expect.stringMatching(/authentication is on in it; a copy of it without users is restored/),
    });
  });

  test('of a v2 tree is refused, with the way to it; so is one without etcd, exit 2', async () => {
    await using server = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    await server.etcdctl2('set', '/a', 'b');
    expect((await etcdferryInside(['backup', '--api', 'v2', '--from', server.endpoint, '--to', at('tree.tar')])).exit).toBe(0);
    const tree = await verify(at('tree.tar'), ...drill);
    expect(tree).toMatchObject({ exit: 2, stderr: expect.stringMatching(/migrate --from TREE/) });
    const nowhere = await verify(at('plain.tar'), '--drill', '--etcd-bin', directory);
    expect(nowhere).toMatchObject({ exit: 2, stderr: expect.stringMatching(/--etcd-bin DIR/) });
  });

  test.each([
    { version: '3.4.23', exit: 1, says: /etcdctl snapshot restore failed: this etcdctl was asked/ },
    { version: '3.5.16', exit: 1, says: /etcdctl snapshot restore failed: this etcdctl was asked/ },
    { version: '3.6.0', exit: 2, says: /needs etcdutl: it is not in .*, and the etcdctl of etcd 3\.6\.0/ },
    { version: '3.10.0-rc.0', exit: 2, says: /needs etcdutl/ },
    { version: '4.0.0', exit: 2, says: /needs etcdutl/ },
  ])('of etcd $version with etcdctl alone ends with $exit', async ({ version, exit, says }) => {
    const bin = programs(`only-etcdctl-${version}`, {
      etcd: `echo "etcd Version: ${version}"`,
      etcdctl: 'echo "this etcdctl was asked" >&2; exit 3',
    });
    const result = await verify(at('plain.tar'), '--drill', '--etcd-bin', bin);
    expect(result).toMatchObject({ exit });
    expect(result.stdout.toString()).toMatch(says);
  });

  test("says what etcd's own programs say when they fail, exit 1", async () => {
    const bin = programs('failing', { etcd: 'echo "etcd Version: 3.5.0"', etcdutl: 'echo "Error: no such snapshot" >&2; exit 3' });
    const restoring = await verify(at('plain.tar'), '--drill', '--etcd-bin', bin);
    expect(restoring).toMatchObject({ exit: 1 });
    expect(restoring.stdout.toString()).toMatch(/etcdutl snapshot restore failed: Error: no such snapshot\n/);
    writeFileSync(join(bin, 'etcdutl'), '#!/bin/sh\nexit 0\n');
    expect((await verify(at('plain.tar'), '--drill', '--etcd-bin', bin)).stdout.toString()).toMatch(
      /the restored etcd ended at once: etcd Version/,
    );
    expect(readdirSync(work)).toEqual([]);
  });

  test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('leaves no etcd and no file when it is ended by %s', async (signal) => {
    const pidFile = at(`pid-${signal}`);
    const running = `[ "$1" = --version ] && { echo "etcd Version: 3.5.0"; exit; }; echo $$ >${pidFile}; exec sleep 600`;
    const bin = programs(`running-${signal}`, { etcd: running, etcdutl: 'exit 0' });
    const args = [BIN, 'verify', at('plain.tar'), '--drill', '--etcd-bin', bin, '--tmp-dir', work];
    const child: ChildProcess = spawn(process.execPath, args, { env: cleanEnvironment(), stdio: 'ignore' });
    const exit = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
    await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'));
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(isAlive(pid)).toBe(true);
    child.kill(signal);
    expect(await exit).toBe({ SIGKILL: null, SIGTERM: 143, SIGINT: 130 }[signal]);
    await until(() => !isAlive(pid) && readdirSync(work).length === 0);
  });
});
