import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import type { FerryError } from '../../src/errors.js';
import { recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { decodeDeleteRangeResponse, decodeRangeResponse, decodeTxnResponse, type ResponseHeader } from '../../src/wire/rpc.js';
import {
  type Compare,
  encodeDeleteRange,
  encodePuts,
  encodeRange,
  encodeTxn,
  type Operation,
  putSize,
  type RangeRequest,
} from '../../src/wire/rpc-request.js';
import { bytes, int64, keyValue, uint64 } from '../support/arbitrary.js';

// etcd's own rpc.proto, as the etcd3 package ships it, read by another protobuf library.
const proto = join(dirname(createRequire(import.meta.url).resolve('etcd3/package.json')), 'proto/rpc.proto');
const root = protobuf.loadSync(proto);
const type = (name: string): protobuf.Type => root.lookupType(`etcdserverpb.${name}`);
const read = (name: string, encoded: Uint8Array): Record<string, unknown> =>
  type(name).toObject(type(name).decode(encoded), { longs: String, defaults: true, bytes: Buffer });
const write = (name: string, message: object): Buffer => Buffer.from(type(name).encode(type(name).fromObject(message)).finish());

const header = fc.record({ clusterId: uint64, memberId: uint64, revision: int64 });
const headerObject = (h: { clusterId: bigint; memberId: bigint; revision: bigint }): object => ({
  clusterId: String(h.clusterId),
  memberId: String(h.memberId),
  revision: String(h.revision),
  raftTerm: '7',
});
const key = bytes({ minLength: 1, maxLength: 300 });
const rangeRequest = fc.record({
  key,
  rangeEnd: key,
  limit: fc.nat(),
  revision: int64,
  serializable: fc.boolean(),
  keysOnly: fc.boolean(),
  countOnly: fc.boolean(),
  minModRevision: int64,
  maxModRevision: int64,
});
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key: bytes({ maxLength: 300 }), value: bytes({ maxLength: 300 }), lease: int64 }),
  fc.record({ kind: fc.constant('delete' as const), key, rangeEnd: bytes({ maxLength: 9 }) }),
  fc.record({ kind: fc.constant('range' as const), range: rangeRequest }),
);
const compare: fc.Arbitrary<Compare> = fc.record({
  target: fc.constantFrom('version', 'create', 'mod', 'lease'),
  result: fc.constantFrom('equal', 'greater', 'less', 'not-equal'),
  key,
  rangeEnd: bytes({ maxLength: 200 }),
  operand: int64,
});
const comparesBytes: fc.Arbitrary<Compare> = fc
  .tuple(compare, bytes({ maxLength: 200 }))
  .map(([c, operand]) => ({ ...c, target: 'value', operand }));

type RequiredRange = Required<RangeRequest>;
interface Page {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: bigint;
}

function expectRange(found: Record<string, unknown>, request: RequiredRange): void {
  const { key: start, rangeEnd, limit, revision, serializable, keysOnly, countOnly, minModRevision, maxModRevision } = request;
  expect(found).toMatchObject({
    key: start,
    rangeEnd,
    limit: String(limit),
    revision: String(revision),
    serializable,
    keysOnly,
    countOnly,
    minModRevision: String(minModRevision),
    maxModRevision: String(maxModRevision),
  });
}

function expectOperation(found: Record<string, unknown>, wanted: Operation): void {
  if (wanted.kind === 'put') {
    expect(found.requestPut).toMatchObject({ key: wanted.key, value: wanted.value, lease: String(wanted.lease) });
  } else if (wanted.kind === 'delete') {
    expect(found.requestDeleteRange).toMatchObject({ key: wanted.key, rangeEnd: wanted.rangeEnd });
  } else expectRange(found.requestRange as Record<string, unknown>, wanted.range as RequiredRange);
}

describe('requests are what another protobuf library reads', () => {
  test('RangeRequest and DeleteRangeRequest', () => {
    fc.assert(fc.property(rangeRequest, (request) => expectRange(read('RangeRequest', encodeRange(request)), request)));
    expect(read('DeleteRangeRequest', encodeDeleteRange(Buffer.from('a'), Buffer.from('b')))).toMatchObject({
      key: Buffer.from('a'),
      rangeEnd: Buffer.from('b'),
    });
  });

  test('TxnRequest, with ranges compared and all operations', () => {
    // The numbers of etcd's enums Compare.CompareResult and CompareTarget.
    const results = { equal: 0, greater: 1, less: 2, 'not-equal': 3 };
    const targets = { version: 0, create: 1, mod: 2, value: 3, lease: 4 };
    const fields = { version: 'version', create: 'createRevision', mod: 'modRevision', value: 'value', lease: 'lease' };
    fc.assert(
      fc.property(fc.array(fc.oneof(compare, comparesBytes)), fc.array(operation), fc.array(operation), (compares, success, failure) => {
        const found = read('TxnRequest', encodeTxn({ compares, success, failure })) as Record<string, Record<string, unknown>[]>;
        expect([found.compare?.length, found.success?.length, found.failure?.length]).toEqual([
          compares.length,
          success.length,
          failure.length,
        ]);
        compares.forEach((c, i) => {
          const operand = Buffer.isBuffer(c.operand) ? c.operand : String(c.operand);
          expect(found.compare?.[i]).toMatchObject({
            target: targets[c.target],
            result: results[c.result],
            key: c.key,
            rangeEnd: c.rangeEnd,
            [fields[c.target]]: operand,
          });
        });
        success.forEach((o, i) => void expectOperation(found.success?.[i] ?? {}, o));
        failure.forEach((o, i) => void expectOperation(found.failure?.[i] ?? {}, o));
      }),
    );
  });

  test('a put is as large as it was said to be', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 300 }), bytes({ maxLength: 40_000 }), int64, (k, value, lease) => {
        const put = { kind: 'put' as const, key: k, value, lease };
        expect(encodeTxn({ compares: [], success: [put], failure: [] }).length).toBe(putSize(k, value, lease));
      }),
    );
  });
});

