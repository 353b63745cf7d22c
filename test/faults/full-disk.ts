import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { mountTmpfs } from '../support/mount.js';
import type { Random } from './mutate.js';
import { expectClear, type Fault, Unexpected } from './outcome.js';
import type { FaultRun } from './run.js';

/**
 * Something written to a disk that has room for `least` to `most` bytes; no fault at all where none can
 * be mounted.
 *
 * @param write to that folder; tells what it wrote, and how that ended
 */
export function fullDiskFault(
  name: string,
  work: string,
  least: number,
  most: number,
  write: (disk: string, random: Random) => Promise<[string, FaultRun]>,
): Fault[] {
  const disk = join(work, 'disk');
  mkdirSync(disk, { recursive: true });
  const probe = mountTmpfs(disk, 'size=64k', name);
  if (probe === undefined) return [];
  probe();
  return [{ name, run: (random) => onFullDisk(disk, least + random(most - least), (full) => write(full, random)) }];
}

async function onFullDisk(disk: string, size: number, write: (disk: string) => Promise<[string, FaultRun]>): Promise<string> {
  const unmount = mountTmpfs(disk, `size=${size >> 10}k`, 'a full disk');
  if (unmount === undefined) return 'not tried';
  try {
    const [what, run] = await write(disk);
    if (run.exit === 0) return `${what}: it was enough (0)`;
    expectClear(run, [1], `${what}, disk full`);
    if (!/no space|bytes left/.test(run.stderr)) throw new Unexpected(`no word of space: ${run.stderr}`);
    const left = readdirSync(disk);
    if (left.length > 0) throw new Unexpected(`${what}: left ${left.join(', ')}`);
    return `${what}: failed in words (1), nothing left`;
  } finally {
    unmount();
  }
}
