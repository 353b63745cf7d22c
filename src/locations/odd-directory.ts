import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FerryError } from '../errors.js';
import { looksLikeDataDir } from '../readers/data-dir-layout.js';
import { parseArchiveName } from '../storage/archive-name.js';

/** Data dirs named in an error. */
const NAMED = 5;

/**
 * Looks at a directory that is to be read and is no data dir. One that holds archives is a repository, and so is an empty one;
 * etcd 0.4 kept `conf`, `log` and `snapshot/` in its data dir (etcd 0.4 server, `raft` of goraft), a v2 proxy keeps `proxy/` alone
 * (etcd etcdmain/etcd.go).
 *
 * @throws FerryError `unknown-format` for a data dir of etcd 0.4; `usage` for a directory that has data dirs in it, for a part
 * of one, and for that of a proxy
 */
export async function refuseOddDirectory(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch((thrown) => {
    throw FerryError.from(thrown, `looking into ${path}`);
  });
  const names = new Set(entries.map(({ name }) => name));
  if (entries.some(({ name }) => parseArchiveName(name) !== undefined)) return;
  if (names.has('conf') && names.has('log')) {
    throw new FerryError('unknown-format', `${path} is a data dir of etcd 0.4, known are 2.0 and later`, {
      hint: 'Start it with etcd 2.0 once: it upgrades the directory.',
    });
  }
  refusePart(path, names);
  const inside = await dataDirsIn(path, entries);
  if (inside.length > 0) throw holdsDataDirs(path, inside);
  if (names.has('proxy')) {
    throw new FerryError('usage', `${path} is the directory of an etcd v2 proxy, which holds no keys`, {
      hint: 'Name the data dir of a member, or read the cluster through the proxy with --api v2.',
    });
  }
}

/** `member/snap` or `member/wal` alone. */
function refusePart(path: string, names: ReadonlySet<string>): void {
  const isPart = names.has('db') || [...names].some((name) => /^[0-9a-f]{16}-[0-9a-f]{16}\.(snap|wal)$/.test(name));
  if (!isPart) return;
  throw new FerryError('usage', `${path} is a part of a data dir`, { hint: "Name the directory that holds etcd's member/." });
}

async function dataDirsIn(path: string, entries: readonly Dirent[]): Promise<string[]> {
  const found: string[] = [];
  for (const { name } of entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink())) {
    // One that may not be looked into (lost+found) is none.
    if (found.length < NAMED && (await looksLikeDataDir(join(path, name)).catch(() => false))) found.push(join(path, name));
  }
  return found;
}

function holdsDataDirs(path: string, inside: readonly string[]): FerryError {
  const what = inside.length === 1 ? `a data dir, ${inside[0]},` : `data dirs (${inside.join(', ')})`;
  return new FerryError('usage', `${path} has ${what} in it, and holds no archives`, { hint: `Name the data dir itself: ${inside[0]}` });
}
