import { request } from 'node:http';

/** A small generator of numbers (mulberry32): the same seed gives the same workload. */
export function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export interface V2Answer {
  readonly status: number;
  readonly index: bigint;
  readonly body: { readonly node?: { readonly modifiedIndex?: number; readonly value?: string } };
}

/** A request to the v2 keys API; path and form are taken as they are, percent-encoded already. */
export function v2(endpoint: string, method: string, path: string, form?: string): Promise<V2Answer> {
  return new Promise((resolve, reject) => {
    const headers = form === undefined ? {} : { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': form.length };
    const call = request(`${endpoint}/v2/keys${path}`, { method, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const index = BigInt(String(answer.headers['x-etcd-index'] ?? 0));
        resolve({ status: answer.statusCode ?? 0, index, body: text.startsWith('{') ? JSON.parse(text) : {} });
      });
    });
    call.on('error', reject);
    call.end(form);
  });
}

const DIRS = ['/a', '/a/b', '/c', '/_h', '/c/_h2', '/q', '/%C3%BC', '/%FFd'];
const NAMES = ['k1', 'k2', 'k3', '_k4', 'k%205', 'sub', 'k%FE'];
const VALUES = ['v', 'longer%20value', '', '%FF%FE%00raw', '%F0%9F%98%80', '%3C%26%3E%E2%80%A8', '%EF%BF%BD', 'x'.repeat(500)];

/**
 * Does one random operation; most succeed, some are refused, as on a real server.
 *
 * @param options.anyNames names may hold bytes that are not UTF-8, and such values are compared with:
 * what no server keeps through a snapshot
 */
export async function randomV2Operation(
  endpoint: string,
  below: (n: number) => number,
  { anyNames }: { readonly anyNames: boolean },
): Promise<V2Answer> {
  const pick = (list: readonly string[]): string => list[below(list.length)] as string;
  const dir = pick(anyNames ? DIRS : DIRS.slice(0, -1));
  const key = `${dir}/${pick(anyNames ? NAMES : NAMES.slice(0, -1))}`;
  const expected = pick(['v', 'longer%20value', anyNames ? '%FF%FE%00raw' : 'v']);
  const value = `value=${pick(VALUES)}`;
  const ttl = pick(['', '', '&ttl=1', '&ttl=5000', '&ttl=']);
  switch (below(13)) {
    case 0:
      return v2(endpoint, 'PUT', key, `dir=true${ttl}`);
    case 1:
      return v2(endpoint, 'PUT', pick([dir, key]), `dir=true&prevExist=true${ttl}`);
    case 2:
      return v2(endpoint, 'PUT', key, `${value}&prevExist=${pick(['true', 'false'])}${ttl}`);
    case 3:
      return v2(endpoint, 'PUT', key, `${value}&prevValue=${expected}${ttl}`);
    case 4: {
      const { body } = await v2(endpoint, 'GET', key);
      return v2(endpoint, 'PUT', key, `${value}&prevIndex=${(body.node?.modifiedIndex ?? 1) + below(2)}&prevExist=true${ttl}`);
    }
    case 5:
      return v2(endpoint, 'PUT', key, `refresh=true&ttl=${pick(['1', '5000'])}${pick(['', '&prevExist=true', '&prevValue=v'])}`);
    case 6:
      return v2(endpoint, 'POST', pick([dir, '/q']), `${value}${ttl}`);
    case 7:
      return v2(endpoint, 'DELETE', `${key}${pick(['', '?dir=true', '?recursive=true', '?prevValue=v'])}`);
    case 8:
      return v2(endpoint, 'DELETE', `${dir}${pick(['', '?dir=true'])}`);
    default:
      return v2(endpoint, 'PUT', key, `${value}${ttl}`);
  }
}
