import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { kill, pid } from 'node:process';

/** The process that something belongs to: a lock, a temporary file. */
export interface ProcessOwner {
  /** Its machine, for people. */
  readonly host: string;
  /**
   * Where its pid means something: the boot of the machine and the pid namespace (proc(5)), as two
   * containers of one host name have pids of their own. Empty where the system does not tell.
   */
  readonly space: string;
  readonly pid: number;
  /** When it started, in the kernel's own count (proc(5), starttime), as pids are used again. */
  readonly started: string;
}

/** The process this is. */
export async function thisProcess(): Promise<ProcessOwner> {
  return { host: hostname(), space: await pidSpace(), pid, started: (await startOf(pid))?.started ?? '' };
}

/** True when a process is known to have ended: one of this machine, since this boot, whose pid is gone or another's. */
export async function hasEnded(owner: ProcessOwner): Promise<boolean> {
  if (owner.host !== hostname() || owner.space !== (await pidSpace())) return false;
  if (!isThere(owner.pid)) return true;
  const found = await startOf(owner.pid);
  if (found === undefined) return false;
  return found.ended || (owner.started !== '' && found.started !== owner.started);
}

async function pidSpace(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '');
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return boot === '' ? '' : `${boot.trim()} ${namespace}`;
}

function isThere(owner: number): boolean {
  try {
    return kill(owner, 0);
  } catch (thrown) {
    // EPERM: it is there, and another user's.
    return (thrown as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Fields 3 (state) and 22 (starttime) of /proc/PID/stat; a zombie has ended, whoever has yet to hear of it. */
async function startOf(owner: number): Promise<{ readonly started: string; readonly ended: boolean } | undefined> {
  const text = await readFile(`/proc/${owner}/stat`, 'latin1').catch(() => undefined);
  if (text === undefined) return undefined;
  // The name of the program stands in parentheses, and may hold anything, spaces and parentheses too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { started: fields[19] ?? '', ended: fields[0] === 'Z' || fields[0] === 'X' };
}
