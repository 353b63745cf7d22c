import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { encodeFields } from '../../src/wire/fields.js';
import { decodeConfChange, decodeEntry, decodeHardState, decodeSnapshotMetadata } from '../../src/wire/raft.js';
import { decodeV2Operation } from '../../src/wire/raft-v2.js';
import { decodeV3Request } from '../../src/wire/raft-v3.js';
import { bytes, int64, uint64 } from '../support/arbitrary.js';

const DECODERS = { decodeConfChange, decodeEntry, decodeHardState, decodeSnapshotMetadata, decodeV2Operation, decodeV3Request };

describe('messages of the raft log', () => {
  test('an entry decodes to what was encoded', () => {
    fc.assert(
      fc.property(fc.nat(2), uint64, uint64, bytes({ maxLength: 50 }), (type, term, index, data) => {
        const message = encodeFields([
          [0x08, BigInt(type)],
          [0x10, term],
          [0x18, index],
          [0x22, data],
        ]);
        expect(decodeEntry(message)).toEqual({ type, term, index, data });
      }),
    );
  });

  test('a bare v2 request is told from one within an InternalRaftRequest, and both from v3', () => {
    const request = encodeFields([
      [0x08, 5n],
      [0x12, Buffer.from('PUT')],
      [0x1a, Buffer.from('/1/k')],
      [0x22, Buffer.from([0xff])],
    ]);
    const expected = { kind: 'request', request: { method: 'PUT', path: Buffer.from('/1/k'), value: Buffer.from([0xff]) } };
    expect(decodeV2Operation(request)).toMatchObject(expected);
    expect(decodeV2Operation(encodeFields([[0x12, request]]))).toMatchObject(expected);
    expect(decodeV3Request(request).operation.kind).toBe('none');
    const put = encodeFields([[0x22, encodeFields([[0x0a, Buffer.from('k')]])]]);
    expect(decodeV2Operation(put).kind).toBe('v3');
    expect(decodeV3Request(put).operation).toMatchObject({ kind: 'put', key: Buffer.from('k') });
  });

  test('leases and revisions keep their sign and all their digits', () => {
    fc.assert(
      fc.property(int64, int64, (id, ttl) => {
        // All zeros make an empty message, which the helper leaves out; etcd gives every lease a number.
        fc.pre(id !== 0n);
        const grant = encodeFields([
          [0x08, ttl],
          [0x10, id],
        ]);
        expect(decodeV3Request(encodeFields([[0x42, grant]])).operation).toEqual({ kind: 'lease-grant', id, ttl });
      }),
    );
  });

  test("the cluster's version is found where 3.5 and later set it, and where the v2 store keeps it", () => {
    const version = (bytes: Buffer): unknown => decodeV3Request(bytes).operation;
    // The tag of field 1300.
    const set = Buffer.concat([Buffer.from([0xa2, 0x51, 7]), encodeFields([[0x0a, Buffer.from('3.6.0')]])]);
    expect(version(set)).toEqual({ kind: 'cluster-version', version: '3.6.0' });
    const v2 = (path: string): Buffer =>
      encodeFields([
        [0x12, Buffer.from('PUT')],
        [0x1a, Buffer.from(path)],
        [0x22, Buffer.from('3.4.0')],
      ]);
    expect(version(v2('/0/version'))).toEqual({ kind: 'cluster-version', version: '3.4.0' });
    expect(version(encodeFields([[0x12, v2('/0/version')]]))).toEqual({ kind: 'cluster-version', version: '3.4.0' });
    expect(version(v2('/1/version'))).toEqual({ kind: 'none' });
  });

  test('a read keeps its revision, and is told apart where etcd cannot sort what it asks for', () => {
    const read = (revision: bigint, order: bigint, target: bigint): unknown => {
      const range = encodeFields([
        [0x0a, Buffer.from('k')],
        [0x20, revision],
        [0x28, order],
        [0x30, target],
      ]);
      const { operation } = decodeV3Request(encodeFields([[0x32, encodeFields([[0x12, encodeFields([[0x0a, range]])]])]]));
      return operation.kind === 'txn' ? operation.success[0] : operation;
    };
    const range = { key: Buffer.from('k'), end: undefined };
    expect(read(7n, 1n, 4n)).toEqual({ kind: 'read', range, revision: 7n, unsortable: false });
    expect(read(BigInt.asUintN(64, -5n), 0n, 5n)).toEqual({ kind: 'read', range, revision: -5n, unsortable: true });
    // No order that etcd knows: it does not sort.
    expect(read(0n, 3n, 5n)).toMatchObject({ unsortable: false });
  });

  test("what etcd's own tests write to the log changes nothing", () => {
    // The tag of field 9900.
    expect(decodeV3Request(Buffer.from([0xe2, 0xea, 0x04, 2, 0x0a, 0])).operation).toEqual({ kind: 'none' });
  });

  test('an operation of a later etcd is said to be unknown', () => {
    const message = Buffer.concat([Buffer.from([0xe2, 0x51]), Buffer.from([2, 0x08, 1])]);
    expect(decodeV3Request(message).operation).toEqual({ kind: 'unknown', field: 1308 });
  });

  test.each(Object.entries(DECODERS))('%s of random bytes decodes or refuses', (_, decode) => {
    const nested = bytes({ maxLength: 40 }).chain((inner) =>
      fc.constantFrom(0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x5a).map((tag) => Buffer.concat([Buffer.from([tag, inner.length]), inner])),
    );
    fc.assert(
      fc.property(fc.oneof(bytes({ maxLength: 60 }), nested), (noise) => {
        try {
          decode(noise);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(FerryError);
          expect((thrown as FerryError).code).toBe('damaged');
        }
      }),
      { numRuns: 300 },
    );
  });
});
