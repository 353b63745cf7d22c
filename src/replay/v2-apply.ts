import { FerryError } from '../errors.js';
import { decodeConfChange, ENTRY_CONF_CHANGE, ENTRY_CONF_CHANGE_V2, ENTRY_NORMAL, type RaftEntry } from '../wire/raft.js';
import { decodeV2Operation, type V2Request } from '../wire/raft-v2.js';
import { applyConfChange, setMemberAttributes } from './v2-members.js';
import type { V2Store } from './v2-store.js';
import type { V2Semantics, V2Versions } from './v2-version.js';

const ATTRIBUTES_PATH = /^\/0\/members\/([0-9a-fA-F]{1,16})\/attributes$/;

/** How many entries of each kind were applied. */
export interface AppliedCounts {
  requests: number;
  confChanges: number;
  v3: number;
}

/**
 * Applies an entry of the raft log to the v2 store, as etcd's applyEntryNormal, applyV2Request and
 * applyConfChange do.
 *
 * @throws FerryError `damaged` when its data does not parse, `unknown-format` for a kind of entry that is not known
 */
export function applyToV2Store(store: V2Store, entry: RaftEntry, versions: V2Versions, counts: AppliedCounts): void {
  if (entry.type === ENTRY_CONF_CHANGE) {
    counts.confChanges++;
    applyConfChange(store, decodeConfChange(entry.data));
    return;
  }
  if (entry.type === ENTRY_CONF_CHANGE_V2) throw unknown(`entry ${entry.index} is a joint membership change, which no etcd writes`);
  if (entry.type !== ENTRY_NORMAL) throw unknown(`entry ${entry.index} is of kind ${entry.type}`);
  // What a new leader begins its term with.
  if (entry.data.length === 0) return;
  const operation = decodeV2Operation(entry.data);
  if (operation.kind === 'v3') {
    counts.v3++;
    return;
  }
  counts.requests++;
  if (operation.kind === 'cluster-version') {
    store.set('/0/version', operation.version, false, { expiration: 0n, refresh: false });
  } else if (operation.kind === 'member-attributes') {
    setMemberAttributes(store, operation.memberId.toString(16), Buffer.from('{}'));
  } else applyRequest(store, operation.request, versions.at(store, entry.index));
}

function applyRequest(store: V2Store, request: V2Request, semantics: V2Semantics): void {
  const path = request.path.toString('latin1');
  switch (request.method) {
    case 'POST': {
      const { expiration, dir } = request;
      store.createUnique(path, request.value, { expiration, dir, replace: false, padded: semantics.padded });
      return;
    }
    case 'PUT':
      put(store, path, request, semantics);
      return;
    case 'DELETE':
      if (hasCondition(request)) store.compareAndDelete(path, request.prevValue, request.prevIndex);
      else store.delete(path, request);
      return;
    case 'SYNC':
      store.expire(request.time);
      return;
    case 'QGET':
      return;
    default:
      throw unknown('an operation of the v2 API has a method that is not known');
  }
}

function put(store: V2Store, path: string, request: V2Request, semantics: V2Semantics): void {
  const { value, prevExist, expiration, dir } = request;
  const conditional = hasCondition(request);
  if (prevExist === false) {
    store.create(path, value, { expiration, dir, replace: false });
  } else if (prevExist === true && (!conditional || semantics.updateOnly)) {
    store.update(path, value, { ...request, refuseDirectories: semantics.refuseDirectoryUpdate });
  } else if (conditional) {
    store.compareAndSwap(path, request.prevValue, request.prevIndex, value, request);
  } else {
    const member = ATTRIBUTES_PATH.exec(path)?.[1];
    if (member === undefined) store.set(path, value, dir, request);
    else setMemberAttributes(store, BigInt(`0x${member}`).toString(16), value);
  }
}

function hasCondition(request: V2Request): boolean {
  return request.prevIndex > 0n || request.prevValue.length > 0;
}

function unknown(message: string): FerryError {
  return new FerryError('unknown-format', message);
}
