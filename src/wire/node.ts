import { FerryError } from '../errors.js';
import type { TreeNode } from '../model/node.js';
import { encodeFields } from './fields.js';
import {
  cursor,
  readBytes,
  readInt64,
  readVarint,
  readVarint64,
  skipField,
  varint64Length,
  varintLength,
  writeVarint,
  writeVarint64,
} from './varint.js';

const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Decodes the archive's v2 record, `Node{path=1 bytes, dir=2 bool, value=3 bytes, created=4 uint64,
 * modified=5 uint64, expiration_ns=6 int64}` (docs/archive-format.md). Path and value share `bytes`.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeNode(bytes: Buffer, start = 0, end = bytes.length): TreeNode {
  const c = cursor(bytes, start, end);
  const node = { path: EMPTY, dir: false, value: EMPTY, createdIndex: 0n, modifiedIndex: 0n, expiration: 0n };
  while (c.at < end) {
    const tag = readVarint(c);
    switch (tag) {
      case 0x0a:
        node.path = readBytes(c);
        break;
      case 0x10:
        node.dir = readVarint(c) !== 0;
        break;
      case 0x1a:
        node.value = readBytes(c);
        break;
      case 0x20:
        node.createdIndex = readVarint64(c);
        break;
      case 0x28:
        node.modifiedIndex = readVarint64(c);
        break;
      case 0x30:
        node.expiration = readInt64(c);
        break;
      default:
        if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
        skipField(c, tag & 7);
    }
  }
  return node;
}

/** Encodes the archive's v2 record: fields ascending, zero and empty ones left out. */
export function encodeNode(node: TreeNode): Buffer {
  return encodeFields([
    [0x0a, node.path],
    [0x10, node.dir ? 1n : 0n],
    [0x1a, node.value],
    [0x20, node.createdIndex],
    [0x28, node.modifiedIndex],
    [0x30, node.expiration],
  ]);
}

/** Bytes that `writeNode` writes. */
export function nodeLength(node: TreeNode): number {
  return (
    bytesLength(node.path.length) +
    (node.dir ? 2 : 0) +
    bytesLength(node.value.length) +
    numberLength(node.createdIndex) +
    numberLength(node.modifiedIndex) +
    numberLength(node.expiration)
  );
}

/**
 * Writes what `encodeNode` gives to where there is room for it.
 *
 * @returns the offset just past it
 */
export function writeNode(target: Buffer, start: number, node: TreeNode): number {
  let at = writeBytes(target, start, 0x0a, node.path);
  if (node.dir) {
    target[at++] = 0x10;
    target[at++] = 1;
  }
  at = writeBytes(target, at, 0x1a, node.value);
  at = writeNumber(target, at, 0x20, node.createdIndex);
  at = writeNumber(target, at, 0x28, node.modifiedIndex);
  return writeNumber(target, at, 0x30, node.expiration);
}

function bytesLength(length: number): number {
  return length === 0 ? 0 : 1 + varintLength(length) + length;
}

function numberLength(value: bigint): number {
  return value === 0n ? 0 : 1 + varint64Length(value);
}

function writeBytes(target: Buffer, at: number, tag: number, bytes: Buffer): number {
  if (bytes.length === 0) return at;
  target[at] = tag;
  const from = writeVarint(target, at + 1, bytes.length);
  target.set(bytes, from);
  return from + bytes.length;
}

function writeNumber(target: Buffer, at: number, tag: number, value: bigint): number {
  if (value === 0n) return at;
  target[at] = tag;
  return writeVarint64(target, at + 1, value);
}
