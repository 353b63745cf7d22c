import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { type Damage, type JsonHandler, JsonScanner } from '../../src/replay/json-scanner.js';
import { bytes } from '../support/arbitrary.js';

/** Builds the value that JSON.parse would. */
class ValueHandler implements JsonHandler {
  readonly #stack: { value: unknown[] | Record<string, unknown>; key: string }[] = [];
  readonly damages: Damage[] = [];
  result: unknown;

  open(kind: 'object' | 'array'): void {
    const value = kind === 'array' ? [] : Object.create(null);
    this.#add(value);
    this.#stack.push({ value, key: '' });
  }

  close(): void {
    this.#stack.pop();
  }

  key(text: Buffer): void {
    const top = this.#stack.at(-1);
    if (top !== undefined) top.key = text.toString();
  }

  string(text: Buffer, damage: Damage): void {
    this.damages.push(damage);
    this.#add(text.toString());
  }

  literal(text: string): void {
    this.#add(JSON.parse(text));
  }

  #add(value: unknown): void {
    const top = this.#stack.at(-1);
    if (top === undefined) this.result = value;
    else if (Array.isArray(top.value)) top.value.push(value);
    else top.value[top.key] = value;
  }
}

function scan(text: Buffer, step: number): ValueHandler {
  const handler = new ValueHandler();
  const scanner = new JsonScanner(handler, 1 << 20);
  for (let at = 0; at < text.length; at += step) scanner.write(text.subarray(at, at + step));
  scanner.end();
  return handler;
}

/** The string inside an array, as the scanner gives it. */
const damagesOf = (text: string): Damage[] => scan(Buffer.from(text), 5).damages;

describe('the JSON scanner', () => {
  test('reads what JSON.parse reads, however it is cut', () => {
    const json = fc.jsonValue({ maxDepth: 3 });
    const document = fc.oneof(fc.array(json, { maxLength: 5 }), fc.dictionary(fc.string({ unit: 'binary' }), json, { maxKeys: 5 }));
    fc.assert(
      fc.property(document, fc.integer({ min: 1, max: 20 }), fc.boolean(), (value, step, spaced) => {
        const text = JSON.stringify(value, undefined, spaced ? 1 : 0);
        // Half of a surrogate pair is written as an escape; Go reads U+FFFD for it, as Buffer does.
        const expected = JSON.parse(text.replace(/\\ud[89a-f][0-9a-f]{2}/g, '\\ufffd'));
        expect(JSON.parse(JSON.stringify(scan(Buffer.from(text), step).result))).toEqual(JSON.parse(JSON.stringify(expected)));
      }),
    );
  });

  test('tells what Go has put in the place of bytes from what was always there', () => {
    expect(damagesOf('["plain", "é", "a\\ufffdb", "a\ufffdb", "\\ud83d\\ude00", "\\ud83d"]')).toEqual([
      'none',
      'none',
      'certain',
      'possible',
      'none',
      'certain',
    ]);
  });

  test('refuses what JSON.parse refuses, and never does worse', () => {
    const pieces = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '\\u12', 'null', '1', ' ', '"a"');
    const noise = fc.oneof(
      bytes({ maxLength: 30 }),
      fc.array(pieces, { maxLength: 12 }).map((parts) => Buffer.from(parts.join(''))),
    );
    fc.assert(
      fc.property(noise, fc.integer({ min: 1, max: 5 }), (text, step) => {
        try {
          scan(text, step);
        } catch (thrown) {
          // The handler here parses literals with JSON.parse.
          if (thrown instanceof SyntaxError) return;
          expect(thrown).toBeInstanceOf(FerryError);
          expect((thrown as FerryError).code).toBe('damaged');
          // A document that is a number alone never ends.
          if (!/^[\s\dentf-]/.test(text.toString())) expect(() => JSON.parse(text.toString())).toThrow();
        }
      }),
      { numRuns: 500 },
    );
  });

  test('bounds the length of a string', () => {
    const scanner = new JsonScanner(new ValueHandler(), 100);
    scanner.write(Buffer.from(`"${'x'.repeat(90)}`));
    expect(() => scanner.write(Buffer.alloc(20, 'x'))).toThrow(FerryError);
  });
});
