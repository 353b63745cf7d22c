import { FerryError } from '../../errors.js';
import { type FieldPlan, FieldType, type MessagePlan, UNKNOWN_MEMBER } from '../schema/plan.js';
import { BackWriter } from './back-writer.js';
import { DEEPEST_MESSAGES } from './json-check.js';
import { compactJson, type JsonNode } from './json-tree.js';
import {
  boolOf,
  bytesOf,
  doubleOf,
  intOf,
  stringOf,
  writeDuration,
  writeIntOrString,
  writeQuantity,
  writeTime,
  wrongValue,
} from './scalars.js';
import { splitFields } from './unknown-fields.js';

type ObjectNode = JsonNode & { kind: 'object' };

/** Members of the outermost object that stand in the envelope. */
const ENVELOPE_MEMBERS = new Set(['kind', 'apiVersion', '@contentEncoding', '@contentType']);

/**
 * Writes an object's JSON as the message Kubernetes stores: fields by ascending number, everything
 * that is not a pointer, list, map or bytes written even when zero, maps by key.
 */
export class MessageWriter {
  /** Paths of members that no field takes. */
  readonly dropped: string[] = [];
  /** Fields for which a zero was written although no member was given, and which another release may just not have had. */
  readonly doubtful = new Set<string>();
  /** Bit n: generation n would have written the same. */
  alike = 0;
  readonly #text: string;
  #out = new BackWriter();
  readonly #path: (string | number)[] = [];

  /** @param text what the nodes were parsed from */
  constructor(text: string) {
    this.#text = text;
  }

  /**
   * @throws FerryError `usage` naming the member, when a value is not what its field takes
   */
  write(plan: MessagePlan, root: ObjectNode): Buffer {
    this.#out = new BackWriter();
    this.dropped.length = 0;
    this.doubtful.clear();
    this.alike = -1;
    this.#path.length = 0;
    try {
      this.#message(plan, root, ENVELOPE_MEMBERS);
    } catch (thrown) {
      if (thrown instanceof FerryError && thrown.code === 'usage' && this.#path.length > 0 && this.#path.length < DEEPEST_MESSAGES)
        throw new FerryError('usage', `${pathText(this.#path)}: ${thrown.message}`, {
          ...(thrown.hint === undefined ? {} : { hint: thrown.hint }),
        });
      throw thrown;
    }
    return this.#out.take();
  }

  #message(plan: MessagePlan, node: JsonNode | undefined, ignored?: ReadonlySet<string>): void {
    // A message is at most two steps of the path below the one around it.
    if (this.#path.length > DEEPEST_MESSAGES * 2) throw new FerryError('usage', `objects are nested more than ${DEEPEST_MESSAGES} deep`);
    if (node !== undefined && node.kind !== 'object') throw wrongValue('an object', node);
    if (node !== undefined) this.#findDropped(plan, node, ignored);
    this.#fields(plan, node, UNKNOWN_MEMBER);
  }

  #findDropped(plan: MessagePlan, node: ObjectNode, ignored?: ReadonlySet<string>): void {
    const known = memberNames(plan);
    for (const [name, value] of node.members) {
      if (known.has(name) || ignored?.has(name) || value.kind === 'null') continue;
      this.dropped.push(pathText([...this.#path, name]));
    }
  }

  /** Fields from the last to the first, those unknown to the plan in their places. */
  #fields(plan: MessagePlan, node: ObjectNode | undefined, unknownMember: string): void {
    this.alike &= plan.generations;
    const unknown = node?.members.get(unknownMember);
    const raw = unknown === undefined ? [] : splitFields(bytesOf(unknown));
    for (const field of descending(plan)) {
      while ((raw.at(-1)?.number ?? 0) > field.number) this.#out.bytes(raw.pop()?.bytes as Buffer);
      if (field.json === '') {
        const before = this.#out.length;
        this.#fields(field.message as MessagePlan, node, `${unknownMember}.${field.number}`);
        this.#out.close(field.number, before);
        continue;
      }
      const value = node?.members.get(field.json);
      const given = value === undefined || value.kind === 'null' ? undefined : value;
      if (given === undefined && !field.always) continue;
      if (given === undefined && field.isYoung && node !== undefined) this.doubtful.add(`${plan.name}.${field.number}`);
      this.#path.push(field.json);
      this.#field(field, given);
      this.#path.pop();
    }
    while (raw.length > 0) this.#out.bytes(raw.pop()?.bytes as Buffer);
  }

  #field(field: FieldPlan, node: JsonNode | undefined): void {
    if (field.cardinality === 'one') {
      this.#element(field, node, field.number);
      return;
    }
    if (field.cardinality === 'list') {
      if (node?.kind !== 'array') throw wrongValue('a list', node as JsonNode);
      for (let i = node.items.length - 1; i >= 0; i--) {
        this.#path.push(i);
        const item = node.items[i] as JsonNode;
        this.#element(field, item.kind === 'null' ? undefined : item, field.number);
        this.#path.pop();
      }
      return;
    }
    if (node?.kind !== 'object') throw wrongValue('an object', node as JsonNode);
    const entries = [...node.members].map(([name, value]) => ({ name, key: Buffer.from(name), value }));
    for (const { name, key, value } of entries.sort((a, b) => Buffer.compare(b.key, a.key))) {
      this.#path.push(name);
      const before = this.#out.length;
      if (value.kind !== 'null' || field.type !== FieldType.bytes) this.#element(field, value.kind === 'null' ? undefined : value, 2);
      const beforeKey = this.#out.length;
      this.#out.bytes(key);
      this.#out.close(1, beforeKey);
      this.#out.close(field.number, before);
      this.#path.pop();
    }
  }

  /** One value with its tag. `undefined` is the zero of its type. */
  #element(field: FieldPlan, node: JsonNode | undefined, number: number): void {
    const out = this.#out;
    if (field.wire === 0 && field.cardinality !== 'map') {
      const value =
        node === undefined ? 0 : field.type === FieldType.bool ? boolOf(node) : intOf(node, field.type === FieldType.int32 ? 32 : 64);
      out.varint(value);
      out.tag(number, 0);
      return;
    }
    if (field.type === FieldType.double) {
      out.double(node === undefined ? 0 : doubleOf(node));
      out.tag(number, 1);
      return;
    }
    const before = out.length;
    this.#content(field, node);
    out.close(number, before);
  }

