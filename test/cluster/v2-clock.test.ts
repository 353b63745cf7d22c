import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnswerClock, offsetText, ServerClock } from '../../src/cluster/v2-clock.js';

const NOW = 1_700_000_000_000;

/** What a server whose clock is `offset` milliseconds ahead says of `time`, in an answer that took `way` each way. */
function answer(clock: ServerClock, offset: number, { time = NOW, way = 5, build = 0 } = {}): AnswerClock {
  const server = time + offset;
  const times = { sentAt: time - way - build, receivedAt: time + way };
  clock.seeDate(new Date(Math.floor(server / 1000) * 1000).toUTCString(), times);
  return new AnswerClock(clock, times);
}

/** A node that the server tells of in the answer at NOW: its expiration by the server's clock, and what is left. */
function nodeOf(offset: number, left: number): readonly [expiration: bigint, ttl: number] {
  return [BigInt(NOW + offset + left) * 1_000_000n, Math.ceil(left / 1000)];
}

const error = (corrected: bigint, left: number): number => Math.abs(Number(corrected / 1_000_000n) - (NOW + left));

describe("a server's clock", () => {
  test('is the same as ours while it is no more than two seconds apart, however late an answer comes', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2000, max: 2000 }), fc.nat(900), fc.nat(60_000), fc.nat(10_000_000), (offset, way, build, left) => {
        const clock = new ServerClock();
        const [expiration, ttl] = nodeOf(offset, left + 1);
        expect(answer(clock, offset, { way: way / 2, build }).endOf(expiration, ttl)).toBe(expiration);
        expect(clock.offset).toBe(0n);
      }),
    );
  });

  test('is corrected for when it is further apart, to within a second and the way of the answer', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3200, max: 10_000_000 }), fc.boolean(), fc.nat(100), fc.nat(10_000_000), (apart, ahead, way, left) => {
        const offset = ahead ? apart : -apart;
        const clock = new ServerClock();
        const [expiration, ttl] = nodeOf(offset, left + 1);
        expect(error(answer(clock, offset, { way }).endOf(expiration, ttl), left + 1)).toBeLessThanOrEqual(600 + way);
      }),
    );
  });

  test('is known as well from an answer that took long, once a quick one was seen', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3200, max: 10_000_000 }),
        fc.boolean(),
        fc.integer({ min: 1000, max: 60_000 }),
        (apart, ahead, build) => {
          const offset = ahead ? apart : -apart;
          const clock = new ServerClock();
          answer(clock, offset, { time: NOW - build });
          const [expiration, ttl] = nodeOf(offset, 100_000);
          expect(error(answer(clock, offset, { build }).endOf(expiration, ttl), 100_000)).toBeLessThanOrEqual(600);
        },
      ),
    );
  });

  test('is told by nodes where no date is, or somebody else has written it', () => {
    const [expiration, ttl] = nodeOf(-3_600_000, 1_800_000);
    for (const dateOffset of [undefined, 0, 7_200_000]) {
      const clock = new ServerClock();
      const answered = dateOffset === undefined ? dated(clock, undefined) : answer(clock, dateOffset);
      expect(error(answered.endOf(expiration, ttl), 1_800_000)).toBeLessThan(1100);
      // The date of the next answer does not count more than what etcd says.
      if (dateOffset !== undefined) answer(clock, dateOffset);
      expect(Number(clock.offset) / 1e6).toBeLessThan(-3_598_000);
    }
  });

  test('is found the same by every answer while it stands', () => {
    const clock = new ServerClock();
    const [expiration, ttl] = nodeOf(-60_300, 500_000);
    const first = answer(clock, -60_300).endOf(expiration, ttl);
    for (let time = NOW; time < NOW + 5000; time += 330)
      expect(answer(clock, -60_300, { time, way: 100 }).endOf(expiration, 0)).toBe(first);
    // A clock that was put right meanwhile is another one.
    answer(clock, 0).endOf(...nodeOf(0, 500_000));
    expect(clock.offset).toBe(0n);
  });

  test('has no say over what never ends, and none where nothing is known of it', () => {
    const clock = new ServerClock();
    expect(answer(clock, 3_600_000).endOf(0n, 0)).toBe(0n);
    expect(dated(new ServerClock(), 'yesterday').endOf(5n, 0)).toBe(5n);
    expect([offsetText(-3_600_400_000_000n), offsetText(61_000_000_000n)]).toEqual(['3600 s behind', '61 s ahead']);
  });
});

function dated(clock: ServerClock, date: string | undefined): AnswerClock {
  const times = { sentAt: NOW - 5, receivedAt: NOW + 5 };
  clock.seeDate(date, times);
  return new AnswerClock(clock, times);
}
