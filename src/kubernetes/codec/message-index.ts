import { FerryError } from '../../errors.js';
import { type FieldPlan, type MessagePlan, UNKNOWN_NUMBER } from '../schema/plan.js';
import { MISFIT } from './misfit.js';
import { skipValueAt, varint32At, varintEnd } from './varint-at.js';

/**
 * Where the fields of a message and of those around it lie. Two numbers a field, by its place in
 * the plan: of a single field, where its value begins and ends; of a list or map, where its first
 * tag begins and its last element ends. -1: absent. Then the same for what the plan does not know.
 */
export class MessageIndex {
  #places: Int32Array = new Int32Array(8192);
  #top = 0;
  /** The message whose fields were being looked for when `add` threw; undefined otherwise. */
  failed: MessagePlan | undefined;

  /**
   * Finds the fields of a message.
   *
   * @returns where its entries begin; hand it to `start`, `end` and, last, to `release`
   * @throws MISFIT when a field the plan always expects is absent, one is not known, or one that is single comes twice
   * @throws FerryError `damaged` when it does not parse
   */
  add(plan: MessagePlan, bytes: Uint8Array, start: number, end: number): number {
    this.failed = plan;
    const base = this.#top;
    const size = plan.fields.length * 2 + 2;
    if (base + size > this.#places.length) this.#grow(base + size);
    this.#top = base + size;
    const places = this.#places;
    places.fill(-1, base, this.#top);
    const { slots, fields } = plan;
    for (let at = start; at < end; ) {
      const tagAt = at;
      let tag = bytes[at] as number;
      if (tag < 0x80) at++;
      else {
        tag = varint32At(bytes, at, end);
        at = varintEnd;
      }
      const number = tag >>> 3;
      const wire = tag & 7;
      if (number === 0) throw new FerryError('damaged', 'a protobuf field has number 0');
      let valueAt = at;
      // Lengths and varints of one byte, by far the most, are stepped over at once.
      const byte = at < end ? (bytes[at] as number) : 0x80;
      if (byte < 0x80 && wire === 2) {
        valueAt = at + 1;
        at = valueAt + byte;
        if (at > end) skipValueAt(bytes, valueAt - 1, end, wire);
      } else if (byte < 0x80 && wire === 0) at++;
      else {
        at = skipValueAt(bytes, at, end, wire);
        if (wire === 2) {
          varint32At(bytes, valueAt, end);
          valueAt = varintEnd;
        }
      }
      const slot = number < slots.length ? (slots[number] as number) : 0;
      if (slot === 0) this.#put(unknownPlace(number, base + size), true, tagAt, valueAt, at);
      else {
        const field = fields[slot - 1] as FieldPlan;
        if (field.wire !== wire) throw MISFIT;
        this.#put(base + slot * 2 - 2, field.cardinality === 'one', tagAt, valueAt, at);
      }
    }
    for (const index of plan.always) if (places[base + index * 2] === -1) throw MISFIT;
    this.failed = undefined;
    return base;
  }

  #put(place: number, isSingle: boolean, tagAt: number, valueAt: number, end: number): void {
    const places = this.#places;
    if (places[place] === -1) places[place] = isSingle ? valueAt : tagAt;
    else if (isSingle) throw MISFIT;
    places[place + 1] = end;
  }

  /** @param slot the field's place in the plan; its number of fields stands for what is not known */
  start(base: number, slot: number): number {
    return this.#places[base + slot * 2] as number;
  }

  end(base: number, slot: number): number {
    return this.#places[base + slot * 2 + 1] as number;
  }

  /** Forgets this message and what was added after it. */
  release(base: number): void {
    this.#top = base;
  }

  #grow(size: number): void {
    const larger = new Int32Array(Math.max(size, this.#places.length * 2));
    larger.set(this.#places);
    this.#places = larger;
  }
}

/** Only the normalizer writes this number, and only for a plan of the union (normalize.ts). */
function unknownPlace(number: number, end: number): number {
  if (number !== UNKNOWN_NUMBER) throw MISFIT;
  return end - 2;
}
