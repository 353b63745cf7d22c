import { request } from 'node:http';
import { FakeHttp } from './fake-http.js';

const EXPIRATION = /"expiration":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)((?:\.\d+)?)Z"/g;

/**
 * Stands before an etcd v2 server and tells all it says of time (the `Date` of answers, expirations) as
 * a server with another clock would; what is left of a TTL is the same by any clock.
 *
 * @param seconds that the other clock is ahead; behind, when negative
 */
export function withOtherClock(endpoint: string, seconds: number): Promise<FakeHttp> {
  const shifted = (time: string): Date => new Date(Date.parse(time) + seconds * 1000);
  return FakeHttp.start((asked, response) => {
    const { host: _, ...headers } = asked.headers;
    const passed = request(new URL(asked.url ?? '/', endpoint), { method: asked.method, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () => {
        const text = Buffer.concat(parts)
          .toString('latin1')
          .replace(
            EXPIRATION,
            (_all, time: string, rest: string) => `"expiration":"${shifted(`${time}Z`).toISOString().slice(0, 19)}${rest}Z"`,
          );
        const { 'content-length': _length, 'transfer-encoding': _coding, connection: _connection, date, ...own } = answer.headers;
        response.writeHead(answer.statusCode ?? 500, { ...own, date: shifted(date ?? '').toUTCString() }).end(Buffer.from(text, 'latin1'));
      });
    });
    passed.on('error', () => response.destroy());
    asked.pipe(passed);
  });
}
