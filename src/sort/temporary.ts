import { createHash } from 'node:crypto';
import { type FileHandle, lstat, open, readdir, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hasEnded, type ProcessOwner, thisProcess } from './process-owner.js';

/** `PID-STARTED-SPACE-NUMBER`: the process, where its pid means something (as a hash), and which of its files it is. */
const OWNER = /^\.([0-9a-z]+)-([0-9a-z]+)-([0-9a-f]{8})-[0-9a-z]+\.tmp$/;
/** As they were named before names told whose they are. */
const UNOWNED = /^\.[0-9a-f]{12}\.tmp$/;
/**
 * A file of an owner that cannot be asked about (another machine or container, an earlier boot, an earlier release) counts as left over when
 * it was not touched for so long, in milliseconds by the file system's clock. Whoever still writes touches it each hour.
 */
const LEFT_AFTER = 24 * 3600_000;
export const TOUCH_EVERY = 3600_000;

const LONGEST = 200;

let owner: Promise<ProcessOwner> | undefined;
let made = 0;
/** Directories of which leftovers were looked for by this process. */
const cleared = new Set<string>();

/** What the names of temporary files for a target begin with: a name of at most 255 bytes has room for the rest. */
export function temporaryPrefix(target: string): string {
  return Buffer.byteLength(target) <= LONGEST ? `.${target}` : `.${digest(target, 32)}`;
}

/**
 * A name for a temporary file or directory of this process, which tells whose it is.
 *
 * @param before what the name begins with
 */
export async function temporaryName(before: string): Promise<string> {
  owner ??= thisProcess();
  const { pid, started } = await owner;
  const start = BigInt(started || 0).toString(36);
  return `${before}.${pid.toString(36)}-${start}-${spaceOf(await owner)}-${(made++).toString(36)}.tmp`;
}

/**
 * Removes what runs that have ended left in a directory, and nothing of a run that goes on. What cannot be removed, or may
 * not be looked at, stays.
 *
 * @param before what the names begin with, as given to `temporaryName`
 * @param now of the file system's clock, in milliseconds since the Unix epoch; without it age is no sign
 */
export async function clearLeftovers(directory: string, before: string, now?: number): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(`${before}.`)) continue;
    const path = join(directory, name);
    if (await isLeftOver(path, name.slice(before.length), now)) await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

/**
 * Opens a temporary file that nobody else sees: mode 0600, and without a name once it is open, so that nothing is left however
 * the run ends. What another run left that ended in between is cleared away.
 *
 * @param directory that exists
 */
export async function openUnnamed(directory: string): Promise<FileHandle> {
  if (!cleared.has(directory)) {
    cleared.add(directory);
    await clearLeftovers(directory, SPOOL);
  }
  const path = join(directory, await temporaryName(SPOOL));
  const handle = await open(path, 'wx+', 0o600);
  try {
    await unlink(path);
    return handle;
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

const SPOOL = '.etcdferry';

async function isLeftOver(path: string, ending: string, now: number | undefined): Promise<boolean> {
  owner ??= thisProcess();
  const ours = await owner;
  const [, pid, started, space] = OWNER.exec(ending) ?? [];
  if (space === spaceOf(ours)) return hasEnded({ ...ours, pid: Number.parseInt(pid as string, 36), started: startFrom(started as string) });
  if (now === undefined || (space === undefined && !UNOWNED.test(ending))) return false;
  const found = await lstat(path).catch(() => undefined);
  return found?.isFile() === true && now - found.mtimeMs > LEFT_AFTER;
}

function startFrom(digits: string): string {
  let start = 0n;
  for (const digit of digits) start = start * 36n + BigInt(Number.parseInt(digit, 36));
  return start === 0n ? '' : String(start);
}

function spaceOf({ host, space }: ProcessOwner): string {
  return digest(`${host}\n${space}`, 8);
}

function digest(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}
