import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An HTTP server on loopback that answers as a test wants; to make what no etcd does on demand. */
export class FakeHttp implements AsyncDisposable {
  readonly endpoint: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** @param port any that is free unless given */
  static async start(answer: RequestListener, port = 0): Promise<FakeHttp> {
    const server = createServer(answer).listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new FakeHttp(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
