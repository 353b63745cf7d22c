import { FerryError } from '../errors.js';
import { type Cursor, cursor, readBytes, readInt64, readVarint, readVarint64, skipField } from './varint.js';

const EMPTY: Buffer = Buffer.alloc(0);

/** Kinds of raft log entry (raftpb.EntryType). */
export const ENTRY_NORMAL = 0;
export const ENTRY_CONF_CHANGE = 1;
export const ENTRY_CONF_CHANGE_V2 = 2;

/** raftpb.Entry: one place in the raft log. `data` shares the memory it was decoded from. */
export interface RaftEntry {
  readonly type: number;
  readonly term: bigint;
  readonly index: bigint;
  readonly data: Buffer;
}

/** raftpb.HardState. */
export interface HardState {
  readonly term: bigint;
  readonly vote: bigint;
  /** Index up to which entries are known to be committed. */
  readonly commit: bigint;
}

/** What every WAL segment begins with: who wrote it. */
export interface WalMetadata {
  readonly memberId: bigint;
  readonly clusterId: bigint;
}

/** A place in the log that a snapshot stands for. */
export interface SnapshotMetadata {
  readonly index: bigint;
  readonly term: bigint;
  /** Members with a vote at that place. */
  readonly voters: readonly bigint[];
}

/** Kinds of membership change (raftpb.ConfChangeType). */
export const CONF_ADD_NODE = 0;
export const CONF_REMOVE_NODE = 1;
export const CONF_UPDATE_NODE = 2;
export const CONF_ADD_LEARNER = 3;

/** raftpb.ConfChange; `context` is etcd's JSON of the member. */
export interface ConfChange {
  readonly type: number;
  readonly nodeId: bigint;
  readonly context: Buffer;
}

/**
 * Decodes a raftpb.Entry (etcd raft/raftpb/raft.proto).
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeEntry(bytes: Buffer): RaftEntry {
  const entry = { type: 0, term: 0n, index: 0n, data: EMPTY };
  eachField(bytes, (tag, c) => {
    if (tag === 0x08) entry.type = readVarint(c);
    else if (tag === 0x10) entry.term = readVarint64(c);
    else if (tag === 0x18) entry.index = readVarint64(c);
    else if (tag === 0x22) entry.data = readBytes(c);
    else return false;
    return true;
  });
  return entry;
}

/** Decodes a raftpb.HardState. @throws FerryError `damaged` when it does not parse */
export function decodeHardState(bytes: Buffer): HardState {
  const [term, vote, commit] = threeNumbers(bytes);
  return { term, vote, commit };
}

/** Decodes etcdserverpb.Metadata. @throws FerryError `damaged` when it does not parse */
export function decodeWalMetadata(bytes: Buffer): WalMetadata {
  const [memberId, clusterId] = threeNumbers(bytes);
  return { memberId, clusterId };
}

/** Decodes a walpb.Snapshot; its voters are there since 3.5. @throws FerryError `damaged` when it does not parse */
export function decodeWalSnapshot(bytes: Buffer): SnapshotMetadata {
  const [index, term] = threeNumbers(bytes);
  return { index, term, voters: votersIn(bytes, 0x1a) };
}

/** Decodes a raftpb.SnapshotMetadata. @throws FerryError `damaged` when it does not parse */
export function decodeSnapshotMetadata(bytes: Buffer): SnapshotMetadata {
  const [, index, term] = threeNumbers(bytes);
  return { index, term, voters: votersIn(bytes, 0x0a) };
}

/** The voters of a raftpb.ConfState that stands under a tag. */
function votersIn(bytes: Buffer, tag: number): bigint[] {
  const voters: bigint[] = [];
  eachField(bytes, (found, c) => {
    if (found !== tag) return false;
    eachField(readBytes(c), (inner, confState) => {
      if (inner !== 0x08) return false;
      voters.push(readVarint64(confState));
      return true;
    });
    return true;
  });
  return voters;
}

/** Decodes a raftpb.ConfChange. @throws FerryError `damaged` when it does not parse */
export function decodeConfChange(bytes: Buffer): ConfChange {
  const change = { type: 0, nodeId: 0n, context: EMPTY };
  eachField(bytes, (tag, c) => {
    if (tag === 0x10) change.type = readVarint(c);
    else if (tag === 0x18) change.nodeId = readVarint64(c);
    else if (tag === 0x22) change.context = readBytes(c);
    else return false;
    return true;
  });
  return change;
}

/**
 * Walks the fields of a message. `take` reads the field's value and returns true, or leaves it to
 * be stepped over and returns false.
 *
 * @throws FerryError `damaged` when the message does not parse
 */
export function eachField(bytes: Buffer, take: (tag: number, c: Cursor) => boolean): void {
  const c = cursor(bytes);
  while (c.at < bytes.length) {
    const tag = readVarint(c);
    if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
    if (!take(tag, c)) skipField(c, tag & 7);
  }
}

/** @returns a bool as protobuf has it: any varint but 0 */
export function readBool(c: Cursor): boolean {
  return readInt64(c) !== 0n;
}

function threeNumbers(bytes: Buffer): [bigint, bigint, bigint] {
  const numbers: [bigint, bigint, bigint] = [0n, 0n, 0n];
  eachField(bytes, (tag, c) => {
    const field = tag >>> 3;
    if ((tag & 7) !== 0 || field < 1 || field > 3) return false;
    numbers[field - 1] = readVarint64(c);
    return true;
  });
  return numbers;
}
