import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseTime } from '../../src/cluster/v2-time.js';
import { type ParsedNode, TreeParser } from '../../src/cluster/v2-tree-parser.js';
import { FerryError } from '../../src/errors.js';
import { uint64 } from '../support/arbitrary.js';

const TESTDATA = join(import.meta.dirname, '../../testdata/etcd-v2');
const real = (name: string): Buffer => {
  const bytes = readFileSync(join(TESTDATA, name));
  return name.endsWith('.gz') ? gunzipSync(bytes) : bytes;
};

/** One line per node, parents first: all that the parser told of it. */
interface Seen {
  path: string;
  dir: boolean;
  value: string;
  expiration: bigint;
  created: bigint;
  modified: bigint;
  lost: string;
}

function parse(answer: Buffer, cuts: readonly number[] = []): Seen[] {
  const seen: Seen[] = [];
  const open: Seen[] = [];
  const keep = (node: ParsedNode, created: bigint, modified: bigint): Seen => {
    const lost = `${node.pathReplaced ? 'path' : ''}${node.valueReplaced ? 'value' : ''}`;
    const { path, dir, value, expiration } = node;
    const kept = { path: path.toString('latin1'), dir, value: value.toString('latin1'), expiration, created, modified, lost };
    seen.push(kept);
    return kept;
  };
  const parser = new TreeParser({
    enter: (node) => open.push(keep(node, 0n, 0n)),
    leave: (created, modified) => Object.assign(open.pop() as Seen, { created, modified }),
    leaf: keep,
  });
  let from = 0;
  for (const cut of [...new Set(cuts)].sort((a, b) => a - b)) {
    parser.push(answer.subarray(from, cut));
    from = cut;
  }
  parser.push(answer.subarray(from));
  parser.end();
  expect(open).toEqual([]);
  return seen;
}

interface JsonNode {
  key?: string;
  value?: string;
  dir?: boolean;
  expiration?: string;
  ttl?: number;
  nodes?: JsonNode[];
  modifiedIndex?: number;
  createdIndex?: number;
}

const latin1 = (text: string | undefined): string => Buffer.from(text ?? '').toString('latin1');

/** What JSON.parse makes of an answer, in the same form; `lost` cannot be known from it. */
function truth(answer: Buffer): Omit<Seen, 'lost'>[] {
  const walk = (node: JsonNode): Omit<Seen, 'lost'>[] => [
    {
      path: latin1(node.key),
      dir: node.dir === true,
      value: latin1(node.value),
      expiration: node.expiration === undefined ? 0n : (parseTime(node.expiration) as bigint),
      created: BigInt(node.createdIndex ?? 0),
      modified: BigInt(node.modifiedIndex ?? 0),
    },
    ...(node.nodes ?? []).flatMap(walk),
  ];
  return walk((JSON.parse(answer.toString()) as { node: JsonNode }).node);
}

const strip = (seen: Seen[]): Omit<Seen, 'lost'>[] => seen.map(({ lost, ...rest }) => rest);

const cutsOf = (answer: Buffer): fc.Arbitrary<number[]> => fc.array(fc.nat(answer.length), { maxLength: 40 });

function refused(work: () => unknown): FerryError {
  try {
    work();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(FerryError);
    return thrown as FerryError;
  }
  throw new Error('nothing was thrown');
}

describe.each(['v238.tree.json.gz', 'v34.tree.json.gz', 'v238.hidden.json', 'v34.hidden.json'])('the answer %s of a real etcd', (name) => {
  const answer = real(name);

  test('is read as JSON.parse reads it', () => {
    expect(strip(parse(answer))).toEqual(truth(answer));
  });

  test('is the same however it is cut into chunks', () => {
    const whole = parse(answer);
    expect(
      parse(
        answer,
        Array.from({ length: answer.length }, (_, i) => i),
      ),
    ).toEqual(whole);
    fc.assert(
      fc.property(cutsOf(answer), (cuts) => {
        expect(parse(answer, cuts)).toEqual(whole);
      }),
      { numRuns: 10 },
    );
  });

  test('is refused when it ends anywhere before its end', () => {
    fc.assert(
      fc.property(fc.nat(answer.toString().trimEnd().length - 1), (end) => {
        expect(refused(() => parse(answer.subarray(0, Math.min(end, answer.length - 2)))).code).toBe('unreachable');
      }),
      { numRuns: 50 },
    );
  });
});

const text = fc.string({ unit: 'binary', maxLength: 30 });
const jsonNode = fc.letrec<{ node: object; file: object; dir: object }>((tie) => ({
  node: fc.oneof({ maxDepth: 4 }, tie('file'), tie('dir')),
  file: fc.record({ key: text, value: text, modifiedIndex: fc.nat(), createdIndex: fc.nat() }),
  dir: fc.record({
    key: text,
    dir: fc.constant(true),
    nodes: fc.array(tie('node'), { maxLength: 5 }),
    modifiedIndex: fc.nat(),
    createdIndex: fc.nat(),
  }),
})).node;

