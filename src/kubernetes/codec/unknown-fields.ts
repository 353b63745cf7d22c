import { FerryError } from '../../errors.js';
import { skipValueAt, varint32At, varintEnd } from './varint-at.js';

/** One field as it stands in a message, tag and all. */
export interface RawField {
  readonly number: number;
  readonly bytes: Buffer;
}

/**
 * Splits a message into its fields.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function splitFields(bytes: Buffer): RawField[] {
  const fields: RawField[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = varint32At(bytes, at, bytes.length);
    if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
    const next = skipValueAt(bytes, varintEnd, bytes.length, tag & 7);
    fields.push({ number: tag >>> 3, bytes: bytes.subarray(at, next) });
    at = next;
  }
  return fields;
}
