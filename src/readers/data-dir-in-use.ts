import { readFile, realpath, stat } from 'node:fs/promises';
import { FerryError } from '../errors.js';

/** `1: OFDLCK ADVISORY  WRITE -1 fe:00:2278451 0 EOF`: a lock that is held (one waited for has `->`). */
const HELD_LOCK = /^\d+: (?:FLOCK|OFDLCK|POSIX)\s+\S+\s+\S+\s+-?\d+\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s/;

/** Where the kernel lists locks and mounts (proc(5)); other files in tests. */
export interface ProcFiles {
  readonly locks: string;
  readonly mountinfo: string;
}

const PROC: ProcFiles = { locks: '/proc/locks', mountinfo: '/proc/self/mountinfo' };

/**
 * Refuses files that a running etcd holds, by whatever names they are reached: a lock belongs to the file itself, not to a
 * name. etcd locks `member/snap/db` (flock) and its WAL
 * segments (open file description locks); both are read from the kernel's list, which leaves
 * nothing behind and cannot get in the way of an etcd that starts. Where there is no such list
 * (anything but Linux) nothing is checked. Locks held over NFS by another machine, or in a container from outside of
 * it, are not listed either: so whoever reads compares afterwards what a change would leave.
 *
 * @param location what is read, for messages: the file itself, or the directory that has the files
 * @returns false where locks cannot be seen
 * @throws FerryError `usage` when a lock is held: the command can be carried out once etcd is stopped
 */
export async function refuseInUse(location: string, files: readonly string[], proc: ProcFiles = PROC): Promise<boolean> {
  const locks = await optionalText(proc.locks);
  if (locks === undefined) return false;
  const held = heldLocks(locks);
  if (held.size === 0) return true;
  const mounts = parseMounts((await optionalText(proc.mountinfo)) ?? '');
  for (const path of files) {
    if ((await lockNames(path, mounts)).some((name) => held.has(name))) throw inUse(location, path);
  }
  return true;
}

/** The warning where locks cannot be seen. */
export function cannotSeeLocks(location: string): string {
  return `${location}: cannot tell here whether a running etcd uses it; make sure that it is stopped`;
}

/** The files that locks are held on, as `major:minor:inode` in decimal. */
export function heldLocks(locks: string): Set<string> {
  const held = new Set<string>();
  for (const line of locks.split('\n')) {
    const [, major, minor, inode] = HELD_LOCK.exec(line) ?? [];
    if (inode !== undefined) held.add(`${Number.parseInt(major as string, 16)}:${Number.parseInt(minor as string, 16)}:${inode}`);
  }
  return held;
}

/**
 * The names a file may have in the kernel's list: by the device that stat gives, and by that of its
 * mount, as on btrfs and overlayfs these differ and the list has the second.
 */
async function lockNames(path: string, mounts: readonly Mount[]): Promise<string[]> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    const real = await realpath(path);
    const mount = mounts.findLast(({ at }) => real === at || real.startsWith(at === '/' ? at : `${at}/`));
    const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
    const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
    return [`${major}:${minor}:${ino}`, ...(mount === undefined ? [] : [`${mount.device}:${ino}`])];
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw FerryError.from(thrown, `looking at ${path}`);
  }
}

interface Mount {
  readonly at: string;
  /** `major:minor`, decimal. */
  readonly device: string;
}

/** Mounts, the one that counts for a path last: longer paths after shorter ones, newer after older. */
function parseMounts(mountinfo: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of mountinfo.split('\n')) {
    const [, , device, , at] = line.split(' ');
    if (device === undefined || at === undefined) continue;
    mounts.push({ device, at: at.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))) });
  }
  return mounts.sort((a, b) => a.at.length - b.at.length);
}

function inUse(location: string, path: string): FerryError {
  return new FerryError('usage', `${location} is in use: a process holds a lock on ${path === location ? 'it' : path}`, {
    hint: 'Stop the member first, or read the live cluster through its endpoint.',
  });
}

async function optionalText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
