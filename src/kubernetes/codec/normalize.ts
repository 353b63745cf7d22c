import { FerryError } from '../../errors.js';
import { type FieldPlan, FieldType, isPointer, type MessagePlan, UNKNOWN_NUMBER } from '../schema/plan.js';
import { BackWriter } from './back-writer.js';
import { DEEPEST_MESSAGES } from './json-check.js';
import {
  contentsOf,
  field as delimited,
  integerOf,
  normalDuration,
  normalIntOrString,
  normalQuantity,
  normalRaw,
  normalStrings,
  normalTime,
} from './normalize-special.js';
import { type RawField, splitFields } from './unknown-fields.js';
import { int64At, varint32At, varintEnd } from './varint-at.js';

/** What became of a value: its new contents, or undefined when JSON has no way to show it. */
type Normal = Buffer | undefined;

/**
 * Rewrites a message of whatever origin into the form that Kubernetes would have written by a plan of
 * the union: fields in order, none twice, zeros where they belong. Fields that the plan does not know
 * and values that JSON cannot show come together, as they were, in the field UNKNOWN_NUMBER of the
 * message they stood in.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function normalize(plan: MessagePlan, bytes: Buffer, depth = 0): { bytes: Buffer; unknown: number } {
  const normalizer = new Normalizer();
  return { bytes: normalizer.message(plan, bytes, depth), unknown: normalizer.unknown };
}

class Normalizer {
  /** Number of fields that were set aside. */
  unknown = 0;
  #fields = 0;

  message(plan: MessagePlan, bytes: Buffer, depth: number): Buffer {
    if (depth > DEEPEST_MESSAGES) throw new FerryError('damaged', `messages are nested more than ${DEEPEST_MESSAGES} deep`);
    if (bytes.length === 0) return this.#empty(plan, depth);
    const byNumber = new Map<number, RawField[]>();
    const aside: Buffer[] = [];
    const raws = splitFields(bytes);
    this.#fields += raws.length;
    if (this.#fields > MOST_FIELDS)
      throw new FerryError('damaged', `a value has more than ${MOST_FIELDS} fields, and is not as Kubernetes writes it`);
    for (const raw of raws) {
      const known = (plan.slots[raw.number] ?? 0) !== 0;
      if (!known) aside.push(raw.bytes);
      else {
        const others = byNumber.get(raw.number);
        if (others === undefined) byNumber.set(raw.number, [raw]);
        else others.push(raw);
      }
    }
    return this.#assemble(plan, byNumber, aside, depth);
  }

  /** The zeros of a message; made once, since a value may have very many of them. */
  #empty(plan: MessagePlan, depth: number): Buffer {
    let found = empties.get(plan);
    if (found === undefined) {
      found = this.#assemble(plan, new Map(), [], depth);
      empties.set(plan, found);
    }
    return found;
  }

  #assemble(plan: MessagePlan, byNumber: ReadonlyMap<number, RawField[]>, aside: Buffer[], depth: number): Buffer {
    const parts: Buffer[] = [];
    for (const field of ascending(plan)) {
      const raws = byNumber.get(field.number);
      if (raws !== undefined) for (const part of this.#field(field, raws, aside, depth)) parts.push(part);
      else if (field.always) parts.push(zero(field, this, depth));
    }
    this.unknown += aside.length;
    if (aside.length > 0) parts.push(delimited(UNKNOWN_NUMBER, Buffer.concat(aside)));
    return Buffer.concat(parts);
  }

  #field(field: FieldPlan, raws: readonly RawField[], aside: Buffer[], depth: number): Buffer[] {
    if (field.cardinality === 'map') return this.#map(field, raws, aside, depth);
    if (field.wire !== 2) return numbers(field, raws, aside);
    const groups = field.cardinality === 'list' || !isMessage(field) ? raws.map((raw) => [raw]) : [raws];
    const parts = groups.flatMap((group) => {
      const values = group.map(contentsOf);
      const normal = values.includes(undefined) ? undefined : this.#value(field, Buffer.concat(values as Buffer[]), depth);
      if (normal === undefined) for (const raw of group) aside.push(raw.bytes);
      return normal === undefined ? [] : [delimited(field.number, normal)];
    });
    if (field.cardinality === 'list') return parts;
    if (parts.length === 0 && field.always) return [zero(field, this, depth)];
    return parts.slice(-1);
  }

  #value(field: FieldPlan, bytes: Buffer, depth: number): Normal {
    switch (field.type) {
      case FieldType.message:
        return this.message(field.message as MessagePlan, bytes, depth + 1);
      case FieldType.time:
      case FieldType.microTime:
        return normalTime(bytes, field.type === FieldType.microTime);
      case FieldType.duration:
        return normalDuration(bytes);
      case FieldType.quantity:
        return normalQuantity(bytes);
      case FieldType.intOrString:
        return normalIntOrString(bytes);
      case FieldType.raw:
        return normalRaw(bytes, isPointer(field));
      case FieldType.strings:
        return normalStrings(bytes, 1);
      case FieldType.schemaOrBool:
      case FieldType.schemaOrArray:
      case FieldType.schemaOrStrings:
        return this.#schema(field, bytes, depth);
      default:
        return bytes;
    }
  }

  #schema(field: FieldPlan, bytes: Buffer, depth: number): Normal {
    const fields = splitFields(bytes);
    const message = (raw: RawField | undefined): Normal => {
      const value = raw === undefined ? undefined : contentsOf(raw);
      return value === undefined ? undefined : this.message(field.message as MessagePlan, value, depth + 1);
    };
    if (field.type === FieldType.schemaOrBool) {
      const schema = fields.find((raw) => raw.number === 2);
      const allows = fields.find((raw) => raw.number === 1);
      if (fields.length !== [schema, allows].filter(Boolean).length || (allows !== undefined && integerOf(allows) === undefined))
        return undefined;
      const inner = message(schema);
      if (inner !== undefined) return Buffer.concat([Buffer.from([0x08, 1]), delimited(2, inner)]);
      return schema === undefined ? Buffer.from([0x08, allows !== undefined && integerOf(allows) !== 0n ? 1 : 0]) : undefined;
    }
    if (fields.length === 0) return bytes;
    if (fields.length === 1 && fields[0]?.number === 1) {
      const inner = message(fields[0]);
      return inner === undefined ? undefined : delimited(1, inner);
    }
    if (field.type === FieldType.schemaOrStrings) return normalStrings(bytes, 2);
    const schemas = fields.map((raw) => (raw.number === 2 ? message(raw) : undefined));
    return schemas.includes(undefined) ? undefined : Buffer.concat(schemas.map((schema) => delimited(2, schema as Buffer)));
  }

  #map(field: FieldPlan, raws: readonly RawField[], aside: Buffer[], depth: number): Buffer[] {
    const entries = new Map<string, Buffer>();
    for (const raw of raws) {
      const entry = contentsOf(raw);
      const fields = entry === undefined ? [] : splitFields(entry);
      const [keys, values] = [1, 2].map((number) => fields.filter((one) => one.number === number).map(contentsOf)) as [Normal[], Normal[]];
      const isPlain = entry !== undefined && keys.length <= 1 && values.length <= 1 && keys.length + values.length === fields.length;
      const normal = isPlain ? this.#entry(field, keys, values, depth) : undefined;
      if (normal === undefined) aside.push(raw.bytes);
      else entries.set((keys[0] ?? '').toString('latin1'), normal);
    }
    // The order of latin1 strings is that of the bytes they were made from.
    return [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => delimited(field.number, entry));
  }

  #entry(field: FieldPlan, keys: readonly Normal[], values: readonly Normal[], depth: number): Normal {
    if (keys.length + values.length > [...keys, ...values].filter(Boolean).length) return undefined;
    const key = delimited(1, keys[0] ?? Buffer.alloc(0));
    if (values.length === 0 && field.type === FieldType.bytes) return key;
    const value = this.#value(field, values[0] ?? Buffer.alloc(0), depth);
    return value === undefined ? undefined : Buffer.concat([key, delimited(2, value)]);
  }
}

