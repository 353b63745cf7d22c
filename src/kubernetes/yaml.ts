import { isMap, isScalar, parseAllDocuments, stringify, type Tags } from 'yaml';
import { FerryError } from '../errors.js';
import { beginning } from '../model/shown-text.js';
import { type JsonNode, parseJsonTree } from './codec/json-tree.js';
import { DEEPEST_YAML, isTooDeep } from './yaml-depth.js';

/** One object out of a file of JSON or YAML. */
export interface ObjectDocument {
  /** The object's JSON text. */
  readonly json: string;
  /** The Kubernetes release whose bytes it was decoded from, where `toYaml` noted it: to be given to `encodeStored`. */
  readonly release: string | undefined;
}

/** YAML 1.1's types that Kubernetes' own YAML reader has no notion of. */
const NOT_IN_KUBERNETES = /binary|omap|pairs|set|timestamp|intTime|floatTime/;
const RELEASE_COMMENT = 'stored as by Kubernetes ';

/**
 * An object's JSON as YAML, its members in their order. Strings that YAML 1.1 would read as something
 * else are quoted, since Kubernetes' tools read YAML 1.1.
 *
 * @param release put first as a comment, so that `readDocuments` finds it
 * @throws FerryError `usage` when it is no JSON
 */
export function toYaml(json: string | Buffer, release?: string): string {
  const value = plain(parseJsonTree(json.toString()), DEEPEST_YAML / 2);
  const text = stringify(value, {
    version: '1.1',
    lineWidth: 0,
    aliasDuplicateObjects: false,
    customTags: (tags: Tags) => tags.filter(isNotMapLike),
  });
  return release === undefined ? text : `# ${RELEASE_COMMENT}${release}\n${text}`;
}

/**
 * Reads objects from a file: one JSON text, or YAML documents. Empty documents are passed over.
 *
 * @throws FerryError `usage` naming the line where it is not YAML
 */
export function readDocuments(text: string): ObjectDocument[] {
  try {
    return read(text);
  } catch (thrown) {
    // An alias of nothing, or aliases of aliases.
    throw thrown instanceof ReferenceError ? new FerryError('usage', `not YAML: ${thrown.message}`, { cause: thrown }) : thrown;
  }
}

function read(text: string): ObjectDocument[] {
  if (/^\s*\{/.test(text) && isJsonText(text)) return [{ json: text, release: undefined }];
  if (isTooDeep(text)) throw new FerryError('usage', 'not YAML that can be taken: nested too deep', { hint: 'Write it as JSON.' });
  const documents = parseAllDocuments(text, {
    version: '1.1',
    intAsBigInt: true,
    uniqueKeys: false,
    logLevel: 'silent',
    customTags: (tags: Tags) => tags.filter((tag) => typeof tag !== 'object' || !isForeign(tag)),
  });
  return [...documents].flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined)
      throw new FerryError('usage', `not YAML: ${beginning(error.message.split('\n')[0] as string)}`, { hint: 'Correct the file.' });
    const value: unknown = document.toJS({ mapAsMap: true, maxAliasCount: 100 });
    if (value === null || value === undefined) return [];
    return [{ json: jsonText(value), release: releaseNoted(document) }];
  });
}

/** The comment before the first member, which the parser hands to its key. */
function releaseNoted({ contents, commentBefore }: { contents: unknown; commentBefore: string | null }): string | undefined {
  const key: unknown = isMap(contents) ? contents.items[0]?.key : undefined;
  const comment = `${commentBefore ?? ''}\n${isScalar(key) ? (key.commentBefore ?? '') : ''}`;
  return new RegExp(`${RELEASE_COMMENT}(\\S+)`).exec(comment)?.[1];
}

/** Without these types a Map is written as the plain map it is. */
function isNotMapLike(tag: Tags[number]): boolean {
  return typeof tag !== 'object' || !/omap|pairs|set/.test(tag.tag);
}

function isForeign(tag: object): boolean {
  const { tag: name = '', format = '' } = tag as { tag?: string; format?: string };
  return NOT_IN_KUBERNETES.test(name) || format === 'TIME';
}

function isJsonText(text: string): boolean {
  try {
    parseJsonTree(text);
    return true;
  } catch {
    return false;
  }
}

/** What the YAML writer takes: maps keep their order, whole numbers their digits. */
function plain(node: JsonNode, deepest: number): unknown {
  if (deepest < 0) throw new FerryError('usage', 'the object is nested too deep for YAML', { hint: 'Ask for JSON.' });
  switch (node.kind) {
    case 'object':
      return new Map([...node.members].map(([name, value]) => [name, plain(value, deepest - 1)]));
    case 'array':
      return node.items.map((item) => plain(item, deepest - 1));
    case 'number':
      return /^-?\d+$/.test(node.text) ? BigInt(node.text) : Number(node.text);
    case 'null':
      return null;
    default:
      return node.value;
  }
}

function jsonText(value: unknown): string {
  if (value instanceof Map) {
    const members = [...(value as Map<unknown, unknown>)].map(([name, member]) => `${JSON.stringify(String(name))}:${jsonText(member)}`);
    return `{${members.join(',')}}`;
  }
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new FerryError('usage', `${value} is no number in JSON`, { hint: 'Correct the value.' });
  return JSON.stringify(value) ?? 'null';
}
