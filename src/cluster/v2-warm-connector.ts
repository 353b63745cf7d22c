import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/**
 * etcd tells the protocols on its port apart by the first line of a connection, and closes one whose first
 * line is longer than 4,096 bytes (cmux, matchers.go, maxHTTPRead; etcd server/embed/serve.go). Later
 * lines may be longer. Well below that, since some bytes of the line are not the path's.
 */
export const LONGEST_FIRST_LINE = 3_500;

const REQUEST = 'HEAD /version HTTP/1.1\r\nHost: etcd\r\n\r\n';
const END_OF_HEAD = Buffer.from('\r\n\r\n');
/** Most bytes of an answer without a body. */
const LONGEST_HEAD = 16 * 1024;

/** A connector whose connections have carried a short request already, so that they take long ones. */
export function warmConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const connect = buildConnector(options);
  const patience = options.timeout ?? 10_000;
  return (to, callback) =>
    connect(to, (error, socket) => {
      if (error !== null) {
        callback(error, null);
        return;
      }
      warm(socket, patience).then(
        () => callback(null, socket),
        (thrown: Error) => {
          socket.destroy();
          callback(thrown, null);
        },
      );
    });
}

/** Makes a short request, and takes its answer: a `HEAD` has no body, so it ends with its head. */
function warm(socket: Socket, patience: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    const timer = setTimeout(() => done(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })), patience);
    const done = (error?: Error): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('error', done).off('close', onClose).pause();
      if (error === undefined) resolve();
      else reject(error);
    };
    const onClose = (): void => done(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      if (head.includes(END_OF_HEAD)) done();
      else if (head.length > LONGEST_HEAD) done(Object.assign(new Error('not HTTP'), { code: 'HPE_UNNAMED' }));
    };
    socket.on('data', onData).on('error', done).on('close', onClose);
    socket.write(REQUEST);
  });
}
