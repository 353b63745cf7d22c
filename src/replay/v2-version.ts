import { ENTRY_NORMAL, type RaftEntry } from '../wire/raft.js';
import { decodeV2Operation } from '../wire/raft-v2.js';
import { namesOf } from './v2-path.js';
import type { V2Store } from './v2-store.js';

/** How operations work that changed between versions of etcd. */
export interface V2Semantics {
  /** POST pads the index it names a node after: 2.2.0 and later. */
  readonly padded: boolean;
  /** PUT with prevExist=true on a directory is refused: 3.5 and later. */
  readonly refuseDirectoryUpdate: boolean;
  /** PUT with prevExist=true ignores prevIndex and prevValue: 2.0. */
  readonly updateOnly: boolean;
}

/** Where in the log the cluster's version was set. */
export interface VersionChange {
  readonly index: bigint;
  readonly version: string;
}

const VERSION_PATH = '/0/version';

/**
 * Which semantics the members that wrote the log had. They keep the lowest version of all members at
 * `/0/version` (2.1 and later; 2.0 has none). A young cluster has not agreed on one yet, or on 3.0.0 for
 * a start (etcdserver/server.go, monitorVersions): then the first one that the log sets later counts.
 */
export class V2Versions {
  readonly #changes: readonly VersionChange[];
  #version: string | undefined;
  #semantics: V2Semantics;

  /** @param changes found by `versionChangeOf` in what the log holds; may be left empty for a store with a settled version */
  constructor(store: V2Store, changes: readonly VersionChange[]) {
    this.#changes = changes;
    this.#version = versionOf(store);
    this.#semantics = semanticsOf(this.#version);
  }

  at(store: V2Store, index: bigint): V2Semantics {
    const there = versionOf(store);
    const version = isSettled(there)
      ? there
      : (this.#changes.find((change) => change.index >= index && isSettled(change.version))?.version ?? there);
    if (version !== this.#version) {
      this.#version = version;
      this.#semantics = semanticsOf(version);
    }
    return this.#semantics;
  }
}

/** True when the log need not be searched for a version. */
export function hasSettledVersion(store: V2Store): boolean {
  return isSettled(versionOf(store));
}

/** The cluster version that an entry sets, if it does. */
export function versionChangeOf(entry: RaftEntry): VersionChange | undefined {
  if (entry.type !== ENTRY_NORMAL || entry.data.length === 0) return undefined;
  const operation = decodeV2Operation(entry.data);
  if (operation.kind === 'cluster-version') return { index: entry.index, version: operation.version.toString('latin1') };
  if (operation.kind !== 'request') return undefined;
  const { method, path, value } = operation.request;
  if (method !== 'PUT' || `/${namesOf(path.toString('latin1')).join('/')}` !== VERSION_PATH) return undefined;
  return { index: entry.index, version: value.toString('latin1') };
}

function versionOf(store: V2Store): string | undefined {
  return store.get(VERSION_PATH)?.value.toString('latin1');
}

function isSettled(version: string | undefined): version is string {
  return version !== undefined && version !== '3.0.0';
}

function semanticsOf(version: string | undefined): V2Semantics {
  const [major = 0, minor = 0] = (version ?? '2.0').split('.').map(Number);
  const atLeast = (a: number, b: number): boolean => major > a || (major === a && minor >= b);
  return { padded: atLeast(2, 2), refuseDirectoryUpdate: atLeast(3, 5), updateOnly: version === undefined };
}
