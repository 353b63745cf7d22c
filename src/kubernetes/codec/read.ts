import { FerryError } from '../../errors.js';
import { type FieldPlan, FieldType, isPointer, type MessagePlan, UNKNOWN_MEMBER } from '../schema/plan.js';
import { DEEPEST_MESSAGES } from './json-check.js';
import type { JsonOutput } from './json-output.js';
import { MessageIndex } from './message-index.js';
import { MISFIT } from './misfit.js';
import {
  isInt32,
  isZeroTime,
  onlyField,
  writeDouble,
  writeDuration,
  writeInt64,
  writeIntOrString,
  writeQuantity,
  writeRaw,
  writeTime,
} from './special.js';
import { int64At, varint32At, varintEnd } from './varint-at.js';

const OBJECT = 0x7b;
const OBJECT_END = 0x7d;
const ARRAY = 0x5b;
const ARRAY_END = 0x5d;

/**
 * Writes protobuf messages as the JSON that Go's encoding/json makes of the same objects: members in
 * the order of the Go struct, left out or null by the rules of its tags. It reads only what
 * Kubernetes itself would have written; anything else ends in MISFIT, and normalize.ts puts it right.
 */
export class MessageReader {
  /** Set when null was written for a field that another release may just not have had. */
  doubtful = false;
  readonly #out: JsonOutput;
  readonly #index = new MessageIndex();

  /** After MISFIT: the message that did not fit by its fields; undefined when it was a value. */
  get misfit(): MessagePlan | undefined {
    return this.#index.failed;
  }

  constructor(out: JsonOutput) {
    this.#out = out;
  }

  /**
   * Writes the members of a message, each with a comma after it.
   *
   * @throws MISFIT when the plan's release would not have written this
   * @throws FerryError `damaged` when it does not parse
   */
  root(plan: MessagePlan, bytes: Buffer, start: number, end: number): void {
    this.#index.release(0);
    this.doubtful = false;
    this.#members(plan, bytes, start, end, 0, '');
  }