/** A value with more fields than this that are not as Kubernetes writes them was made to waste time. */
const MOST_FIELDS = 1_000_000;

const empties = new WeakMap<MessagePlan, Buffer>();
const ascendingFields = new WeakMap<MessagePlan, readonly FieldPlan[]>();

function ascending(plan: MessagePlan): readonly FieldPlan[] {
  let fields = ascendingFields.get(plan);
  if (fields === undefined) {
    fields = [...plan.fields].sort((a, b) => a.number - b.number);
    ascendingFields.set(plan, fields);
  }
  return fields;
}

/** Numbers, truncated as Go truncates them; lists of them also packed. */
function numbers(field: FieldPlan, raws: readonly RawField[], aside: Buffer[]): Buffer[] {
  const parts: Buffer[] = [];
  for (const { bytes } of raws) {
    const wire = varint32At(bytes, 0, bytes.length) & 7;
    const start = varintEnd;
    const packed = wire === 2 && field.cardinality === 'list';
    if (wire !== field.wire && !packed) aside.push(bytes);
    else if (packed) for (const part of unpack(field, bytes, start)) parts.push(part);
    else {
      const part = number(field, bytes, start);
      if (part === undefined) aside.push(bytes);
      else parts.push(part);
    }
  }
  if (field.cardinality === 'list') return parts;
  return parts.length === 0 && field.always ? [number(field, Buffer.alloc(8), 0) as Buffer] : parts.slice(-1);
}

