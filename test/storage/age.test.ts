import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ByteSink } from '../../src/model/bytes.js';
import { openSealed, sealingSink } from '../../src/storage/age.js';
import type { AgeIdentities, AgeRecipients } from '../../src/storage/age-header.js';
import { memorySource } from '../support/bytes.js';
import { temporaryDirectory } from '../support/temp.js';
import { type AgeKey, ageKey, tool } from '../support/tools.js';

const directory = temporaryDirectory();
const CHUNK = 64 * 1024;
/** Sizes around which chunks begin and end. */
const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17];

let ours: AgeKey;
let other: AgeKey;
beforeAll(async () => {
  ours = await ageKey(join(directory, 'ours'));
  other = await ageKey(join(directory, 'other'));
});

const to = (...keys: AgeKey[]): AgeRecipients => ({ recipients: keys.map(({ recipient }) => recipient) });
const by = (...keys: AgeKey[]): AgeIdentities => ({ identities: keys.map(({ identity }) => identity) });

/** A sink into memory, and what it took. */
function memorySink(): { sink: ByteSink; taken: Buffer[]; done: string[] } {
  const [taken, done]: [Buffer[], string[]] = [[], []];
  const sink: ByteSink = {
    name: 'memory',
    write: async (chunk) => void taken.push(Buffer.from(chunk)),
    finish: async () => void done.push('finish'),
    abort: async () => void done.push('abort'),
  };
  return { sink, taken, done };
}

async function seal(plain: readonly Uint8Array[], recipients: AgeRecipients): Promise<Buffer> {
  const { sink, taken, done } = memorySink();
  const sealing = await sealingSink(sink, recipients);
  for (const chunk of plain) await sealing.write(chunk);
  await sealing.finish();
  expect(done).toEqual(['finish']);
  return Buffer.concat(taken);
}

async function open(sealed: Buffer, identities: AgeIdentities): Promise<Buffer> {
  const bytes = await openSealed(memorySource(sealed, 'x.age'), identities);
  return bytes.read(0, bytes.size);
}

describe('what is sealed here', () => {
  it.each(SIZES)('opens with age -d and here: %i bytes', async (size) => {
    const plain = randomBytes(size);
    const sealed = await seal([plain], to(ours));
    expect((await tool('age', ['-d', '-i', ours.file], sealed)).equals(plain)).toBe(true);
    expect((await open(sealed, by(ours))).equals(plain)).toBe(true);
  });

  it('is the same however it was cut, and any part of it can be read', async () => {
    const plain = randomBytes(5 * CHUNK + 1234);
    const cuts = fc.uniqueArray(fc.nat({ max: plain.length }), { maxLength: 12 });
    const place = fc.tuple(fc.nat({ max: plain.length }), fc.nat({ max: plain.length }));
    await fc.assert(
      fc.asyncProperty(cuts, fc.array(place, { minLength: 1, maxLength: 20 }), async (unsorted, places) => {
        const ends = [...unsorted.sort((a, b) => a - b), plain.length];
        const pieces = ends.map((end, index) => plain.subarray(index === 0 ? 0 : ends[index - 1], end));
        const bytes = await openSealed(memorySource(await seal(pieces, to(ours))), by(ours));
        expect(bytes.size).toBe(plain.length);
        for (const [a, b] of places) {
          const [from, end] = [Math.min(a, b), Math.max(a, b)];
          expect((await bytes.read(from, end - from)).equals(plain.subarray(from, end))).toBe(true);
          const target = Buffer.alloc(end - from);
          await bytes.readInto?.(target, from);
          expect(target.equals(plain.subarray(from, end))).toBe(true);
        }
      }),
      { numRuns: 25 },
    );
  });

  it('opens for each of several recipients', async () => {
    const sealed = await seal([Buffer.from('for both')], to(ours, other));
    for (const key of [ours, other]) {
      expect((await tool('age', ['-d', '-i', key.file], sealed)).toString()).toBe('for both');
      expect((await open(sealed, by(key))).toString()).toBe('for both');
    }
  });
});

