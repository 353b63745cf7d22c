import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { crc32c } from '../../src/wire/crc32c.js';
import { encodeFields } from '../../src/wire/fields.js';
import { openSnap } from '../../src/wire/snap.js';
import { bytes, uint64 } from '../support/arbitrary.js';
import { bytesSource } from '../support/wal.js';

function snap(state: Buffer, index: bigint, term: bigint): Buffer {
  const metadata = encodeFields([
    [0x0a, encodeFields([[0x08, 77n]])],
    [0x10, index],
    [0x18, term],
  ]);
  const inner = encodeFields([
    [0x0a, state],
    [0x12, metadata],
  ]);
  return encodeFields([
    [0x08, BigInt(crc32c(inner))],
    [0x12, inner],
  ]);
}

describe('a .snap file', () => {
  test('gives its place in the log and its state', async () => {
    await fc.assert(
      fc.asyncProperty(bytes({ maxLength: 300 }), uint64, uint64, async (state, index, term) => {
        const file = snap(state, index, term);
        const found = await openSnap(bytesSource(file));
        expect(found).toMatchObject({ index, term, stateLength: state.length });
        expect(file.subarray(found.stateOffset, found.stateOffset + found.stateLength)).toEqual(state);
      }),
    );
  });

  test('with any byte changed or missing is damaged', async () => {
    const file = snap(Buffer.from('{"Root":{}}'), 5n, 2n);
    const code = (damaged: Buffer): Promise<string> =>
      openSnap(bytesSource(damaged)).then(
        () => 'opened',
        (thrown: unknown) => (thrown instanceof FerryError ? thrown.code : String(thrown)),
      );
    for (let at = 0; at < file.length; at++) {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] as number) ^ 0x20;
      expect(await code(changed)).toBe('damaged');
      expect(await code(file.subarray(0, at))).toBe('damaged');
    }
  });

  test('of random bytes is refused', async () => {
    await fc.assert(
      fc.asyncProperty(bytes({ maxLength: 60 }), async (noise) => {
        const thrown: unknown = await openSnap(bytesSource(noise)).catch((error: unknown) => error);
        expect(thrown).toBeInstanceOf(FerryError);
        expect((thrown as FerryError).code).toBe('damaged');
      }),
    );
  });
});
