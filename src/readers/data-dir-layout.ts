import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FerryError } from '../errors.js';

/** Where a member keeps its files. */
export interface DataDirLayout {
  readonly path: string;
  readonly snapDir: string;
  readonly walDir: string;
}

/** A file whose name gives its place: `<term>-<index>.snap`, `<sequence>-<index>.wal`, `<index>.snap.db`. */
export interface NamedFile {
  readonly path: string;
  /** Term of a `.snap`, sequence number of a `.wal`; 0n of a `.snap.db`. */
  readonly first: bigint;
  readonly index: bigint;
}

const SNAP = /^([0-9a-f]{16})-([0-9a-f]{16})\.snap$/;
const WAL = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/;
const SNAP_DB = /^()([0-9a-f]{16})\.snap\.db$/;

/** True when a directory looks like a member's data dir: `member/` in it, or (etcd 2.0) `snap/` and `wal/`. */
export async function looksLikeDataDir(path: string): Promise<boolean> {
  if (await isDirectory(join(path, 'member'))) return true;
  return (await isDirectory(join(path, 'snap'))) && (await isDirectory(join(path, 'wal')));
}

/**
 * Finds a member's files: in `member/` (etcd 2.0.1 and later), or in the directory itself (2.0.0; also when
 * `member` itself is named).
 *
 * @param walDir where the WAL is, if the member ran with `--wal-dir`
 * @throws FerryError `not-found` when they are not there, `unknown-format` for a data dir of etcd 0.4
 */
export async function findDataDir(path: string, walDir?: string): Promise<DataDirLayout> {
  const member = join(path, 'member');
  const base = (await isDirectory(member)) ? member : path;
  const layout = { path, snapDir: join(base, 'snap'), walDir: walDir ?? join(base, 'wal') };
  if (!(await isDirectory(layout.snapDir))) {
    if (await isDirectory(join(path, 'snapshot'))) {
      throw new FerryError('unknown-format', `${path} is a data dir of etcd 0.4, known are 2.0 and later`, {
        hint: 'Start it with etcd 2.0 once: it upgrades the directory.',
      });
    }
    throw new FerryError('not-found', `${path} is no data dir of etcd: it has no member/snap`, {
      hint: "Name the directory that holds etcd's member/.",
    });
  }
  if (!(await isDirectory(layout.walDir))) {
    throw new FerryError('not-found', `${layout.walDir}: no such directory, expected the WAL there`, {
      hint: 'If the member ran with --wal-dir, name that directory with --wal-dir.',
    });
  }
  return layout;
}

/** The `.snap` files, newest first. */
export async function snapFiles(layout: DataDirLayout): Promise<NamedFile[]> {
  return (await namedFiles(layout.snapDir, SNAP)).reverse();
}

/** The databases received from a leader, newest first. */
export async function snapDbFiles(layout: DataDirLayout): Promise<NamedFile[]> {
  return (await namedFiles(layout.snapDir, SNAP_DB)).reverse();
}

/**
 * The WAL segments that hold everything after an index, in order.
 *
 * @throws FerryError `damaged` when one is missing
 */
export async function walSegments(layout: DataDirLayout, after: bigint): Promise<NamedFile[]> {
  const all = await walFiles(layout);
  // A segment's index is that of its first entry.
  const from = Math.max(
    all.findLastIndex((file) => file.index <= after),
    all[0]?.index === after + 1n ? 0 : -1,
  );
  if (from < 0) {
    throw new FerryError('damaged', `the WAL in ${layout.walDir} begins at index ${all[0]?.index}, entries from ${after + 1n} are needed`, {
      hint: 'A segment is missing, or what stands for the entries before it: a database or a .snap file.',
    });
  }
  const wanted = all.slice(from);
  wanted.forEach((file, i) => {
    const expected = (wanted[0] as NamedFile).first + BigInt(i);
    if (file.first !== expected)
      throw new FerryError('damaged', `WAL segment ${expected} is missing in ${layout.walDir}: ${file.first} follows ${expected - 1n}`);
  });
  return wanted;
}

/**
 * The newest WAL segments, as far back as none is missing.
 *
 * @throws FerryError `damaged` when there is none
 */
export async function newestWalSegments(layout: DataDirLayout): Promise<NamedFile[]> {
  const all = await walFiles(layout);
  const from = all.findLastIndex((file, i) => file.first !== (all[i - 1]?.first ?? -1n) + 1n);
  return all.slice(from);
}

async function walFiles(layout: DataDirLayout): Promise<NamedFile[]> {
  const all = await namedFiles(layout.walDir, WAL);
  if (all.length > 0) return all;
  throw new FerryError('damaged', `${layout.walDir} holds no WAL segment`, {
    hint: 'If the member ran with --wal-dir, name that directory with --wal-dir.',
  });
}

/** Every file of the member that a running etcd could hold. */
export async function memberFiles(layout: DataDirLayout): Promise<string[]> {
  const inDir = async (dir: string): Promise<string[]> => (await readdir(dir)).map((name) => join(dir, name));
  return [...(await inDir(layout.snapDir)), ...(await inDir(layout.walDir))];
}

async function namedFiles(dir: string, pattern: RegExp): Promise<NamedFile[]> {
  const files: NamedFile[] = [];
  // Names of equal length: their order is that of the numbers.
  for (const name of (await readdir(dir)).sort()) {
    const [, first, index] = pattern.exec(name) ?? [];
    if (index !== undefined) files.push({ path: join(dir, name), first: BigInt(`0x${first || '0'}`), index: BigInt(`0x${index}`) });
  }
  return files;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw FerryError.from(thrown, `looking into ${path}`);
  }
}