describe('what age -e made', () => {
  it.each(SIZES)('opens here: %i bytes', async (size) => {
    const plain = randomBytes(size);
    const sealed = await tool('age', ['-e', '-r', other.recipient, '-r', ours.recipient], plain);
    expect((await open(sealed, by(ours))).equals(plain)).toBe(true);
  });
});

describe('what does not open', () => {
  it('has no identity, or none that fits: said so, with no secret in the line', async () => {
    const sealed = await seal([Buffer.from('x')], to(ours));
    await expect(open(sealed, by())).rejects.toMatchObject({
      code: 'no-identity',
      message: expect.stringContaining('no identity was given'),
    });
    const failure = await open(sealed, by(other)).catch((thrown: Error) => thrown as Error);
    expect(failure).toMatchObject({ code: 'no-identity', message: 'x.age: none of the given identities opens it' });
    const slip = `${other.identity.slice(0, -1)}Q`;
    const refused = (await open(sealed, { identities: [slip] }).catch((thrown: Error) => thrown)) as Error;
    expect(refused).toMatchObject({ code: 'usage' });
    expect(refused.message).not.toContain(slip);
  });

  it.each([
    ['not an age recipient', { recipients: ['age1nothing'] }],
    ['neither a recipient nor a passphrase', { recipients: [] }],
  ])('is not made for what is %s', async (says, recipients) => {
    await expect(sealingSink(memorySink().sink, recipients)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(says),
    });
  });

  it('is cut short anywhere: damaged, said at once', async () => {
    const sealed = await seal([randomBytes(2 * CHUNK + 100)], to(ours));
    const header = sealed.indexOf('\n--- ') + 1 + 48;
    const ends = [header - 60, header - 1, header, header + 15, header + 16, header + 20, header + 32, header + 16 + CHUNK + 16];
    for (const end of [...ends, header + 16 + 2 * (CHUNK + 16), sealed.length - 1]) {
      await expect(openSealed(memorySource(sealed.subarray(0, end)), by(ours)), `${end}`).rejects.toMatchObject({ code: 'damaged' });
    }
    await expect(openSealed(memorySource(Buffer.concat([sealed, Buffer.alloc(1)])), by(ours))).rejects.toMatchObject({ code: 'damaged' });
  });

  it('has a changed bit anywhere behind its recipients: damaged, never other bytes', async () => {
    const sealed = await seal([randomBytes(CHUNK + 1000)], to(ours));
    const mac = sealed.indexOf('\n--- ') + 5;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: mac, max: sealed.length - 1 }), fc.nat({ max: 7 }), async (at, bit) => {
        const changed = Buffer.from(sealed);
        changed[at] = (changed[at] as number) ^ (1 << bit);
        await expect(open(changed, by(ours))).rejects.toMatchObject({ code: 'damaged' });
      }),
      {
        numRuns: 60,
        examples: [
          [mac, 0],
          [mac + 44, 3],
          [sealed.length - 1, 7],
        ],
      },
    );
  });

  it('has its chunks in another order: damaged', async () => {
    const sealed = await seal([randomBytes(3 * CHUNK)], to(ours));
    const start = sealed.indexOf('\n--- ') + 1 + 48 + 16;
    const chunk = (index: number): Buffer => sealed.subarray(start + index * (CHUNK + 16), start + (index + 1) * (CHUNK + 16));
    const swapped = Buffer.concat([sealed.subarray(0, start), chunk(1), chunk(0), chunk(2)]);
    await expect(open(swapped, by(ours))).rejects.toMatchObject({ code: 'damaged' });
  });
});

it('a sink that fails or is aborted takes the stored bytes with it', async () => {
  const { sink, done } = memorySink();
  const sealing = await sealingSink(sink, to(ours));
  await sealing.write(Buffer.from('x'));
  await sealing.abort();
  expect(done).toEqual(['abort']);
});
