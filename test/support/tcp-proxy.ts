import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy on loopback that can be cut or made to stall; to make faults between client and server. */
export class TcpProxy implements AsyncDisposable {
  readonly endpoint: string;
  /** Connections taken so far. */
  accepted = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  #stalled = false;

  private constructor(server: Server, sockets: Set<Socket>, endpoint: string) {
    this.#server = server;
    this.#sockets = sockets;
    this.endpoint = endpoint;
  }

  /**
   * @param onBytes told of every chunk the server sends, before it is passed on
   * @param delay of every chunk, both ways, in milliseconds
   */
  static async start(targetPort: number, onBytes: (proxy: TcpProxy, length: number) => void = () => {}, delay = 0): Promise<TcpProxy> {
    const pass = (to: Socket, chunk: Buffer): void => {
      if (delay === 0) to.write(chunk);
      else setTimeout(() => to.write(chunk), delay);
    };
    const sockets = new Set<Socket>();
    const server = createServer((near) => {
      const far = connect(targetPort, '127.0.0.1');
      proxy.accepted++;
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from);
        from.on('error', () => {});
        from.on('close', () => {
          sockets.delete(from);
          to.destroy();
        });
      }
      near.on('data', (chunk) => void (proxy.#stalled || pass(far, chunk)));
      far.on('data', (chunk) => {
        onBytes(proxy, chunk.length);
        if (!proxy.#stalled) pass(near, chunk);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const proxy: TcpProxy = new TcpProxy(server, sockets, `http://127.0.0.1:${port}`);
    return proxy;
  }

  /** From now on nothing is passed on, and nothing is closed. */
  stall(): void {
    this.#stalled = true;
  }

  /** Closes every connection; new ones are taken as before. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Closes every connection and listens no more. */
  die(): void {
    this.#server.close();
    this.cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.die();
  }
}

/** For `onBytes`: does it once, when so many bytes have come through. */
export function afterBytes(bytes: number, act: (proxy: TcpProxy) => void): (proxy: TcpProxy, length: number) => void {
  let passed = 0;
  return (proxy, length) => {
    const before = passed;
    passed += length;
    if (before <= bytes && passed > bytes) act(proxy);
  };
}
