import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** What a healthcheck service was asked. */
export interface Asked {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly body: string;
}

/** A service that answers with these statuses, one after the other; 0 is no answer at all. */
export async function healthcheckService(...statuses: number[]): Promise<{ url: (path: string) => URL; asked: Asked[] } & AsyncDisposable> {
  const asked: Asked[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    asked.push({ method: request.method, url: request.url, body: await text(request) });
    const status = statuses[asked.length - 1] ?? 200;
    if (status !== 0) response.writeHead(status).end('OK');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    asked,
    url: (path) => new URL(`http://127.0.0.1:${port}${path}`),
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
