import type { Generation } from './generation.js';
import type { GoField, GoType } from './go-types.js';

/** A protobuf message as its Go type declares it. `text` is its row in the schema table (schema/table.ts). */
export interface Message {
  /** Short name with package: `core/v1.Pod`. */
  readonly name: string;
  /** True when it has kind and apiVersion of its own. */
  readonly isKind: boolean;
  readonly text: string;
  readonly refs: readonly string[];
}

/** Types with a JSON form of their own, and the letter the table gives them. */
const SPECIAL = new Map([
  ['meta/v1.Time', 'T'],
  ['meta/v1.MicroTime', 'M'],
  ['meta/v1.Duration', 'D'],
  ['meta/v1.FieldsV1', 'R'],
  ['resource.Quantity', 'Q'],
  ['intstr.IntOrString', 'I'],
  ['runtime.RawExtension', 'R'],
  ['apiextensions/v1.JSON', 'R'],
  ['apiextensions/v1beta1.JSON', 'R'],
]);
/** The letter stands before the name of the schema's message. */
const SCHEMA_UNIONS = new Map([
  ['JSONSchemaPropsOrBool', 'B'],
  ['JSONSchemaPropsOrArray', 'A'],
  ['JSONSchemaPropsOrStringArray', 'S'],
]);
/** Registered as a kind all the same. */
const KINDS_WITHOUT_TYPE_META = new Set(['meta/v1.WatchEvent']);
const SCALARS = new Map([
  ['string', 's'],
  ['bool', 'b'],
  ['int32', 'i'],
  ['int64', 'l'],
  ['uint32', 'i'],
  ['uint64', 'l'],
  ['float64', 'd'],
  ['byte', 'i'],
  ['time.Duration', 'l'],
]);

/** Short form of a qualified Go name: `k8s.io/apimachinery/pkg/apis/meta/v1.Time` → `meta/v1.Time`. */
export function shortName(name: string): string {
  return name.replace(/^k8s\.io\/(?:api|[a-z-]+\/pkg\/(?:apis|util|api)|[a-z-]+\/pkg|[a-z-]+)\//, '');
}

/** Every message of a generation, by short name. */
export function messagesOf(generation: Generation): Map<string, Message> {
  const messages = new Map<string, Message>();
  for (const [name, type] of generation.types) {
    const path = name.slice(0, name.lastIndexOf('.'));
    if (type.kind !== 'struct' || !generation.packages.has(path) || SPECIAL.has(shortName(name))) continue;
    const message = new Reader(generation, path).message(name, type.fields);
    if (message !== undefined) messages.set(message.name, message);
  }
  return messages;
}

class Reader {
  readonly #generation: Generation;
  readonly #package: string;
  readonly #refs: string[] = [];

  constructor(generation: Generation, path: string) {
    this.#generation = generation;
    this.#package = shortName(`${path}.`);
  }

  message(name: string, fields: readonly GoField[]): Message | undefined {
    const rows = fields.flatMap((field) => this.#field(name, field) ?? []);
    const isKind =
      KINDS_WITHOUT_TYPE_META.has(shortName(name)) ||
      fields.some((field) => field.name === '' && field.type.kind === 'name' && /\.TypeMeta$/.test(field.type.name));
    if (rows.length === 0 && fields.length > 0 && !isKind) return undefined;
    return { name: shortName(name), isKind, text: rows.join(' '), refs: this.#refs };
  }

  /** `number type name flags`, as schema/parse.ts reads it; undefined for what protobuf does not carry. */
  #field(owner: string, field: GoField): string | undefined {
    const protobuf = tagValue(field.tag, 'protobuf').split(',');
    const number = Number(protobuf[1]);
    if (!Number.isInteger(number) || number < 1) {
      if (field.name === '' && /json:",inline"/.test(field.tag) && !/TypeMeta$/.test(nameOf(field.type)))
        throw new Error(`${owner}: ${nameOf(field.type)} is inlined without a protobuf number`);
      return undefined;
    }
    const [json = '', ...options] = tagValue(field.tag, 'json').split(',');
    const inline = json === '' && field.name === '';
    const flags = [
      field.type.kind === 'pointer' ? 'p' : '',
      options.includes('omitempty') ? 'o' : '',
      options.includes('omitzero') ? 'z' : '',
    ].join('');
    const type = this.#type(field.type, protobuf[2] === 'rep');
    return `${number}${type}:${inline ? '' : (json === '-' ? '' : json) || field.name}${flags === '' ? '' : `/${flags}`}`;
  }

  #type(type: GoType, repeated: boolean): string {
    switch (type.kind) {
      case 'pointer':
        return this.#type(type.of, repeated);
      case 'slice':
        return nameOf(type.of) === 'byte' ? 'y' : `*${this.#type(type.of, false)}`;
      case 'map':
        return `%${this.#type(type.of, false)}`;
      case 'name':
        return this.#named(type.name, repeated);
      default:
        throw new Error(`${this.#package}: a field of a type that has no message`);
    }
  }

  #named(name: string, repeated: boolean): string {
    const scalar = SCALARS.get(name);
    if (scalar !== undefined) return scalar;
    const short = shortName(name);
    const special = SPECIAL.get(short);
    if (special !== undefined) return special;
    const union = SCHEMA_UNIONS.get(short.slice(short.lastIndexOf('.') + 1));
    if (union !== undefined) return union + this.#ref(short.replace(/JSONSchemaPropsOr\w+$/, 'JSONSchemaProps'));
    const type = this.#generation.types.get(name);
    if (type === undefined) throw new Error(`${this.#package}: type ${name} is not declared anywhere`);
    if (type.kind === 'struct') return `=${this.#ref(short)}`;
    // A named slice has a message of its own (`items`), but for those a field repeats.
    if (type.kind === 'slice' && !repeated) return `W${this.#type(type.of, false)}`;
    return this.#type(type, repeated);
  }

  #ref(short: string): string {
    this.#refs.push(short);
    return short.startsWith(this.#package) ? short.slice(this.#package.length) : short;
  }
}

function nameOf(type: GoType): string {
  if (type.kind === 'name') return type.name;
  return type.kind === 'pointer' ? nameOf(type.of) : '';
}

function tagValue(tag: string, key: string): string {
  return new RegExp(`(?:^| )${key}:"([^"]*)"`).exec(tag)?.[1] ?? '';
}