describe('answers of another protobuf library are read', () => {
  const page = fc.record({ header, kvs: fc.array(keyValue), more: fc.boolean(), count: int64 });
  const pageObject = (p: Page): object => ({
    header: headerObject(p.header),
    kvs: p.kvs.map((kv) => ({
      ...kv,
      createRevision: String(kv.createRevision),
      modRevision: String(kv.modRevision),
      version: String(kv.version),
      lease: String(kv.lease),
    })),
    more: p.more,
    count: String(p.count),
  });

  test('RangeResponse: each record is the KeyValue as it was written', () => {
    fc.assert(
      fc.property(page, (p) => {
        const answer = decodeRangeResponse(write('RangeResponse', pageObject(p)));
        expect(answer).toMatchObject({ header: p.header, more: p.more, count: p.count });
        expect(answer.records.count).toBe(p.kvs.length);
        p.kvs.forEach((kv, i) => void expect(read2(recordAt(answer.records, i))).toEqual(read2(encodeKeyValue(kv))));
      }),
    );
  });

  test('TxnResponse and DeleteRangeResponse', () => {
    fc.assert(
      fc.property(header, fc.boolean(), page, int64, (h, succeeded, p, deleted) => {
        const deletion = { header: headerObject(h), deleted: String(deleted) };
        const answer = decodeTxnResponse(
          write('TxnResponse', {
            header: headerObject(h),
            succeeded,
            responses: [{ responseRange: pageObject(p) }, { responsePut: { header: headerObject(h) } }, { responseDeleteRange: deletion }],
          }),
        );
        expect(answer).toMatchObject({ header: h, succeeded });
        expect(answer.results.map((result) => result.kind)).toEqual(['range', 'put', 'delete']);
        expect(answer.results[0]).toMatchObject({ range: { more: p.more, count: p.count } });
        expect(answer.results[2]).toEqual({ kind: 'delete', deleted });
        expect(decodeDeleteRangeResponse(write('DeleteRangeResponse', deletion))).toEqual({ header: h, deleted });
      }),
    );
  });

  test('random bytes are split or refused, never worse', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 60 }), (noise) => {
        for (const decode of [decodeRangeResponse, decodeTxnResponse, decodeDeleteRangeResponse]) {
          try {
            decode(noise);
          } catch (thrown) {
            expect((thrown as FerryError).code).toBe('damaged');
          }
        }
      }),
    );
  });
});

function read2(encoded: Buffer): object {
  const kv = root.lookupType('mvccpb.KeyValue');
  return kv.toObject(kv.decode(encoded), { longs: String, defaults: true, bytes: Buffer });
}

test('puts that lie in one buffer, in whatever order and however far apart, are encoded as any are', () => {
  const part = fc.record({ bytes: bytes({ maxLength: 300 }), gap: fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 3000 })) });
  const put = fc.record({ key: part, value: part, valueFirst: fc.boolean(), lease: int64 });
  fc.assert(
    fc.property(fc.array(put, { maxLength: 20 }), fc.array(compare, { maxLength: 3 }), fc.boolean(), (puts, compares, backwards) => {
      const column = (): Uint32Array => new Uint32Array(puts.length);
      const columns = { keyStarts: column(), keyEnds: column(), valueStarts: column(), valueEnds: column() };
      const pieces: Buffer[] = [];
      let at = 0;
      const lay = ({ bytes: piece, gap }: { bytes: Buffer; gap: number }, starts: Uint32Array, ends: Uint32Array, i: number): void => {
        pieces.push(Buffer.alloc(gap, 0xee), piece);
        at += gap;
        starts[i] = at;
        at += piece.length;
        ends[i] = at;
      };
      puts.forEach(({ key: k, value, valueFirst }, i) => {
        if (valueFirst) lay(value, columns.valueStarts, columns.valueEnds, i);
        lay(k, columns.keyStarts, columns.keyEnds, i);
        if (!valueFirst) lay(value, columns.valueStarts, columns.valueEnds, i);
      });
      const order = puts.map((_, i) => i);
      const picked = backwards ? order.reverse() : order;
      const leases = picked.map((i) => puts[i]?.lease ?? 0n);
      const success = picked.map((i) => {
        const { key: k, value, lease } = puts[i] as (typeof puts)[number];
        return { kind: 'put' as const, key: k.bytes, value: value.bytes, lease };
      });
      const encoded = encodePuts(compares, { bytes: Buffer.concat(pieces), ...columns }, picked, leases);
      expect(encoded).toEqual(encodeTxn({ compares, success, failure: [] }));
    }),
  );
});
