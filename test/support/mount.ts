import { execFileSync } from 'node:child_process';

/**
 * Mounts a tmpfs, which takes root. Where that cannot be done a warning says what is not tried, so that
 * nobody takes the run for a whole one.
 *
 * @param options as mount's `-o`: `size=64k`, `ro,size=1m`
 * @returns how to unmount it; undefined where it could not be mounted
 */
export function mountTmpfs(path: string, options: string, notTried: string): (() => void) | undefined {
  return mount(['-t', 'tmpfs', '-o', options, 'tmpfs', path], path, notTried);
}

/** As `mountTmpfs`: what is at `from`, a file or a directory, under another name. */
export function bindMount(from: string, to: string, notTried: string): (() => void) | undefined {
  return mount(['--bind', from, to], to, notTried);
}

function mount(args: readonly string[], path: string, notTried: string): (() => void) | undefined {
  try {
    execFileSync('mount', args, { stdio: 'pipe' });
  } catch (cause) {
    console.warn(`nothing can be mounted here: ${notTried} is NOT tried (${String(cause)})`);
    return undefined;
  }
  return () => execFileSync('umount', [path], { stdio: 'pipe' });
}
