import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { showKey } from '../../src/convert/key-text.js';
import { LEASE_TTL_RULES, ttlWish } from '../../src/convert/lease-ttl.js';
import { prefixEnd, startsWith } from '../../src/selection/prefix.js';
import { bytes } from '../support/arbitrary.js';
import { lease } from '../support/source.js';

describe('ttlWish', () => {
  const seenAt = 1_700_000_000_000;
  const seen = lease(5n, 60n, 20n, seenAt);

  it('gives the granted TTL, or what remained, or what is left until the deadline', () => {
    const now = seenAt + 5_500;
    expect(ttlWish(seen, 'granted', now)).toEqual({ kind: 'lease', ttl: 60n });
    expect(ttlWish(seen, 'remaining', now)).toEqual({ kind: 'lease', ttl: 20n });
    // 14.5 s are left: rounded up, since a key must not go before its time.
    expect(ttlWish(seen, 'deadline', now)).toEqual({ kind: 'lease', ttl: 15n });
    expect(ttlWish(seen, 'drop', now)).toEqual({ kind: 'none' });
  });

  it('tells a deadline that has passed, to the millisecond', () => {
    expect(ttlWish(seen, 'deadline', seenAt + 19_999)).toEqual({ kind: 'lease', ttl: 1n });
    expect(ttlWish(seen, 'deadline', seenAt + 20_000)).toEqual({ kind: 'past' });
  });

  it('never makes a key of a vanished lease permanent, unless leases are dropped', () => {
    const gone = lease(5n, 0n, -1n, seenAt);
    expect(LEASE_TTL_RULES.map((rule) => ttlWish(gone, rule, seenAt).kind)).toEqual(['vanished', 'vanished', 'past', 'none']);
  });

  it('always asks for a TTL that etcd takes', () => {
    const ttl = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(
        ttl,
        ttl,
        fc.constantFrom(...LEASE_TTL_RULES),
        fc.integer({ min: -1e12, max: 1e12 }),
        (granted, remaining, rule, passed) => {
          const wish = ttlWish(lease(5n, granted, remaining, seenAt), rule, seenAt + passed);
          if (wish.kind === 'lease') expect(wish.ttl >= 1n && wish.ttl <= 9_000_000_000n).toBe(true);
        },
      ),
    );
  });
});

describe('prefixEnd', () => {
  it('separates the keys under a prefix from those above', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 4 }), bytes({ maxLength: 6 }), (prefix, key) => {
        const end = prefixEnd(prefix);
        const inRange = Buffer.compare(key, prefix) >= 0 && (end === undefined || Buffer.compare(key, end) < 0);
        expect(inRange).toBe(startsWith(key, prefix));
      }),
    );
    expect(prefixEnd(Buffer.from([0x61, 0xff, 0xff]))).toEqual(Buffer.from('b'));
    expect(prefixEnd(Buffer.from([0xff]))).toBeUndefined();
  });
});

describe('showKey', () => {
  it('quotes text, shows other bytes in hex, and cuts what is long', () => {
    expect(showKey(Buffer.from('/ä\n'))).toBe('"/ä\\n"');
    expect(showKey(Buffer.from([0xff, 0x00]))).toBe('0xff00');
    expect(showKey(Buffer.alloc(500, 'a'))).toBe(`"${'a'.repeat(200)}"… (500 bytes)`);
  });
});
