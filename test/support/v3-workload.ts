import { request } from 'node:http';
import type { KeyValue } from '../../src/model/keyvalue.js';

type Json = Record<string, unknown>;

/** Calls a method of the v3 API through etcd's JSON gateway; resolves to the answer, an error's too. */
export function v3(endpoint: string, method: string, body: Json, token?: string): Promise<Json> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const headers = { 'Content-Length': Buffer.byteLength(text), ...(token === undefined ? {} : { Authorization: token }) };
    const call = request(`${endpoint}/v3/${method}`, { method: 'POST', headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
    });
    call.on('error', reject);
    call.end(text);
  });
}

export const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

const KEYS = ['a', 'a1', 'a2', 'b', 'b\0', 'b\xff', 'c/x', 'c/y', 'd', '\xff\xfe'];
const VALUES = ['', 'v', 'w', '\0\xff', 'x'.repeat(300)];
/** Leases that operations may name; most of them are granted at some time. */
const LEASES = ['1001', '1002', '1003', '1004', '9999'];

export class V3Workload {
  readonly #endpoint: string;
  readonly #below: (n: number) => number;
  #revision = 1;

  constructor(endpoint: string, below: (n: number) => number) {
    this.#endpoint = endpoint;
    this.#below = below;
  }

  /** Does one random operation; many are refused. */
  async step(): Promise<void> {
    const answer = await this.#operation();
    const revision = Number((answer.header as Json | undefined)?.revision ?? 0);
    if (revision > this.#revision) this.#revision = revision;
  }

  #operation(): Promise<Json> {
    const call = (method: string, body: Json): Promise<Json> => v3(this.#endpoint, method, body);
    switch (this.#below(16)) {
      case 0:
        return call('lease/grant', { ID: this.#pick(LEASES.slice(0, 4)), TTL: this.#pick(['1000', '5000']) });
      case 1:
        return this.#below(3) > 0 ? call('lease/revoke', { ID: this.#pick(LEASES) }) : call('kv/put', this.#put());
      case 2:
      case 3:
        return call('kv/deleterange', this.#range());
      case 4:
        return this.#below(8) === 0
          ? call('kv/compaction', { revision: String(this.#below(this.#revision + 2)) })
          : call('kv/put', this.#put());
      case 5:
      case 6:
      case 7:
      case 8:
      case 9:
        return call('kv/txn', this.#txn(0));
      default:
        return call('kv/put', this.#put());
    }
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #put(): Json {
    const put: Json = { key: base64(this.#pick(KEYS)), prev_kv: this.#below(4) === 0 };
    if (this.#below(6) === 0) put.ignore_value = true;
    else put.value = base64(this.#pick(VALUES));
    if (this.#below(6) === 0) put.ignore_lease = true;
    else if (this.#below(3) === 0) put.lease = this.#pick(LEASES);
    return put;
  }

  #range(): Json {
    const key = this.#pick(KEYS);
    if (this.#below(3) > 0) return { key: base64(key) };
    return { key: base64(key), range_end: base64(this.#pick(['\0', 'b', 'c', `${key}\0`, 'zz'])) };
  }

  #compare(): Json {
    const target = this.#pick(['VERSION', 'CREATE', 'MOD', 'VALUE', 'LEASE']);
    const number = String(this.#below(3) === 0 ? this.#below(this.#revision + 1) : this.#below(2));
    const fields: Record<string, Json> = {
      VERSION: { version: number },
      CREATE: { create_revision: number },
      MOD: { mod_revision: number },
      VALUE: { value: base64(this.#pick(VALUES)) },
      LEASE: { lease: this.#pick(['0', ...LEASES]) },
    };
    return { ...this.#range(), result: this.#pick(['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL']), target, ...fields[target] };
  }

  #txn(depth: number): Json {
    const many = (n: number, make: () => Json): Json[] => Array.from({ length: this.#below(n) }, make);
    const op = (): Json => {
      const kind = this.#below(depth < 2 ? 8 : 7);
      if (kind < 4) return { request_put: this.#put() };
      if (kind < 6) return { request_delete_range: this.#range() };
      if (kind === 6) return { request_range: this.#range() };
      return { request_txn: this.#txn(depth + 1) };
    };
    return { compare: many(3, () => this.#compare()), success: many(4, op), failure: many(4, op) };
  }
}

/** A record as a line of text, for comparing keyspaces. */
export function keyValueLine({ key, value, createRevision, modRevision, version, lease }: KeyValue): string {
  return JSON.stringify([key.toString('base64'), value.toString('base64'), ...[createRevision, modRevision, version, lease].map(String)]);
}

export interface RangeAnswer {
  readonly header: { readonly revision: string };
  readonly kvs?: readonly Record<string, string>[];
}

/** Revision and lines of an answer in JSON, whose numbers are strings. */
export function answerLines(answer: RangeAnswer): { revision: bigint; lines: string[] } {
  const lines = (answer.kvs ?? []).map((kv) => {
    const { key = '', value = '', create_revision = '0', mod_revision = '0', version = '0', lease = '0' } = kv;
    return JSON.stringify([key, value, create_revision, mod_revision, version, lease]);
  });
  return { revision: BigInt(answer.header.revision), lines };
}

/** What a server has: its revision, a line per key, its leases with their granted TTL. */
export async function keyspaceOf(endpoint: string, token?: string): Promise<{ revision: bigint; lines: string[]; leases: string[] }> {
  const answer = (await v3(endpoint, 'kv/range', { key: base64('\0'), range_end: base64('\0') }, token)) as unknown as RangeAnswer;
  const { leases = [] } = (await v3(endpoint, 'lease/leases', {}, token)) as { leases?: { ID: string }[] };
  const granted = leases.map(async ({ ID }) => {
    const { grantedTTL } = await v3(endpoint, 'lease/timetolive', { ID }, token);
    return `${ID} ${grantedTTL}`;
  });
  return { ...answerLines(answer), leases: (await Promise.all(granted)).sort() };
}