  #content(field: FieldPlan, node: JsonNode | undefined): void {
    const out = this.#out;
    switch (field.type) {
      case FieldType.string:
        if (node !== undefined) out.bytes(stringOf(node));
        return;
      case FieldType.bytes:
        if (node !== undefined) out.bytes(bytesOf(node));
        return;
      case FieldType.message:
        this.#message(field.message as MessagePlan, node);
        return;
      case FieldType.time:
      case FieldType.microTime:
        if (node !== undefined) writeTime(out, node, field.type === FieldType.microTime);
        return;
      case FieldType.duration:
        writeDuration(out, node);
        return;
      case FieldType.quantity:
        writeQuantity(out, node);
        return;
      case FieldType.intOrString:
        writeIntOrString(out, node);
        return;
      case FieldType.raw:
        if (node !== undefined) this.#raw(node);
        return;
      case FieldType.strings:
        if (node !== undefined) this.#strings(node, 1);
        return;
      default:
        this.#schema(field, node);
    }
  }

  #raw(node: JsonNode): void {
    const before = this.#out.length;
    const text = this.#text.slice(node.start, node.end);
    // As it stands, so that what was decoded is encoded to the same bytes; but not with the indentation of a file.
    this.#out.bytes(Buffer.from(text.includes('\n') ? compactJson(text) : text));
    this.#out.close(1, before);
  }

  #strings(node: JsonNode, number: number): void {
    if (node.kind !== 'array') throw wrongValue('a list of strings', node);
    for (let i = node.items.length - 1; i >= 0; i--) {
      const before = this.#out.length;
      this.#out.bytes(stringOf(node.items[i] as JsonNode));
      this.#out.close(number, before);
    }
  }

  #schema(field: FieldPlan, node: JsonNode | undefined): void {
    const out = this.#out;
    const plan = field.message as MessagePlan;
    if (field.type === FieldType.schemaOrBool) {
      if (node?.kind === 'object') {
        const before = out.length;
        this.#message(plan, node);
        out.close(2, before);
      }
      out.varint(node === undefined ? 0 : node.kind === 'object' ? 1 : boolOf(node));
      out.byte(0x08);
    } else if (node?.kind === 'object') {
      const before = out.length;
      this.#message(plan, node);
      out.close(1, before);
    } else if (node?.kind === 'array' && field.type === FieldType.schemaOrStrings) this.#strings(node, 2);
    else if (node?.kind === 'array') {
      for (let i = node.items.length - 1; i >= 0; i--) {
        const before = out.length;
        this.#message(plan, node.items[i]);
        out.close(2, before);
      }
    } else if (node !== undefined) throw wrongValue('a schema or a list', node);
  }
}

const descendingFields = new WeakMap<MessagePlan, readonly FieldPlan[]>();

function descending(plan: MessagePlan): readonly FieldPlan[] {
  let fields = descendingFields.get(plan);
  if (fields === undefined) {
    fields = [...plan.fields].sort((a, b) => b.number - a.number);
    descendingFields.set(plan, fields);
  }
  return fields;
}

const knownMembers = new WeakMap<MessagePlan, ReadonlySet<string>>();

/** Names an object of this message may have, those of inlined messages among them. */
function memberNames(plan: MessagePlan): ReadonlySet<string> {
  let names = knownMembers.get(plan);
  if (names === undefined) {
    const found = new Set([UNKNOWN_MEMBER, ...(plan.isKind ? ['kind', 'apiVersion'] : [])]);
    for (const field of plan.fields) {
      if (field.json !== '') found.add(field.json);
      else
        for (const name of memberNames(field.message as MessagePlan))
          found.add(name.startsWith(UNKNOWN_MEMBER) ? name.replace(UNKNOWN_MEMBER, `${UNKNOWN_MEMBER}.${field.number}`) : name);
    }
    names = found;
    knownMembers.set(plan, names);
  }
  return names;
}

/** `spec.containers[0].image`, as kubectl writes it. */
function pathText(path: readonly (string | number)[]): string {
  return path.map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`)).join('');
}
