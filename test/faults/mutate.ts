/** A number from 0 up to, but not including, `below`. */
export type Random = (below: number) => number;

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)] as T;
}

const KINDS = ['truncated', 'bits flipped', 'spliced', 'random bytes', 'zeroed', 'cut out', 'doubled'] as const;
export type Mutation = (typeof KINDS)[number];

/**
 * Damages bytes in one of the ways files get damaged.
 *
 * @param donor another file of the kind, to splice a piece of
 * @returns the damaged bytes and what was done to them
 */
export function mutate(bytes: Buffer, donor: Buffer, random: Random): { readonly bytes: Buffer; readonly kind: Mutation } {
  const kind = pick(random, KINDS);
  return { bytes: MUTATIONS[kind](bytes, donor, random), kind };
}

const MUTATIONS: Readonly<Record<Mutation, (bytes: Buffer, donor: Buffer, random: Random) => Buffer>> = {
  truncated: (bytes, _, random) => bytes.subarray(0, random(bytes.length)),
  'bits flipped': (bytes, _, random) => {
    const changed = Buffer.from(bytes);
    for (let n = 1 + random(random(3) === 0 ? 64 : 2); n > 0; n--) {
      const at = random(bytes.length);
      changed[at] = (changed[at] as number) ^ (1 << random(8));
    }
    return changed;
  },
  spliced: (bytes, donor, random) => {
    const changed = Buffer.from(bytes);
    const piece = stretch(donor, random);
    piece.copy(changed, random(bytes.length));
    return changed;
  },
  'random bytes': (bytes, _, random) => {
    const changed = Buffer.from(bytes);
    const place = stretch(changed, random);
    for (let i = 0; i < place.length; i++) place[i] = random(256);
    return changed;
  },
  zeroed: (bytes, _, random) => {
    const changed = Buffer.from(bytes);
    stretch(changed, random).fill(0);
    return changed;
  },
  'cut out': (bytes, _, random) => {
    const piece = stretch(bytes, random);
    const at = piece.byteOffset - bytes.byteOffset;
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + piece.length)]);
  },
  doubled: (bytes, _, random) => {
    const piece = stretch(bytes, random);
    const at = piece.byteOffset - bytes.byteOffset;
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
  },
};

/** A stretch of a file: a few bytes, a sector, or a good part of it; often where blocks and pages begin. */
function stretch(bytes: Buffer, random: Random): Buffer {
  const length = Math.min(bytes.length, 1 + random(pick(random, [8, 512, 4096, Math.max(1, bytes.length >> 1)])));
  const at = random(bytes.length - length + 1);
  const from = random(2) === 0 ? at : at - (at % pick(random, [8, 512, 4096]));
  return bytes.subarray(from, from + length);
}
