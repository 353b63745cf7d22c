import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { watchMember } from '../../src/readers/at-rest.js';
import { heldLocks } from '../../src/readers/data-dir-in-use.js';

const root = mkdtempSync(join(tmpdir(), 'etcdferry-locks-'));
const layout = { path: root, snapDir: join(root, 'snap'), walDir: join(root, 'wal') };
const wal = join(root, 'wal/0000000000000000-0000000000000000.wal');

beforeAll(() => {
  mkdirSync(layout.snapDir);
  mkdirSync(layout.walDir);
  writeFileSync(wal, '');
});
afterAll(() => rmSync(root, { recursive: true }));

/** Refuses, or what was warned of. */
async function check(locks: string | undefined, mountinfo = ''): Promise<string[]> {
  const files = { locks: join(root, 'locks'), mountinfo: join(root, 'mountinfo') };
  rmSync(files.locks, { force: true });
  if (locks !== undefined) writeFileSync(files.locks, locks);
  writeFileSync(files.mountinfo, mountinfo);
  const warnings: string[] = [];
  await watchMember(layout, (message) => warnings.push(message), files);
  return warnings;
}

test('locks are read from the kernel as it lists them', () => {
  const list = [
    '1: OFDLCK ADVISORY  WRITE -1 fe:00:2278451 0 EOF',
    '2: FLOCK  ADVISORY  WRITE 12843 103:0a:7 0 EOF',
    '2: -> FLOCK  ADVISORY  WRITE 999 00:2f:8 0 EOF',
    '3: POSIX  ADVISORY  READ  14 00:2f:9 128 128',
    '4: LEASE  ACTIVE    READ  15 00:2f:10 0 EOF',
  ].join('\n');
  expect([...heldLocks(list)]).toEqual(['254:0:2278451', '259:10:7', '0:47:9']);
});

test('a lock is found by the device of the file, and by that of its mount', async () => {
  const { dev, ino } = statSync(wal);
  const [major, minor] = [(dev >> 8) & 0xfff, dev & 0xff];
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  const lock = (device: string): string => `1: OFDLCK ADVISORY  WRITE -1 ${device}:${ino} 0 EOF\n`;
  await expect(check(lock(`${hex(major)}:${hex(minor)}`))).rejects.toMatchObject({ code: 'usage' });
  // As on btrfs, where stat gives a device that no mount has.
  const mounts = `20 1 0:99 / / rw - btrfs x rw\n21 20 0:77 / ${root} rw - btrfs x rw\n22 20 0:55 / ${root}x rw - btrfs x rw\n`;
  await expect(check(lock('00:4d'), mounts)).rejects.toMatchObject({ code: 'usage' });
  expect(await check(lock('00:37'), mounts)).toEqual([]);
});

test('where the kernel has no list, the user is told to make sure', async () => {
  expect(await check('')).toEqual([]);
  expect(await check(undefined)).toHaveLength(1);
});
