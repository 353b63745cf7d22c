import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testdata } from '../support/bytes.js';
import { flipped } from './damaged-archives.js';

/** bbolt's page size in the fixtures. */
const PAGE = 4096;
const TRAILER = 32;
export const snapshot = testdata('etcd-v3/v3-35.db.gz');
const pages = snapshot.subarray(0, -TRAILER);

/** Pages with a SHA-256 behind them that says they are whole. */
function sealed(changed: Buffer): Buffer {
  return Buffer.concat([changed, createHash('sha256').update(changed).digest()]);
}

/** The first page with these flags and more than one entry (bbolt page.go: flags at 8, count at 10). */
function pageWith(flags: number, atLeast = 2): number {
  for (let page = 2 * PAGE; page < pages.length; page += PAGE) {
    if (pages.readUInt16LE(page + 8) === flags && pages.readUInt16LE(page + 10) >= atLeast) return page;
  }
  throw new Error(`no page with flags ${flags}`);
}

const LEAF = pageWith(2);
const BRANCH = pageWith(1);

function edited(change: (bytes: Buffer) => void): Buffer {
  const changed = Buffer.from(pages);
  change(changed);
  return sealed(changed);
}

/** Damaged snapshot files, by what is wrong with them. */
export const FILES: Readonly<Record<string, () => Buffer>> = {
  'a snapshot file cut within its meta pages': () => snapshot.subarray(0, 1000),
  'a snapshot file cut at a page': () => snapshot.subarray(0, 40 * PAGE),
  'a snapshot file without its last byte': () => snapshot.subarray(0, -1),
  'a snapshot file without its SHA-256': () => pages,
  'a snapshot file with a block more': () => Buffer.concat([snapshot, Buffer.alloc(512)]),
  'a snapshot file with a bit flipped': () => flipped(snapshot, 500_000),
  'a snapshot file with a bit of its SHA-256 flipped': () => flipped(snapshot, snapshot.length - 1),
  'digest made to match: both meta pages damaged': () =>
    edited((it) => {
      it.fill(0, 64, 80);
      it.fill(0, PAGE + 64, PAGE + 80);
    }),
  'digest made to match: a leaf page that says it is another': () => sealed(flipped(pages, LEAF)),
  'digest made to match: a leaf page of another kind': () => sealed(flipped(pages, LEAF + 8)),
  'digest made to match: a leaf page with more entries than fit': () => edited((it) => void it.writeUInt16LE(0xffff, LEAF + 10)),
  'digest made to match: a key that lies outside of its page': () => edited((it) => void it.writeUInt32LE(0x7fffffff, LEAF + 16 + 4)),
  'digest made to match: a value longer than the file': () => edited((it) => void it.writeUInt32LE(0x7fffffff, LEAF + 16 + 12)),
  'digest made to match: a branch that leads out of the file': () => edited((it) => void it.writeBigUInt64LE(1n << 40n, BRANCH + 16 + 8)),
  'digest made to match: a branch that leads to itself': () =>
    edited((it) => void it.writeBigUInt64LE(BigInt(BRANCH / PAGE), BRANCH + 16 + 8)),
  'digest made to match: two branches that lead to one page': () =>
    edited((it) => void it.copy(it, BRANCH + 16 + 16 + 8, BRANCH + 16 + 8, BRANCH + 16 + 16)),
};

const DIRS = mkdtempSync(join(tmpdir(), 'etcdferry-dirs-'));
export const removeDirs = (): void => rmSync(DIRS, { recursive: true, force: true });

function unpacked(path: string, name: string): string {
  const work = join(DIRS, name);
  execFileSync('mkdir', ['-p', work]);
  execFileSync('tar', ['xzf', join(import.meta.dirname, '../../testdata', path), '-C', work]);
  return join(work, 'data');
}

const V2 = unpacked('etcd-v2/v34.data-dir.tar.gz', 'v2');
const V3 = unpacked('etcd-v3/v3-34.data-dir.tar.gz', 'v3');
const WAL = 'member/wal/0000000000000000-0000000000000000.wal';
let made = 0;

function dir(from: string, change: (path: string) => void): () => string {
  return () => {
    const path = join(DIRS, `dir-${made++}`);
    cpSync(from, path, { recursive: true });
    change(path);
    return path;
  };
}

const editFile = (path: string, change: (bytes: Buffer) => Buffer): void => writeFileSync(path, change(readFileSync(path)));
/** The 8-byte heads of a WAL's frames, by their offsets (server/storage/wal/decoder.go). */
function frames(wal: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at + 8 <= wal.length; ) {
    const length = wal.readUInt32LE(at);
    if (length === 0) break;
    found.push(at);
    const high = wal[at + 7] as number;
    at += 8 + length + (high & 0x80 ? high & 7 : 0);
  }
  return found;
}

const inWal = (change: (wal: Buffer, heads: number[]) => Buffer) => (path: string) =>
  editFile(join(path, WAL), (wal) => change(Buffer.from(wal), frames(wal)));

/** Damaged data dirs, by what is wrong with them. */
export const DATA_DIRS: Readonly<Record<string, () => string>> = {
  'a data dir without a WAL': dir(V2, (path) => unlinkSync(join(path, WAL))),
  'a data dir with an empty WAL': dir(V2, (path) => truncateSync(join(path, WAL), 0)),
  'a data dir whose WAL has a bit flipped': dir(
    V2,
    inWal((wal, heads) => flipped(wal, (heads[heads.length >> 1] as number) + 30)),
  ),
  'a data dir whose WAL has a frame cut out': dir(
    V2,
    inWal((wal, heads) => Buffer.concat([wal.subarray(0, heads[500]), wal.subarray(heads[501])])),
  ),
  'a data dir whose WAL has a frame twice': dir(
    V2,
    inWal((wal, heads) => Buffer.concat([wal.subarray(0, heads[501]), wal.subarray(heads[500])])),
  ),
  'a data dir whose WAL has two frames exchanged': dir(
    V2,
    inWal((wal, heads) =>
      Buffer.concat([
        wal.subarray(0, heads[500]),
        wal.subarray(heads[501], heads[502]),
        wal.subarray(heads[500], heads[501]),
        wal.subarray(heads[502]),
      ]),
    ),
  ),
  'a data dir whose WAL has a frame of 1 GiB': dir(
    V2,
    inWal((wal, heads) => {
      wal.writeUInt32LE(1 << 30, heads[500] as number);
      return wal;
    }),
  ),
  'a data dir whose WAL begins elsewhere': dir(V2, (path) =>
    execFileSync('mv', [join(path, WAL), join(path, 'member/wal/0000000000000007-0000000000000999.wal')]),
  ),
  'a data dir without a db': dir(V3, (path) => unlinkSync(join(path, 'member/snap/db'))),
  'a data dir whose db is cut': dir(V3, (path) => truncateSync(join(path, 'member/snap/db'), 20 * PAGE)),
  'a data dir whose db has its meta pages zeroed': dir(V3, (path) =>
    editFile(join(path, 'member/snap/db'), (bytes) => Buffer.from(bytes).fill(0, 0, 2 * PAGE)),
  ),
};