describe('any tree', () => {
  test('is read as JSON.parse reads it, cut anywhere, with and without spaces', () => {
    const answers = fc.tuple(jsonNode, fc.constantFrom(0, 1, '\t'), fc.constantFrom(null, true, -1.5e3, 'a "}]'), fc.nat({ max: 100 }));
    fc.assert(
      fc.property(answers, ([node, space, other, step]) => {
        const json = JSON.stringify({ action: 'get', other, node, more: '"}' }, undefined, space);
        const answer = Buffer.from(json);
        const cuts = Array.from({ length: 200 }, (_, i) => (i * (step + 1)) % (answer.length + 1));
        expect(strip(parse(answer, cuts))).toEqual(truth(answer));
      }),
    );
  });

  test('keeps all digits of an index', () => {
    fc.assert(
      fc.property(uint64, uint64, (created, modified) => {
        const [node] = parse(Buffer.from(`{"node":{"key":"/a","value":"","modifiedIndex":${modified},"createdIndex":${created}}}`));
        expect(node).toMatchObject({ created, modified });
      }),
    );
  });
});

describe('a byte that is not UTF-8', () => {
  const answer = (value: string): Buffer => Buffer.from(`{"node":{"key":"/a","value":"${value}","modifiedIndex":1,"createdIndex":1}}`);

  test('is told by its escape from a real U+FFFD', () => {
    expect(parse(answer('x\\ufffdy'))[0]).toMatchObject({ value: latin1('x\ufffdy'), lost: 'value' });
    expect(parse(answer('x\\uFFFDy'))[0]).toMatchObject({ lost: 'value' });
    expect(parse(answer('x\ufffdy'))[0]).toMatchObject({ value: latin1('x\ufffdy'), lost: '' });
  });

  test('is told in a path too', () => {
    expect(parse(Buffer.from('{"node":{"key":"/a\\ufffd","value":""}}'))[0]).toMatchObject({ lost: 'path' });
  });

  test('is what half a surrogate pair becomes; a whole pair is one character', () => {
    expect(parse(answer('\\ud83d\\ude00'))[0]).toMatchObject({ value: latin1('😀'), lost: '' });
    for (const half of ['\\ud83d', '\\ud83dx', '\\ud83d\\n', '\\ud83d\\u0041', '\\ude00', '\\ud83d\\ud83d\\ude00']) {
      expect(parse(answer(half))[0], half).toMatchObject({
        value: latin1(JSON.parse(`"${half}"`) as string),
        lost: 'value',
      });
    }
  });
});

test.each([
  ['nothing', '', /empty/],
  ['an HTML page', '<html><body>Welcome</body></html>', /not the JSON of a v2 tree: "<" at byte 0/],
  ['other JSON', '{"health":"true"}', /holds no v2 tree/],
  ['an array', '[]', /"\[" at byte 0/],
  ['a bad escape', '{"node":{"key":"\\x41"}}', /escape/],
  ['a control character in a value', '{"node":{"key":"/a","value":"x\0\0y"}}', /control character/],
  ['a control character in a name', '{"node":{"ke\ny":"/a"}}', /control character/],
  ['a control character behind half a pair', '{"node":{"key":"\\ud83d\n"}}', /control character/],
  ['a field that etcd does not have', '{"node":{"key":"/a","valuf":"x"}}', /a node has a field "valuf"/],
  ['nodes under another name', '{"node":{"dir":true},"nodf":{"key":"/a"}}', /"\{" at byte \d+/],
  ['an index with a zero before it', '{"node":{"key":"/a","modifiedIndex":07}}', /"07"/],
  ['a bad literal', '{"node":{"key":"/a","dir":yes}}', /"yes"/],
  ['an index that is none', '{"node":{"key":"/a","modifiedIndex":-1}}', /an index is -1/],
  ['an index beyond 64 bits', '{"node":{"key":"/a","modifiedIndex":18446744073709551616}}', /an index is 18446744073709551616/],
  ['an expiration that is none', '{"node":{"key":"/a","expiration":"soon"}}', /an expiration is "soon"/],
  ['a name after the children', '{"node":{"nodes":[],"key":"/a"}}', /"key" comes after "nodes"/],
  ['more after the end', '{"node":{"dir":true}} {}', /"\{" at byte 22/],
  ['a comma too many', '{"node":{"dir":true,}}', /"}" at byte 20/],
])('%s is refused in one line', (_, answer, message) => {
  const error = refused(() => parse(Buffer.from(answer)));
  expect(error.code).toBe('unreachable');
  expect(error.message).toMatch(message);
  expect(error.message).not.toContain('\n');
});

test('a time keeps its nanoseconds, in any zone', () => {
  expect(parseTime('2026-11-22T22:10:15.123456789Z')).toBe(1795385415123456789n);
  expect(parseTime('2026-11-22T23:10:15.1+01:00')).toBe(1795385415100000000n);
  expect(parseTime('2026-11-22T22:10:15Z')).toBe(1795385415000000000n);
  for (const none of ['', 'soon', '2026-13-22T22:10:15Z', '9999-01-01T00:00:00Z', '2026-11-22T22:10:15']) {
    expect(parseTime(none), none).toBeUndefined();
  }
});
