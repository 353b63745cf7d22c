import { FerryError } from '../errors.js';
import { type JsonNode, parseJsonTree } from './codec/json-tree.js';
import { decodeStored } from './decode.js';
import { encodeStored } from './encode.js';

type Path = readonly string[];

/**
 * What API servers and controllers write into objects by themselves, by the path of the member: fields
 * that kubectl does not send either, and the annotations in which controllers keep their own notes.
 * `[]` stands for every item of a list (apimachinery pkg/apis/meta/v1/types.go, ObjectMeta).
 */
const NOISE: readonly Path[] = [
  ['status'],
  ...['managedFields', 'resourceVersion', 'generation', 'selfLink', 'uid', 'creationTimestamp'].map((name) => ['metadata', name]),
  ['metadata', 'ownerReferences', '[]', 'uid'],
  ...[
    'kubectl.kubernetes.io/last-applied-configuration',
    'deployment.kubernetes.io/revision',
    'control-plane.alpha.kubernetes.io/leader',
    'endpoints.kubernetes.io/last-change-trigger-time',
  ].map((name) => ['metadata', 'annotations', name]),
];
/** A Lease of coordination.k8s.io is renewed every few seconds. */
const LEASE_NOISE: readonly Path[] = [...NOISE, ['spec', 'renewTime']];

/**
 * A JSON text with the members of all objects in the order of their names, as kubectl shows them: the
 * same for two objects that are the same, however they were stored. Numbers keep their digits.
 *
 * @param noise `drop` leaves out what a Kubernetes cluster writes into its objects by itself, and what depends on
 *   how it stores them: see `asProtobuf`
 * @throws FerryError `usage` when it is no JSON
 */
export function comparableJson(json: Buffer, noise: 'keep' | 'drop'): string {
  const tree = parseJsonTree(json.toString());
  if (noise === 'keep' || tree.kind !== 'object') return written(tree, []);
  const kind = tree.members.get('kind');
  const dropped = kind?.kind === 'string' && kind.value === 'Lease' ? LEASE_NOISE : NOISE;
  // The noise goes first: it could decide by which release's message the object is read.
  const quiet = written(tree, dropped);
  const once = asProtobuf(quiet);
  return once === undefined ? quiet : written(parseJsonTree(once), dropped);
}

/**
 * An object as it is read again once it was stored as protobuf, which does not tell an empty list from null or from none,
 * and has no apiVersion and kind in the objects within an object. To Kubernetes these are the same: it stores every object of these kinds so.
 *
 * @returns undefined for what has no such form: custom resources, members that no release knows
 */
function asProtobuf(json: string): string | undefined {
  try {
    return decodeStored(encodeStored(json).bytes).json?.toString();
  } catch (thrown) {
    if (thrown instanceof FerryError) return undefined;
    throw thrown;
  }
}

/** @param dropped paths that go, from this node on */
function written(node: JsonNode, dropped: readonly Path[]): string {
  switch (node.kind) {
    case 'object':
      return writtenObject(node.members, dropped);
    case 'array':
      return `[${node.items.map((item) => written(item, below(dropped, '[]'))).join(',')}]`;
    case 'string':
      return JSON.stringify(node.value);
    case 'number':
      return node.text;
    case 'boolean':
      return String(node.value);
    case 'null':
      return 'null';
  }
}

function writtenObject(members: ReadonlyMap<string, JsonNode>, dropped: readonly Path[]): string {
  const names = [...members.keys()].filter((name) => !dropped.some((path) => path.length === 1 && path[0] === name)).sort();
  const parts = names.map((name) => [name, written(members.get(name) as JsonNode, below(dropped, name))] as const);
  // A map of annotations that held nothing but noise is noise too.
  const kept = parts.filter(([name, text]) => text !== '{}' || below(dropped, name).length === 0);
  return `{${kept.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;
}

function below(paths: readonly Path[], name: string): Path[] {
  return paths.filter((path) => path.length > 1 && path[0] === name).map((path) => path.slice(1));
}
