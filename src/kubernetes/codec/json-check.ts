import { isUtf8 } from 'node:buffer';

/** Deepest nesting of messages that is followed: the schema of a CRD has about 100. */
export const DEEPEST_MESSAGES = 200;
/** Deepest nesting of JSON that is followed; Go's own decoder stops at 10,000. */
export const DEEPEST = 1000;

const SPACE = 1;
const DIGIT = 2;
const CLASS = new Uint8Array(256);
for (const byte of Buffer.from(' \t\n\r')) CLASS[byte] = SPACE;
for (const byte of Buffer.from('0123456789')) CLASS[byte] = DIGIT;

const QUOTE = 0x22;
const OBJECT = 0x7b;
const ARRAY = 0x5b;
const stack = new Uint8Array(DEEPEST + 1);

/**
 * Whether bytes are one JSON text (RFC 8259), nested no deeper than DEEPEST. Strings are not
 * checked for UTF-8.
 */
export function isJson(bytes: Uint8Array, start: number, end: number): boolean {
  let depth = 0;
  let at = skipSpace(bytes, start, end);
  while (at >= 0 && at < end) {
    const byte = bytes[at] as number;
    if (byte === OBJECT || byte === ARRAY) {
      if (++depth > DEEPEST) return false;
      stack[depth] = byte;
      at = skipSpace(bytes, at + 1, end);
      if (bytes[at] !== byte + 2) {
        at = element(bytes, at, end, byte);
        continue;
      }
    } else at = skipSpace(bytes, scalar(bytes, at, end), end);
    // A value has ended; so may those around it.
    while (depth > 0 && at >= 0 && at < end && bytes[at] === (stack[depth] as number) + 2) {
      depth--;
      at = skipSpace(bytes, at + 1, end);
    }
    if (depth === 0) return at === end;
    if (at < 0 || at >= end || bytes[at] !== 0x2c) return false;
    at = element(bytes, skipSpace(bytes, at + 1, end), end, stack[depth] as number);
  }
  return false;
}

/** @returns where the value of an object's member or a list's element begins, -1 when there is none */
function element(bytes: Uint8Array, at: number, end: number, container: number): number {
  return container === OBJECT ? member(bytes, at, end) : at;
}

/** @returns where the member's value begins, -1 when there is no name and colon */
function member(bytes: Uint8Array, at: number, end: number): number {
  if (bytes[at] !== QUOTE || at >= end) return -1;
  const after = string(bytes, at + 1, end);
  if (after < 0) return -1;
  const colon = skipSpace(bytes, after, end);
  return colon < end && bytes[colon] === 0x3a ? skipSpace(bytes, colon + 1, end) : -1;
}

function scalar(bytes: Uint8Array, at: number, end: number): number {
  switch (bytes[at]) {
    case QUOTE:
      return string(bytes, at + 1, end);
    case 0x74:
      return word(bytes, at, end, 'true');
    case 0x66:
      return word(bytes, at, end, 'false');
    case 0x6e:
      return word(bytes, at, end, 'null');
    default:
      return number(bytes, at, end);
  }
}

/** @returns just past the closing quote, -1 when the string is not right */
function string(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) return at + 1;
    if (byte < 0x20) return -1;
    if (byte !== 0x5c) continue;
    at++;
    const escaped = bytes[at] as number;
    if (escaped === 0x75) {
      for (let k = 1; k <= 4; k++) if (!isHex(bytes[at + k] as number)) return -1;
      at += 4;
    } else if (!'"\\/bfnrt'.includes(String.fromCharCode(escaped))) return -1;
  }
  return -1;
}

function number(bytes: Uint8Array, start: number, end: number): number {
  let at = bytes[start] === 0x2d ? start + 1 : start;
  const whole = digits(bytes, at, end);
  if (whole === at || (bytes[at] === 0x30 && whole > at + 1)) return -1;
  at = whole;
  if (at < end && bytes[at] === 0x2e) {
    at = digits(bytes, at + 1, end);
    if (at === whole + 1) return -1;
  }
  if (at < end && (bytes[at] === 0x65 || bytes[at] === 0x45)) {
    at++;
    if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++;
    const after = digits(bytes, at, end);
    return after === at ? -1 : after;
  }
  return at;
}

function digits(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && CLASS[bytes[at] as number] === DIGIT) at++;
  return at;
}

function word(bytes: Uint8Array, at: number, end: number, text: string): number {
  for (let k = 0; k < text.length; k++) if (at + k >= end || bytes[at + k] !== text.charCodeAt(k)) return -1;
  return at + text.length;
}

/** A negative start is given back as it is. */
function skipSpace(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  if (at < 0) return at;
  while (at < end && CLASS[bytes[at] as number] === SPACE) at++;
  return at;
}

function isHex(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

/** Whether bytes are one JSON text in UTF-8. */
export function isUtf8Json(bytes: Buffer, start: number, end: number): boolean {
  return isJson(bytes, start, end) && isUtf8(bytes.subarray(start, end));
}
