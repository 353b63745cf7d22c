import { type FieldPlan, FieldType, type MessagePlan } from './plan.js';
import { RELEASES, TABLE } from './table.js';

/** All generations in one; for values that no single one explains. */
export const UNION = -1;

/** Names of the Kubernetes releases the schema knows, newest first. */
export const GENERATIONS: readonly string[] = RELEASES;

const TYPE_LETTERS: Readonly<Record<string, FieldType>> = {
  s: FieldType.string,
  b: FieldType.bool,
  i: FieldType.int32,
  l: FieldType.int64,
  d: FieldType.double,
  y: FieldType.bytes,
  '=': FieldType.message,
  T: FieldType.time,
  M: FieldType.microTime,
  D: FieldType.duration,
  Q: FieldType.quantity,
  I: FieldType.intOrString,
  R: FieldType.raw,
  W: FieldType.strings,
  B: FieldType.schemaOrBool,
  A: FieldType.schemaOrArray,
  S: FieldType.schemaOrStrings,
};
const FIELD = /^(\d+)([*%]?)([a-zA-Z=])([^:]*):([^/]*)(?:\/(\w*))?$/;

interface Row {
  /** A base-36 digit for each generation, in ascending order. */
  readonly generations: string;
  readonly isKind: boolean;
  readonly fields: string;
}

interface Package {
  readonly group: string;
  readonly messages: ReadonlyMap<string, readonly Row[]>;
}

const packages = new Map<string, Package>();
const packageTexts = new Map(TABLE.map((text) => [text.slice(0, text.indexOf(' ')), text]));
const plans = new Map<string, Plan | undefined>();

/** A kind in every generation that has it. */
export interface Kind {
  /** `{"kind":"Pod","apiVersion":"v1",` in UTF-8: how the kind's objects begin in JSON. */
  readonly opening: Uint8Array;
  /** By generation. */
  readonly plans: readonly (MessagePlan | undefined)[];
  /** Of all generations; undefined when none has a message for the kind. */
  readonly union: MessagePlan | undefined;
  /** What field 1 (of almost all kinds the ObjectMeta) may and must hold, by generations: bit n is field n. */
  readonly heads: readonly Head[];
}

interface Head {
  /** Bit n: generation n. */
  readonly generations: number;
  readonly known: number;
  readonly always: number;
}

/** Looks a kind up, known or not. */
export function kindOf(apiVersion: string, kind: string): Kind {
  let kinds = kindCache.get(apiVersion);
  if (kinds === undefined) {
    if (kindCache.size > MOST_CACHED) kindCache.clear();
    kinds = new Map();
    kindCache.set(apiVersion, kinds);
  }
  let found = kinds.get(kind);
  if (found === undefined) {
    if (kinds.size > MOST_CACHED) kinds.clear();
    const names = [
      kind === '' ? '' : `"kind":${JSON.stringify(kind)},`,
      apiVersion === '' ? '' : `"apiVersion":${JSON.stringify(apiVersion)},`,
    ];
    const [union, ...plans] = findPlans(apiVersion, kind);
    found = { opening: Buffer.from(`{${names.join('')}`), plans, union, heads: headsOf(plans) };
    kinds.set(kind, found);
  }
  return found;
}

/** @returns nothing when some generation's field 1 is no message, or one with numbers past 30 */
function headsOf(plans: readonly (MessagePlan | undefined)[]): Head[] {
  const heads = plans.flatMap((plan, generation) => {
    if (plan === undefined) return [];
    const message = plan.fields[(plan.slots[1] ?? 0) - 1]?.message;
    const numbers = (list: readonly FieldPlan[]): number => list.reduce((bits, field) => bits | (1 << field.number), 0);
    if (message === undefined || message.slots.length > 31) return [undefined];
    return [
      { generations: 1 << generation, known: numbers(message.fields), always: numbers(message.fields.filter((field) => field.always)) },
    ];
  });
  return heads.includes(undefined) ? [] : (heads as Head[]);
}

/** Names come from stored values, which anybody may have written: what is kept of them is bounded. */
const MOST_CACHED = 1000;
const kindCache = new Map<string, Map<string, Kind>>();

