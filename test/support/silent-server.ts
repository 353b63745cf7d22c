import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server that no answer comes from. */
export interface SilentServer extends AsyncDisposable {
  readonly endpoint: string;
  /** Resolves when somebody tries to connect, or has connected. */
  tried(): Promise<void>;
}

/** Takes every connection, and never says anything. */
export async function muteServer(): Promise<SilentServer> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    tried: () => until(() => sockets.length > 0),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const LISTENER = `
const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  require('node:fs').writeSync(1, String(server.address().port));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;
/** More than a backlog of one takes in. */
const FILLING = 6;

/** Takes no connection any more: its backlog is full, so that who connects waits for an answer to the first packet. */
export async function fullServer(): Promise<SilentServer> {
  const listener = spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = Number(String(await once(listener.stdout, 'data')));
  const sockets = Array.from({ length: FILLING }, () => connect(port, '127.0.0.1').on('error', () => {}));
  let full = 0;
  await until(() => {
    full = connecting(port);
    return full > 0 && full + sockets.filter(({ readyState }) => readyState === 'open').length === FILLING;
  });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    tried: () => until(() => connecting(port) > full),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      listener.kill('SIGKILL');
    },
  };
}

/** Connections to a port of this machine whose first packet was not answered. */
function connecting(port: number): number {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  return lines.filter((line) => {
    const [, , to, state] = line.trim().split(/\s+/);
    return to?.endsWith(remote) === true && state === '02';
  }).length;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}
