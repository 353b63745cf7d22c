import type { KeySelection, ObjectSelection } from '../model/source.js';
import { asArray, asObject, asText, given, type JsonObject, keyFromJson, keyToJson } from './json.js';

/** What records were chosen by, as an archive's header keeps it. */
export interface Chosen {
  readonly selection: KeySelection;
  /** As in `SourceInfo`. */
  readonly objects?: readonly ObjectSelection[];
}

export function selectionToJson({ selection, objects }: Chosen): JsonObject {
  return {
    prefixes: selection.prefixes.map((key) => keyToJson('key', key)),
    excludePrefixes: selection.excludePrefixes.map((key) => keyToJson('key', key)),
    ...(objects === undefined || objects.length === 0 ? {} : { objects: objects.map(objectsToJson) }),
  };
}

/** @throws FerryError `damaged` */
export function parseSelection(json: JsonObject, where: string): Chosen {
  const keys = (name: string): Buffer[] =>
    asArray(json[name], `${where}.${name}`).map((item) => keyFromJson(asObject(item, `${where}.${name}`), 'key', `${where}.${name}`));
  const selection = { prefixes: keys('prefixes'), excludePrefixes: keys('excludePrefixes') };
  const objects = listAt(json.objects, `${where}.objects`)?.map((item) =>
    objectsFromJson(asObject(item, `${where}.objects`), `${where}.objects`),
  );
  return { selection, ...given('objects', objects) };
}

const OBJECT_LISTS = ['kinds', 'excludeKinds', 'namespaces', 'names', 'etcdPrefixes'] as const satisfies readonly (keyof ObjectSelection)[];

function objectsToJson(objects: ObjectSelection): JsonObject {
  return Object.fromEntries(OBJECT_LISTS.filter((list) => objects[list].length > 0).map((list) => [list, objects[list]]));
}

function objectsFromJson(json: JsonObject, where: string): ObjectSelection {
  const texts = (list: string): readonly string[] =>
    (listAt(json[list], `${where}.${list}`) ?? []).map((item) => asText(item, `${where}.${list}`));
  return Object.fromEntries(OBJECT_LISTS.map((list) => [list, texts(list)])) as Record<(typeof OBJECT_LISTS)[number], readonly string[]>;
}

function listAt(value: unknown, where: string): readonly unknown[] | undefined {
  return value === undefined ? undefined : asArray(value, where);
}
