import type { Writable } from 'node:stream';

/** Everything a command may know of the process it runs in. */
export interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Writes a line for people to stderr. */
export function say(terminal: Terminal, line: string): void {
  terminal.stderr.write(`${line}\n`);
}

/** Writes data to stdout, at the pace it is taken. */
export async function put(terminal: Terminal, data: string | Uint8Array): Promise<void> {
  if (terminal.stdout.write(data)) return;
  await new Promise<void>((resolve) => terminal.stdout.once('drain', resolve));
}