/** Whether any generation has a message for the kind. */
export function isKnownKind(apiVersion: string, kind: string): boolean {
  return kindOf(apiVersion, kind).union !== undefined;
}

/** The kind's plans, that of the union first, then the generations'. */
function findPlans(apiVersion: string, kind: string): (MessagePlan | undefined)[] {
  // A WatchEvent is the one message that Kubernetes puts into an envelope without a name.
  if (apiVersion === '' && kind === '') return findPlans('v1', 'WatchEvent');
  const slash = apiVersion.indexOf('/');
  const group = apiVersion.slice(0, Math.max(slash, 0));
  const version = apiVersion.slice(slash + 1);
  const shorts = [...packageTexts].flatMap(([short, text]) =>
    short.endsWith(`/${version}`) && text.startsWith(`${group}\n`, short.length + 1) ? [short] : [],
  );
  // Status, DeleteOptions and the like are served under every version.
  const names = [...shorts, 'meta/v1']
    .filter((short) =>
      packageOf(short)
        ?.messages.get(kind)
        ?.some((row) => row.isKind),
    )
    .map((short) => `${short}.${kind}`);
  const plan = (generation: number): MessagePlan | undefined => {
    for (const name of names) {
      const found = messagePlan(name, generation);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const plansOfKind = [...GENERATIONS.keys()].map(plan);
  const newest = plansOfKind.find((one) => one !== undefined);
  return [newest === undefined ? undefined : messagePlan(newest.name, UNION), ...plansOfKind];
}

/** Every kind with a message: apiVersion, kind, and the generations (indices) that have it. */
export function knownKinds(): { apiVersion: string; kind: string; generations: number[] }[] {
  return [...packageTexts.keys()].flatMap((short) => {
    const { group, messages } = packageOf(short) as Package;
    if (group === '-') return [];
    const version = short.slice(short.lastIndexOf('/') + 1);
    const apiVersion = group === '' ? version : `${group}/${version}`;
    return [...messages]
      .filter(([, rows]) => rows.some((row) => row.isKind))
      .map(([kind, rows]) => ({
        apiVersion,
        kind,
        generations: [...rows.map((row) => row.generations).join('')].map((digit) => Number.parseInt(digit, 36)),
      }));
  });
}

function packageOf(short: string): Package | undefined {
  let found = packages.get(short);
  const text = packageTexts.get(short);
  if (found !== undefined || text === undefined) return found;
  const [head = '', ...lines] = text.split('\n');
  const messages = new Map<string, Row[]>();
  for (const line of lines) {
    const [name = '', generations = '', ...fields] = line.split(' ');
    const bare = name.replace('!', '');
    const rows = messages.get(bare) ?? [];
    rows.push({ generations, isKind: bare !== name, fields: fields.join(' ') });
    messages.set(bare, rows);
  }
  found = { group: head.slice(short.length + 1), messages };
  packages.set(short, found);
  return found;
}

function messagePlan(name: string, generation: number): Plan | undefined {
  const key = `${generation} ${name}`;
  if (plans.has(key)) return plans.get(key);
  const dot = name.lastIndexOf('.');
  const rows = packageOf(name.slice(0, dot))?.messages.get(name.slice(dot + 1)) ?? [];
  const row = generation === UNION ? unionRow(rows) : rows.find((one) => one.generations.includes(generation.toString(36)));
  const plan = row === undefined ? undefined : new Plan(name, row, generation, rows);
  plans.set(key, plan);
  return plan;
}

/** The newest generation's fields, then those that only older ones have; last the place for what none knows. */
function unionRow(rows: readonly Row[]): Row | undefined {
  if (rows.length === 0) return undefined;
  const byNumber = new Map<string, string>();
  const [newest, ...older] = [...rows].sort((a, b) => (a.generations < b.generations ? -1 : 1)) as [Row, ...Row[]];
  const add = (field: string): void => {
    const number = /^\d+/.exec(field)?.[0];
    if (number !== undefined && !byNumber.has(number)) byNumber.set(number, field);
  };
  newest.fields.split(' ').forEach(add);
  // What only older ones have is neither written nor shown unless it is there: as if it were a pointer, with omitempty.
  for (const row of older) for (const field of row.fields.split(' ')) add(`${field.replace(/\/\w*$/, '')}/po`);
  return { generations: '', isKind: rows.some((row) => row.isKind), fields: [...byNumber.values()].join(' ') };
}

/** A plan reads its fields when they are first asked for: messages refer to each other, and to themselves. */
class Plan implements MessagePlan {
  readonly name: string;
  readonly isKind: boolean;
  readonly generations: number;
  readonly #text: string;
  readonly #generation: number;
  readonly #rows: readonly Row[];
  #fields: readonly FieldPlan[] | undefined;
  #slots: Uint8Array | undefined;
  #always: readonly number[] | undefined;

  constructor(name: string, row: Row, generation: number, rows: readonly Row[]) {
    this.name = name;
    this.isKind = row.isKind;
    this.generations = [...row.generations].reduce((bits, digit) => bits | (1 << Number.parseInt(digit, 36)), 0);
    this.#text = row.fields;
    this.#generation = generation;
    this.#rows = rows;
  }

  get fields(): readonly FieldPlan[] {
    if (this.#fields === undefined) {
      const counts = countGenerations(this.#rows);
      const isYoung = (text: string): boolean => (counts.get(Number.parseInt(text, 10)) ?? 0) < GENERATIONS.length;
      const texts = this.#text.split(' ').filter((text) => text !== '');
      this.#fields = texts.map((text) => new Field(text, this.name, this.#generation, isYoung(text)));
    }
    return this.#fields;
  }

  get slots(): Uint8Array {
    if (this.#slots === undefined) {
      this.#slots = new Uint8Array(Math.max(0, ...this.fields.map((field) => field.number)) + 1);
      for (const [index, field] of this.fields.entries()) this.#slots[field.number] = index + 1;
    }
    return this.#slots;
  }

  get always(): readonly number[] {
    this.#always ??= [...this.fields.keys()].filter((index) => this.fields[index]?.always);
    return this.#always;
  }
}

class Field implements FieldPlan {
  readonly number: number;
  readonly type: FieldType;
  readonly cardinality: 'one' | 'list' | 'map';
  readonly wire: 0 | 1 | 2;
  readonly json: string;
  readonly key: Uint8Array;
  readonly always: boolean;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  readonly isYoung: boolean;
  readonly message: MessagePlan | undefined;

  constructor(text: string, owner: string, generation: number, isYoung: boolean) {
    const [, number = '', card = '', letter = '', ref = '', json = '', flags = ''] = FIELD.exec(text) ?? [];
    this.number = Number(number);
    this.type = TYPE_LETTERS[letter] as FieldType;
    this.cardinality = card === '*' ? 'list' : card === '%' ? 'map' : 'one';
    this.wire = card === '%' ? 2 : wireOf(this.type);
    this.json = json;
    this.key = Buffer.from(`${JSON.stringify(json)}:`);
    this.always = card === '' && this.type !== FieldType.bytes && !flags.includes('p') && this.type !== FieldType.strings;
    this.omitEmpty = flags.includes('o');
    this.omitZero = flags.includes('z');
    this.isYoung = isYoung;
    const name = ref.includes('.') ? ref : `${owner.slice(0, owner.lastIndexOf('.'))}.${ref}`;
    // A package of another repository may refer to what this generation does not have yet (generate/table.ts, fillGaps).
    this.message = ref === '' ? undefined : (messagePlan(name, generation) ?? messagePlan(name, UNION));
  }
}

/** For each field number, how many generations' message has it. */
function countGenerations(rows: readonly Row[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const row of rows) {
    for (const field of row.fields.split(' ')) {
      const number = Number.parseInt(field, 10);
      counts.set(number, (counts.get(number) ?? 0) + row.generations.length);
    }
  }
  return counts;
}

function wireOf(type: FieldType): 0 | 1 | 2 {
  if (type === FieldType.bool || type === FieldType.int32 || type === FieldType.int64) return 0;
  return type === FieldType.double ? 1 : 2;
}
