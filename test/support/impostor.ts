import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Authority } from './certificates.js';

/** A server with a certificate that no one has a reason to trust, and the count of those who asked it something all the same. */
export async function impostor(): Promise<{ readonly url: string; readonly asked: () => number } & Disposable> {
  const authority = new Authority();
  let asked = 0;
  const server = createServer(authority.issue(), (_, response) => {
    asked++;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: () => asked,
    [Symbol.dispose]: () => {
      server.close();
      authority[Symbol.dispose]();
    },
  };
}
