import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { decodeKeyValue, encodeKeyValue, keyOf, leaseOf } from '../../src/wire/keyvalue.js';
import { decodeNode, encodeNode, nodeLength, writeNode } from '../../src/wire/node.js';
import { bytes, keyValue, treeNode } from '../support/arbitrary.js';

describe('mvccpb.KeyValue', () => {
  test('decodes to what was encoded', () => {
    fc.assert(
      fc.property(keyValue, (kv) => {
        const encoded = encodeKeyValue(kv);
        expect(decodeKeyValue(encoded)).toEqual(kv);
        expect(keyOf(encoded)).toEqual(kv.key);
        expect(leaseOf(encoded)).toBe(kv.lease);
      }),
    );
  });

  test('is the message another protobuf library reads', () => {
    const type = protobuf
      .parse('syntax="proto3"; message KV { bytes key=1; int64 create=2; int64 mod=3; int64 version=4; bytes value=5; int64 lease=6; }')
      .root.lookupType('KV');
    fc.assert(
      fc.property(keyValue, (kv) => {
        const read = type.toObject(type.decode(encodeKeyValue(kv)), { longs: String, defaults: true, bytes: Buffer });
        expect(read).toEqual({
          key: kv.key,
          value: kv.value,
          create: String(kv.createRevision),
          mod: String(kv.modRevision),
          version: String(kv.version),
          lease: String(kv.lease),
        });
      }),
    );
  });

  test('random bytes are decoded or refused, never worse', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 100 }), (noise) => {
        try {
          decodeKeyValue(noise);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(FerryError);
          expect((thrown as FerryError).code).toBe('damaged');
        }
      }),
    );
  });
});

describe("the archive's Node", () => {
  test('decodes to what was encoded', () => {
    fc.assert(
      fc.property(treeNode, (node) => {
        expect(decodeNode(encodeNode(node))).toEqual(node);
      }),
    );
  });

  test('is written in place as it is encoded', () => {
    fc.assert(
      fc.property(treeNode, fc.nat({ max: 20 }), (node, at) => {
        const encoded = encodeNode(node);
        expect(nodeLength(node)).toBe(encoded.length);
        const target = Buffer.alloc(at + encoded.length);
        expect(writeNode(target, at, node)).toBe(target.length);
        expect(target.subarray(at)).toEqual(encoded);
      }),
    );
  });
});