  #message(plan: MessagePlan, bytes: Buffer, start: number, end: number, depth: number): void {
    this.#out.byte(OBJECT);
    this.#members(plan, bytes, start, end, depth, '');
    this.#out.close(OBJECT_END);
  }

  /** @param inlined where the message stands in its owners, when its members stand among theirs: `.2` */
  #members(plan: MessagePlan, bytes: Buffer, start: number, end: number, depth: number, inlined: string): void {
    if (depth > DEEPEST_MESSAGES) throw new FerryError('damaged', `messages are nested more than ${DEEPEST_MESSAGES} deep`);
    const { fields } = plan;
    const base = this.#index.add(plan, bytes, start, end);
    for (let slot = 0; slot < fields.length; slot++) {
      const field = fields[slot] as FieldPlan;
      const at = this.#index.start(base, slot);
      if (at === -1) {
        if (field.omitEmpty) continue;
        this.doubtful ||= field.isYoung;
        this.#null(field);
      } else if (field.cardinality === 'one') this.#one(field, bytes, at, this.#index.end(base, slot), depth, inlined);
      else {
        this.#key(field);
        if (field.cardinality === 'list') this.#list(field, bytes, at, this.#index.end(base, slot), depth);
        else this.#map(field, bytes, at, this.#index.end(base, slot), depth);
        this.#out.comma();
      }
    }
    const unknown = this.#index.start(base, fields.length);
    if (unknown !== -1) {
      this.#out.ascii(`"${UNKNOWN_MEMBER}${inlined}":`);
      this.#out.base64(bytes, unknown, this.#index.end(base, fields.length));
      this.#out.comma();
    }
    this.#index.release(base);
  }

  #key(field: FieldPlan): void {
    this.#out.copy(field.key, 0, field.key.length);
  }

  #null(field: FieldPlan): void {
    this.#key(field);
    this.#out.ascii('null');
    this.#out.comma();
  }

  #one(field: FieldPlan, bytes: Buffer, start: number, end: number, depth: number, inlined: string): void {
    if (field.json === '') {
      this.#members(field.message as MessagePlan, bytes, start, end, depth + 1, `${inlined}.${field.number}`);
      return;
    }
    if (field.omitEmpty && isEmpty(field, bytes, start, end)) return;
    this.#key(field);
    this.#value(field, bytes, start, end, depth);
    this.#out.comma();
  }

  #value(field: FieldPlan, bytes: Buffer, start: number, end: number, depth: number): void {
    const out = this.#out;
    switch (field.type) {
      case FieldType.string:
        out.string(bytes, start, end);
        return;
      case FieldType.message:
        this.#message(field.message as MessagePlan, bytes, start, end, depth + 1);
        return;
      case FieldType.bool:
        out.ascii(bool(bytes, start) ? 'true' : 'false');
        return;
      case FieldType.int32:
        writeInt64(out, int32(bytes, start, end));
        return;
      case FieldType.int64:
        writeInt64(out, int64At(bytes, start, end));
        return;
      case FieldType.double:
        writeDouble(out, bytes, start);
        return;
      case FieldType.bytes:
        out.base64(bytes, start, end);
        return;
      case FieldType.time:
      case FieldType.microTime:
        writeTime(out, bytes, start, end, field.type === FieldType.microTime);
        return;
      default:
        this.#special(field, bytes, start, end, depth);
    }
  }

  #special(field: FieldPlan, bytes: Buffer, start: number, end: number, depth: number): void {
    const out = this.#out;
    switch (field.type) {
      case FieldType.duration:
        writeDuration(out, bytes, start, end);
        return;
      case FieldType.quantity:
        writeQuantity(out, bytes, start, end);
        return;
      case FieldType.intOrString:
        writeIntOrString(out, bytes, start, end);
        return;
      case FieldType.raw:
        // `null` for a pointer would be read again as no field at all.
        if (start === end && isPointer(field)) throw MISFIT;
        writeRaw(out, bytes, start, end);
        return;
      case FieldType.strings:
        this.#strings(bytes, start, end, 0x0a);
        return;
      default:
        this.#schema(field, bytes, start, end, depth);
    }
  }

  /** The elements of a list: the fields with its number, between which others may stand. */
  #list(field: FieldPlan, bytes: Buffer, start: number, end: number, depth: number): void {
    this.#out.byte(ARRAY);
    const wanted = field.number * 8 + field.wire;
    for (let at = start; at < end; ) {
      if (varint32At(bytes, at, end) !== wanted) throw MISFIT;
      let valueAt = varintEnd;
      if (field.wire === 2) {
        at = varint32At(bytes, valueAt, end);
        valueAt = varintEnd;
        at += valueAt;
      } else at = field.wire === 1 ? valueAt + 8 : varintAfter(bytes, valueAt, end);
      this.#value(field, bytes, valueAt, at, depth);
      this.#out.comma();
    }
    this.#out.close(ARRAY_END);
  }

  /** Entries {key=1, value=2}, which Kubernetes writes in the order of their keys. */
  #map(field: FieldPlan, bytes: Buffer, start: number, end: number, depth: number): void {
    const out = this.#out;
    out.byte(OBJECT);
    let [lastKey, lastEnd] = [-1, -1];
    const wanted = field.number * 8 + 2;
    for (let at = start; at < end; ) {
      if (varint32At(bytes, at, end) !== wanted) throw MISFIT;
      const length = varint32At(bytes, varintEnd, end);
      at = varintEnd;
      const entryEnd = at + length;
      if (bytes[at] !== 0x0a || length < 2) throw MISFIT;
      const keyLength = varint32At(bytes, at + 1, entryEnd);
      const keyAt = varintEnd;
      const keyEnd = keyAt + keyLength;
      if (keyEnd > entryEnd || (lastKey >= 0 && bytes.compare(bytes, lastKey, lastEnd, keyAt, keyEnd) <= 0)) throw MISFIT;
      [lastKey, lastEnd] = [keyAt, keyEnd];
      out.string(bytes, keyAt, keyEnd);
      out.byte(0x3a);
      this.#mapValue(field, bytes, keyEnd, entryEnd, depth);
      out.comma();
      at = entryEnd;
    }
    out.close(OBJECT_END);
  }

  #mapValue(field: FieldPlan, bytes: Buffer, at: number, end: number, depth: number): void {
    if (at === end && field.type === FieldType.bytes) {
      // As Go's decoder has it, for whom a value that is absent is empty; written again, it is there.
      this.#out.ascii('""');
      this.#out.replaced = true;
      return;
    }
    if (at >= end || bytes[at] !== 0x12) throw MISFIT;
    const length = varint32At(bytes, at + 1, end);
    if (varintEnd + length !== end) throw MISFIT;
    this.#value(field, bytes, varintEnd, end, depth);
  }

  /** A list of strings, all under one tag, and nothing else. */
  #strings(bytes: Buffer, start: number, end: number, tag: number): void {
    this.#out.byte(ARRAY);
    for (let at = start; at < end; ) {
      if (bytes[at] !== tag) throw MISFIT;
      const length = varint32At(bytes, at + 1, end);
      at = varintEnd + length;
      if (at > end) throw MISFIT;
      this.#out.string(bytes, varintEnd, at);
      this.#out.comma();
    }
    this.#out.close(ARRAY_END);
  }

  /** JSONSchemaPropsOrBool{allows=1, schema=2}, …OrArray{schema=1, schemas=2}, …OrStringArray{schema=1, property=2}. */
  #schema(field: FieldPlan, bytes: Buffer, start: number, end: number, depth: number): void {
    const message = field.message as MessagePlan;
    if (field.type === FieldType.schemaOrBool) {
      if (end - start < 2 || bytes[start] !== 0x08) throw MISFIT;
      if (end - start === 2) this.#out.ascii(bool(bytes, start + 1) ? 'true' : 'false');
      else {
        if (bytes[start + 1] !== 1 || bytes[start + 2] !== 0x12) throw MISFIT;
        const length = varint32At(bytes, start + 3, end);
        if (varintEnd + length !== end) throw MISFIT;
        this.#message(message, bytes, varintEnd, end, depth + 1);
      }
    } else if (start === end) this.#out.ascii('null');
    else if (bytes[start] === 0x0a) this.#message(message, bytes, onlyField(bytes, start, end), end, depth + 1);
    else if (field.type === FieldType.schemaOrStrings) this.#strings(bytes, start, end, 0x12);
    else this.#schemas(message, bytes, start, end, depth);
  }

  #schemas(message: MessagePlan, bytes: Buffer, start: number, end: number, depth: number): void {
    this.#out.byte(ARRAY);
    for (let at = start; at < end; ) {
      if (bytes[at] !== 0x12) throw MISFIT;
      const length = varint32At(bytes, at + 1, end);
      const valueAt = varintEnd;
      at = valueAt + length;
      if (at > end) throw MISFIT;
      this.#message(message, bytes, valueAt, at, depth + 1);
      this.#out.comma();
    }
    this.#out.close(ARRAY_END);
  }
}

/** What `omitempty` and `omitzero` leave out of a field that is there; a pointer to a zero is shown. */
function isEmpty(field: FieldPlan, bytes: Buffer, start: number, end: number): boolean {
  if (!field.always) return field.type === FieldType.bytes && start === end;
  switch (field.type) {
    case FieldType.string:
      return start === end;
    case FieldType.bool:
    case FieldType.int32:
    case FieldType.int64:
      return bytes[start] === 0;
    case FieldType.double:
      return bytes.readDoubleLE(start) === 0;
    default:
      return field.omitZero && isZeroTime(bytes, start, end);
  }
}

function bool(bytes: Buffer, at: number): boolean {
  if ((bytes[at] as number) > 1) throw MISFIT;
  return bytes[at] === 1;
}

function int32(bytes: Buffer, at: number, end: number): number {
  const value = int64At(bytes, at, end);
  if (!isInt32(value)) throw MISFIT;
  return value as number;
}

function varintAfter(bytes: Buffer, at: number, end: number): number {
  int64At(bytes, at, end);
  return varintEnd;
}
