import { describe, expect, test } from 'vitest';
import { headerLine, parseState, type StateHeader, stateLine } from '../../src/jobs/migrate-state-file.js';
import { digestOf, sample } from '../../src/jobs/migrate-state-target.js';
import { failure } from '../support/v2.js';

const header: StateHeader = { schema: 'etcdferry.migrate-state/v1', source: 'a1', target: 'b2', work: 'c3' };
const [a, b] = [Buffer.from('/a b\n'), Buffer.from([0xff, 0])];
const lines = [
  stateLine.source(77n),
  stateLine.ours(5n, 9n),
  stateLine.witness({ key: a, revision: 9n }),
  stateLine.run(10n),
  stateLine.sent(1, 'd1', a, b),
  stateLine.lease(0x7632000000000001n),
  stateLine.sent(2, 'd2', b, b),
  stateLine.wrote(2, 12n),
  stateLine.sent(3, 'd3', a, a),
  stateLine.failed(3),
  stateLine.run(20n),
  stateLine.lease(4n),
  stateLine.noLease(4n),
  stateLine.sent(1, 'd4', a, b),
  stateLine.wrote(1, 22n),
];
const text = headerLine(header) + lines.join('');

describe('a state file', () => {
  test('tells what was written, what is in doubt, and what proves it', () => {
    const state = parseState(text, 'x');
    expect(state.header).toEqual(header);
    expect(state.revisions.ranges()).toEqual([
      [5n, 9n],
      [12n, 12n],
      [22n, 22n],
    ]);
    expect(state.doubts).toEqual([{ digest: 'd1', first: a, last: b, above: 10n }]);
    expect([...state.leases]).toEqual([0x7632000000000001n]);
    expect(state.witnesses).toEqual([
      { key: a, revision: 9n },
      { key: b, revision: 12n },
      { key: a, revision: 22n },
    ]);
    expect(state.sourceIndex).toBe(77n);
  });

  test('can be cut anywhere behind its first line: what was sent is never taken for written', () => {
    for (let end = headerLine(header).length; end < text.length; end++) {
      const state = parseState(text.slice(0, end), 'x');
      const whole = text.slice(0, end).split('\n').slice(0, -1);
      expect(state.revisions.has(22n)).toBe(whole.includes('wrote 1 22'));
      expect(state.revisions.has(12n)).toBe(whole.includes('wrote 2 12'));
    }
  });

  test('of another kind, or with a line that makes no sense, is refused', async () => {
    const parse = async (bad: string) => parseState(bad, 'x');
    for (const bad of [
      '',
      'hello\n',
      '{}\n',
      'null\n',
      `${text}wrote 9 1\n`,
      `${text}ours 1\n`,
      `${text}lease x\n`,
      `${text}\n`,
      `${text}sent 1 2\n`,
    ]) {
      expect(await failure(parse(bad))).toMatchObject({ code: 'damaged' });
    }
    expect(await failure(parse(`${JSON.stringify({ ...header, schema: 'etcdferry.migrate-state/v2' })}\n`))).toMatchObject({
      code: 'unknown-format',
    });
  });
});

test('a digest knows keys from values, and not their order', () => {
  const [x, y] = [
    { key: Buffer.from('x'), value: Buffer.from('1') },
    { key: Buffer.from('y'), value: Buffer.from('2') },
  ];
  expect(digestOf([x, y])).toBe(digestOf([y, x]));
  expect(digestOf([x])).not.toBe(digestOf([{ key: Buffer.from('x1'), value: Buffer.alloc(0) }]));
});

test('witnesses are asked newest first, and of all ages', () => {
  const all = Array.from({ length: 100 }, (_, i) => ({ key: a, revision: BigInt(i) }));
  const asked = sample(all).map(({ revision }) => Number(revision));
  expect(asked[0]).toBe(99);
  expect(asked).toHaveLength(8);
  expect(Math.min(...asked)).toBeLessThan(20);
});
