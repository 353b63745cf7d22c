import { request } from 'node:http';
import { connectV2, type V2Cluster } from '../../src/cluster/v2.js';
import { FerryError } from '../../src/errors.js';
import type { RecordBatch } from '../../src/model/batch.js';
import { recordAt } from '../../src/model/batch.js';
import type { TreeNode } from '../../src/model/node.js';
import { decodeNode } from '../../src/wire/node.js';

/** etcd's v2 API by plain HTTP, so that tests do not write with the code they test. */
export class V2Client {
  readonly endpoint: string;
  readonly #authorization: string | undefined;

  constructor(endpoint: string, credentials?: string) {
    this.endpoint = endpoint;
    this.#authorization = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
  }

  /** @param target percent-encoded path and query below `/v2` */
  async send(
    method: string,
    target: string,
    body = '',
    type = 'application/x-www-form-urlencoded',
  ): Promise<{ status: number; json: Json }> {
    const headers = { 'content-type': type, ...(this.#authorization && { authorization: this.#authorization }) };
    return new Promise((resolve, reject) => {
      const sent = request(`${this.endpoint}/v2${target}`, { method, headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          resolve({ status: response.statusCode ?? 0, json: JSON.parse(text.startsWith('{') ? text : '{}') as Json });
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** Writes and expects etcd to do it. */
  async write(method: 'PUT' | 'POST' | 'DELETE', path: string, body = ''): Promise<Json> {
    const query = method === 'DELETE' ? `?${body}` : '';
    const { status, json } = await this.send(method, `/keys${path}${query}`, method === 'DELETE' ? '' : body);
    if (status > 299) throw new Error(`${method} ${path} ${body}: ${status} ${JSON.stringify(json)}`);
    return json;
  }

  /** Sets a value. */
  put(path: string, value: string, more = ''): Promise<Json> {
    return this.write('PUT', path, `value=${encodeURIComponent(value)}${more}`);
  }

  /** Makes many values, a few at a time. */
  async putMany(entries: Iterable<readonly [path: string, value: string]>, inFlight = 16): Promise<void> {
    const rest = entries[Symbol.iterator]();
    const worker = async (): Promise<void> => {
      for (let next = rest.next(); next.done !== true; next = rest.next()) await this.put(...next.value);
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
  }
}

/** What tests look at in an answer; `node` is there when etcd did as asked. */
export interface Json {
  readonly node: { readonly key: string; readonly modifiedIndex: number; readonly createdIndex: number };
  readonly errorCode?: number;
}

/** A connection with patience for slow test machines. */
export function connectTo(...endpoints: string[]): V2Cluster {
  return connectV2({ endpoints, dialTimeout: 2000, commandTimeout: 10_000 });
}

/** All nodes of a run of batches. */
export async function nodesOf(batches: AsyncIterable<RecordBatch>): Promise<TreeNode[]> {
  const nodes: TreeNode[] = [];
  for await (const batch of batches) for (let i = 0; i < batch.count; i++) nodes.push(decodeNode(recordAt(batch, i)));
  return nodes;
}

/** The FerryError that work ends in. */
export async function failure(work: Promise<unknown>): Promise<FerryError> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof FerryError) return thrown;
    throw new Error('not a FerryError', { cause: thrown });
  }
  throw new Error('nothing was thrown');
}

/** The tree of the article: three values in two places. */
export async function writeArticleTree(client: V2Client): Promise<void> {
  await client.put('/foo', 'bar');
  await client.put('/bar/this', 'that');
  await client.put('/bar/that', 'other');
}

/** Names that a careless client would break. */
export const ODD_NAMES = [
  'with space',
  'per%cent',
  'ques?tion',
  'ha#sh',
  'semi;colon',
  'plus+',
  'amp&',
  'quo"te',
  'back\\slash',
  'ünï',
  '日本',
  'dots..',
  '<tag>',
];

/** Every kind of write that etcd's v2 API has: what it leaves is what a tree can hold. */
export async function writeEveryKind(client: V2Client): Promise<void> {
  await client.put('/app/cas', 'one');
  await client.put('/app/cas', 'two', '&prevValue=one');
  const { node } = await client.put('/app/cad', 'gone');
  await client.write('DELETE', '/app/cad', `prevIndex=${node.modifiedIndex}`);
  await client.put('/app/refreshed', 'kept', '&ttl=500');
  await client.write('PUT', '/app/refreshed', 'ttl=900&refresh=true&prevExist=true');
  for (let i = 0; i < 5; i++) await client.write('POST', '/queue', `value=job${i}`);
  await client.put('/ttl/file', 'short', '&ttl=300');
  await client.write('PUT', '/ttl/dir', 'dir=true&ttl=600');
  await client.put('/ttl/dir/child', 'lives as long as its directory');
  await client.put('/ttl/dir/shorter', 'not even', '&ttl=200');
  await client.write('PUT', '/ttl/empty', 'dir=true&ttl=700');
  await client.write('PUT', '/empty', 'dir=true');
  await client.write('PUT', '/deep/er/empty', 'dir=true');
  await client.put('/app/_hidden/secret', 'seen by name only');
  await client.put('/app/_hidden/_more', 'hidden twice');
  await client.put('/_top', 'hidden at the top');
  for (const name of ODD_NAMES) await client.put(`/odd/${encodeURIComponent(name)}`, `value of ${name} ☕ <&> \u2028\u0000`);
  await client.put('/sorted/a-b', '1');
  await client.put('/sorted/a/b', '2');
  await client.put('/sorted/a.b', '3');
  await client.put('/novalue', '');
  await client.write('PUT', '/binary', 'value=%FF%FEok%C3%A9%EF%BF%BD');
}
