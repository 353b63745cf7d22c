import { stat } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { decodeMeta, META_PAGE_BYTES } from '../wire/bbolt-meta.js';
import { hasTrailer } from '../wire/snapshot-trailer.js';
import { cannotSeeLocks, type ProcFiles, refuseInUse } from './data-dir-in-use.js';
import { type DataDirLayout, memberFiles } from './data-dir-layout.js';

/** Page size where meta page 0 does not tell: that of nearly every machine. */
const DEFAULT_PAGE_SIZE = 4096;

/** Watches that what is read stays as it is. */
export interface AtRest {
  /** @throws FerryError `usage` when a process holds a lock by now, `damaged` when something has changed */
  check(): Promise<void>;
}

/** What is read from memory, or from a file without a name, changes for nobody. */
export const ALWAYS_AT_REST: AtRest = { check: async () => {} };

/**
 * Watches a bbolt file from now on: no process may hold a lock on it, and its size, time and both meta pages stay the same.
 * A running etcd writes to its file in place; what is read of it meanwhile may be of two transactions, or of none.
 *
 * @param path where the file lies, by any of its names
 * @throws FerryError `usage` when a process holds a lock on it
 */
export async function watchFile(bytes: ByteSource, path: string, warn: (message: string) => void, proc?: ProcFiles): Promise<AtRest> {
  const before = await stateOf(bytes);
  const seen = await refuseInUse(path, [path], proc);
  // A file with a SHA-256 behind its pages is none that etcd has open.
  if (!seen && !hasTrailer(bytes.size)) warn(cannotSeeLocks(path));
  return {
    check: async () => {
      await refuseInUse(path, [path], proc);
      if ((await stateOf(bytes)) !== before) throw changed(path);
    },
  };
}

/**
 * As `watchFile`, for all files of a stopped member: none may be locked, come, go, or change in size or time.
 *
 * @throws FerryError `usage` when a process holds a lock on one
 */
export async function watchMember(layout: DataDirLayout, warn: (message: string) => void, proc?: ProcFiles): Promise<AtRest> {
  const before = await memberState(layout);
  if (!(await refuseInUse(layout.path, [...before.keys()], proc))) warn(cannotSeeLocks(layout.path));
  return {
    check: async () => {
      const after = await memberState(layout);
      await refuseInUse(layout.path, [...after.keys()], proc);
      const other = [...new Set([...before.keys(), ...after.keys()])].find((path) => before.get(path) !== after.get(path));
      if (other !== undefined) throw changed(layout.path, other);
    },
  };
}

/**
 * Does something with what is watched. Damage that is found in something that changes meanwhile is told as that.
 *
 * @throws FerryError what `action` throws, or what `check` of the watch does
 */
export async function whileAtRest<T>(watch: AtRest, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    if (thrown instanceof FerryError && thrown.code === 'damaged') await watch.check();
    throw thrown;
  }
}

/** Size, time, and the meta pages: where the first one is readable, the second one's place is known. */
async function stateOf(bytes: ByteSource): Promise<string> {
  const parts = [(await bytes.stamp?.()) ?? ''];
  for (const at of [0, await pageSize(bytes)]) {
    if (at + META_PAGE_BYTES <= bytes.size) parts.push((await bytes.read(at, META_PAGE_BYTES)).toString('hex'));
  }
  return parts.join(' ');
}

async function pageSize(bytes: ByteSource): Promise<number> {
  const state = META_PAGE_BYTES <= bytes.size ? decodeMeta(await bytes.read(0, META_PAGE_BYTES)) : 'absent';
  return typeof state === 'object' ? state.pageSize : DEFAULT_PAGE_SIZE;
}

async function memberState(layout: DataDirLayout): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  for (const path of await memberFiles(layout)) {
    try {
      const { ino, size, mtimeNs } = await stat(path, { bigint: true });
      states.set(path, `${ino} ${size} ${mtimeNs}`);
    } catch (thrown) {
      // Gone since the directory was listed.
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw FerryError.from(thrown, `looking at ${path}`);
    }
  }
  return states;
}

function changed(location: string, path = location): FerryError {
  const what = path === location ? 'it changed' : `${path} changed`;
  return new FerryError('damaged', `${location}: ${what} while it was read, so what was read may never have been`, {
    hint: 'Stop the etcd that writes to it, or read the live cluster through its endpoint.',
  });
}
