import { FerryError } from '../errors.js';
import type { ObjectSelection } from '../model/source.js';
import type { ResourceName } from './encryption/encryption.js';
import type { ObjectWatch } from './objects-seen.js';
import { ownAccount } from './own-account.js';
import { knownKinds } from './schema/schema.js';
import { parseStoragePath, pathAsTold, type StoragePath } from './storage-path.js';

/** What a record is to Kubernetes, as far as its key and value tell. */
export interface ObjectIdentity {
  /** Of the value's own account; empty when it does not say (it may be encrypted). */
  readonly apiVersion: string;
  readonly kind: string;
  /** Undefined when the key is none of Kubernetes' storage paths. */
  readonly path: StoragePath | undefined;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

/** Stored as Endpoints or RangeAllocation, but nobody's objects of that kind. */
const INTERNAL: ReadonlySet<string> = new Set(['masterleases', 'peerserverleases', 'ranges']);

/** Tells what a record is; never throws, whatever the bytes. */
export function identify(key: Buffer, value: Buffer, etcdPrefixes: readonly string[] = []): ObjectIdentity {
  const guess = parseStoragePath(key, etcdPrefixes);
  const own = ownAccount(value);
  const { apiVersion, kind, namespace, name } = own;
  if (guess === undefined) return { apiVersion, kind, path: guess, namespace: namespace || undefined, name: name || undefined };
  const path = name === '' ? guess : pathAsTold(key, guess, { namespace, name, plural: pluralOf(kind.toLowerCase()) });
  return { apiVersion, kind, path, namespace: path.namespace, name: path.name };
}

/**
 * Makes a test for records: whether the object is wanted. Records that are none of Kubernetes' are
 * wanted only where nothing but exclusions are asked for.
 *
 * @param watch is shown every record, until it has seen enough
 */
export function objectFilter(selection: ObjectSelection, watch?: ObjectWatch): (key: Buffer, value: Buffer) => boolean {
  const [kinds, excluded] = [selection.kinds, selection.excludeKinds].map((list) => list.map(wantedKind)) as [WantedKind[], WantedKind[]];
  const [namespaces, names] = [new Set(selection.namespaces), new Set(selection.names)];
  const { seenKinds } = selection;
  const unseen = new Set(seenKinds === undefined ? [] : [...kinds, ...excluded]);
  return (key, value) => {
    const object = identify(key, value, selection.etcdPrefixes);
    if (watch?.isDone === false) {
      const { namespace, name, path } = object;
      const met = kinds.filter((kind) => isOfKind(object, kind)).map(({ text }) => text);
      watch.see({ kind: object.kind || (path?.resource ?? ''), namespace, name }, met);
    }
    for (const kind of unseen) {
      if (!isOfKind(object, kind)) continue;
      seenKinds?.add(kind.text);
      unseen.delete(kind);
    }
    if (namespaces.size > 0 && !namespaces.has(object.namespace ?? '')) return false;
    if (names.size > 0 && !names.has(object.name ?? '')) return false;
    if (kinds.length > 0 && !kinds.some((kind) => isOfKind(object, kind))) return false;
    return !excluded.some((kind) => isOfKind(object, kind));
  };
}

/** Whether any list of the selection has something in it. */
export function selectsObjects(selection: ObjectSelection): boolean {
  return [selection.kinds, selection.excludeKinds, selection.namespaces, selection.names].some((list) => list.length > 0);
}

/** A record's resource as an EncryptionConfiguration names it; undefined when it is none of Kubernetes'. */
export function resourceOf(key: Buffer, value: Buffer, etcdPrefixes: readonly string[] = []): ResourceName | undefined {
  const { path, apiVersion } = identify(key, value, etcdPrefixes);
  return path === undefined ? undefined : { group: path.group ?? groupOf(apiVersion), resource: path.resource };
}

/** The kinds of a selection that no record was of, and that no release of Kubernetes known here has: misspelt, most likely. */
export function unknownKinds({ kinds, excludeKinds, seenKinds }: Pick<ObjectSelection, 'kinds' | 'excludeKinds' | 'seenKinds'>): string[] {
  const unseen = new Set([...kinds, ...excludeKinds].filter((kind) => seenKinds?.has(kind) !== true));
  return [...unseen].filter((text) => {
    const wanted = wantedKind(text);
    return !INTERNAL.has(wanted.name) && !knownKinds().some((known) => namesKind(wanted, known));
  });
}

function namesKind(wanted: WantedKind, { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): boolean {
  const { name, plural } = wantedKind(kind);
  return (wanted.name === name || wanted.name === plural) && (wanted.group === undefined || wanted.group === groupOf(apiVersion));
}

interface WantedKind {
  /** As it was asked for. */
  readonly text: string;
  readonly name: string;
  /** The name as a resource: `networkpolicies` for `NetworkPolicy`. */
  readonly plural: string;
  readonly group: string | undefined;
}

function wantedKind(text: string): WantedKind {
  const [name = '', ...group] = text.toLowerCase().split('.');
  if (name === '')
    throw new FerryError('usage', `"${text}" names no kind`, { hint: 'Give a kind like Secret, secrets or Deployment.apps.' });
  return { text, name, plural: pluralOf(name), group: group.length === 0 ? undefined : group.join('.') };
}

/** The name as a resource: `networkpolicies` for `networkpolicy`. */
function pluralOf(name: string): string {
  if (/[^aeiou]y$/.test(name)) return `${name.slice(0, -1)}ies`;
  return /(s|x|ch|sh)$/.test(name) ? `${name}es` : `${name}s`;
}

function isOfKind({ kind, apiVersion, path }: ObjectIdentity, wanted: WantedKind): boolean {
  const group = path?.group ?? (apiVersion === '' ? undefined : groupOf(apiVersion));
  if (wanted.group !== undefined && group !== undefined && wanted.group !== group) return false;
  if (path?.resource === wanted.name) return true;
  if (path !== undefined && path.group === undefined && INTERNAL.has(path.resource)) return false;
  // The value's own word counts; only what does not say (because it is encrypted) goes by its path.
  return kind === '' ? path?.resource === wanted.plural : kind.toLowerCase() === wanted.name;
}

function groupOf(apiVersion: string): string {
  return apiVersion.slice(0, Math.max(apiVersion.indexOf('/'), 0));
}
