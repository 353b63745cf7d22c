import { execFileSync } from 'node:child_process';

/**
 * Mounts a tmpfs, which takes root. Where that cannot be done a warning says what is not tried, so that
 * nobody takes the run for a whole one.
 *
 * @param options as mount's `-o`: `size=64k`, `ro,size=1m`
 * @returns how to unmount it; undefined where it could not be mounted
 */
export function mountTmpfs(path: string, options: string, notTried: string): (() => void) | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'pipe' });
  } catch (cause) {
    console.warn(`no tmpfs can be mounted here: ${notTried} is NOT tried (${String(cause)})`);
    return undefined;
  }
  return () => execFileSync('umount', [path], { stdio: 'pipe' });
}