function unpack(field: FieldPlan, bytes: Buffer, lengthAt: number): Buffer[] {
  varint32At(bytes, lengthAt, bytes.length);
  const parts: Buffer[] = [];
  for (let at = varintEnd; at < bytes.length; ) {
    if (field.wire === 1 && at + 8 > bytes.length) throw new FerryError('damaged', 'a protobuf message is cut short');
    const part = number(field, bytes, at);
    if (part === undefined) throw new FerryError('damaged', 'a number is not finite');
    at = field.wire === 1 ? at + 8 : varintEnd;
    parts.push(part);
  }
  return parts;
}

/** One number with its tag; leaves `varintEnd` just past a varint. */
function number(field: FieldPlan, bytes: Buffer, at: number): Buffer | undefined {
  const out = new BackWriter();
  if (field.wire === 1) {
    const value = bytes.readDoubleLE(at);
    if (!Number.isFinite(value)) return undefined;
    out.double(value);
  } else {
    const value = BigInt(int64At(bytes, at, bytes.length));
    out.varint(field.type === FieldType.bool ? (value === 0n ? 0 : 1) : field.type === FieldType.int32 ? BigInt.asIntN(32, value) : value);
  }
  out.tag(field.number, field.wire);
  return out.take();
}

function isMessage(field: FieldPlan): boolean {
  return field.type !== FieldType.string && field.type !== FieldType.bytes;
}

/** A field that Kubernetes writes even when it is zero. */
function zero(field: FieldPlan, normalizer: Normalizer, depth: number): Buffer {
  const empty = Buffer.alloc(8);
  if (field.wire !== 2) return number(field, empty, 0) as Buffer;
  const none = Buffer.alloc(0);
  switch (field.type) {
    case FieldType.message:
      return delimited(field.number, normalizer.message(field.message as MessagePlan, none, depth + 1));
    case FieldType.duration:
      return delimited(field.number, normalDuration(none) as Buffer);
    case FieldType.quantity:
      return delimited(field.number, normalQuantity(none) as Buffer);
    case FieldType.intOrString:
      return delimited(field.number, normalIntOrString(none) as Buffer);
    case FieldType.schemaOrBool:
      return delimited(field.number, Buffer.from([0x08, 0]));
    default:
      return delimited(field.number, none);
  }
}
