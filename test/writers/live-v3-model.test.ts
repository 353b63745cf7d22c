import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyMapping } from '../../src/convert/key-mapping.js';
import { FerryError } from '../../src/errors.js';
import type { RestoreV3Report } from '../../src/writers/live-v3.js';
import { newestEtcd } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv } from '../support/source.js';

const name = fc.stringMatching(/^[abc]{1,3}$/);
const content: fc.Arbitrary<Record<string, string>> = fc.dictionary(name, fc.constantFrom('', 'x', 'y'), {
  maxKeys: 12,
  noNullPrototype: true,
});

const situation = fc.record({
  source: content,
  there: content,
  onConflict: fc.constantFrom('fail' as const, 'skip' as const, 'overwrite' as const),
  rules: fc.uniqueArray(fc.record({ from: name, to: name }), { maxLength: 2, selector: ({ from }) => from }),
  removeExtras: fc.boolean(),
  batch: fc.integer({ min: 1, max: 5 }),
  maxTxnOps: fc.integer({ min: 1, max: 4 }),
});

type Situation = typeof situation extends fc.Arbitrary<infer T> ? T : never;

/** What the target should have afterwards; undefined when nothing may be written. */
function expected(
  { source, there, onConflict, removeExtras, rules }: Situation,
  mapKey: (key: string) => string,
): Record<string, string> | undefined {
  const wanted = new Map<string, string>();
  for (const [key, value] of Object.entries(source)) {
    if (wanted.has(mapKey(key))) return undefined;
    wanted.set(mapKey(key), value);
  }
  // A name that no key can get is none of this restore's: all that begins with the OLD of a rule goes elsewhere.
  const origins = (key: string): string[] => [
    key,
    ...rules.filter(({ to }) => key.startsWith(to)).map(({ from, to }) => from + key.slice(to.length)),
  ];
  const isExtra = (key: string): boolean => !wanted.has(key) && origins(key).some((origin) => mapKey(origin) === key);
  const after = new Map(Object.entries(there).filter(([key]) => !removeExtras || !isExtra(key)));
  for (const [key, value] of wanted) {
    const has = there[key];
    if (has !== undefined && has !== value && onConflict === 'fail') return undefined;
    if (has === undefined || onConflict !== 'skip') after.set(key, value);
  }
  return Object.fromEntries(after);
}

describe('restoreLiveV3 beside a model of it', () => {
  let target: RestoreTarget;
  beforeAll(async () => {
    target = await RestoreTarget.start(newestEtcd());
  });
  afterAll(() => target[Symbol.asyncDispose]());

  const runs = process.env.SOAK === undefined ? 60 : 2000;

  it('ends in the state the rules say, or writes nothing; and writes nothing when run again', {
    timeout: 60_000 + runs * 200,
  }, async () => {
    let n = 0;
    await fc.assert(
      fc.asyncProperty(situation, async (s) => {
        const home = `/${String(n++).padStart(6, '0')}/`;
        const at = (key: string): Buffer => Buffer.from(home + key);
        for (const [key, value] of Object.entries(s.there)) await target.put(at(key), value);
        const mapping = keyMapping(
          s.rules.map(({ from, to }) => ({ from: at(from), to: at(to) })),
          Buffer.alloc(0),
          Buffer.alloc(0),
        );
        const records = Object.entries(s.source).map(([key, value]) => kv(at(key), value));
        const run = (dryRun: boolean): Promise<RestoreV3Report> => {
          const { onConflict, maxTxnOps } = s;
          const deleteExtra = s.removeExtras ? 'prefixes' : 'no';
          const selection = { prefixes: [at('')], excludePrefixes: [] };
          return target.restore(records, { onConflict, maxTxnOps, mapping, selection, deleteExtra, dryRun }, { batch: s.batch });
        };
        const strip = (texts: Record<string, string>): Record<string, string> =>
          Object.fromEntries(Object.entries(texts).map(([key, value]) => [key.slice(home.length), value]));
        const wanted = expected(s, (key) => mapping.mapKey(at(key)).toString().slice(home.length));
        const before = await target.revision();
        if (wanted === undefined) {
          await expect(run(true)).rejects.toBeInstanceOf(FerryError);
          await expect(run(false)).rejects.toBeInstanceOf(FerryError);
          expect(await target.revision()).toBe(before);
          return;
        }
        const { transactions: _, revision: __, dryRun: ___, ...planned } = await run(true);
        expect(await target.revision()).toBe(before);
        expect(await run(false)).toMatchObject(planned);
        expect(strip(await target.texts(home))).toEqual(wanted);
        const after = await target.revision();
        await run(false);
        expect(await target.revision()).toBe(after);
      }),
      { numRuns: runs },
    );
  });
});
