import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { FerryError } from '../../src/errors.js';
import { intoV3, type WriteOptions } from '../../src/jobs/write-live.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import type { RestoreV3Report } from '../../src/writers/live-v3.js';
import { newestEtcd } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv, lease, type MadeSource, sourceOf } from '../support/source.js';
import { temporaryDirectory } from '../support/temp.js';

const tmpDir = temporaryDirectory();
const LIVE_LEASE = 0x777n;
const CLOCK = 'compact_rev_key';

let target: RestoreTarget;

beforeAll(async () => {
  target = await RestoreTarget.start(newestEtcd());
  await target.cluster.leaseGrant(LIVE_LEASE, 36_000n);
});
afterAll(() => target[Symbol.asyncDispose]());

async function restored(records: readonly KeyValue[], options: Partial<WriteOptions>, made: MadeSource = {}): Promise<RestoreV3Report> {
  return intoV3(sourceOf(records, made), target.cluster, { tmpDir, ...options }, quietRun());
}

async function targetHolding(keys: Readonly<Record<string, string>>, leased: readonly string[]): Promise<void> {
  await target.restore([], { deleteExtra: 'everything' });
  for (const [key, value] of Object.entries(keys)) await target.put(key, value, leased.includes(key) ? LIVE_LEASE : 0n);
}

/** How many keys the report says were left alone; 0 without a note. */
function leftAlone({ notes }: RestoreV3Report): number {
  const found = notes.filter(({ code }) => code === 'kubernetes-runtime-left-alone');
  expect(found.length).toBeLessThanOrEqual(1);
  expect(found.some(({ lossy }) => lossy)).toBe(false);
  return found[0]?.count ?? 0;
}

const PATHS = ['masterleases/10.0.0.1', 'peerserverleases/p', 'events/ns/e', 'leases/ns/l', 'pods/ns/a', 'eventsx/ns/a', CLOCK];
const nameUnder = (...prefixes: string[]): fc.Arbitrary<string> =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(fc.constantFrom(...prefixes), fc.constantFrom(...PATHS)).map(([prefix, path]) => `${prefix}/${path}`),
    },
    { weight: 1, arbitrary: fc.constant(CLOCK) },
  );

const situation = fc.record({
  source: fc.uniqueArray(nameUnder('/k8s-old', '/registry', '/mine'), { maxLength: 8 }),
  there: fc.uniqueArray(nameUnder('/registry', '/mine', '/copy'), { maxLength: 8 }),
  isLeased: fc.boolean(),
  renamed: fc.constantFrom<Parameters<typeof parseKeyMapping>[0]>(
    {},
    { map: ['/k8s-old/=/registry/'] },
    { map: ['/registry/=/copy/', '/k8s-old/=/mine/'] },
    { addPrefix: '/copy' },
    { map: ['/k8s-old/=x/registry/', '/registry/=x/mine/', '/mine/=x/copy/', `${CLOCK}=x${CLOCK}`], stripPrefix: 'x' },
  ),
  onConflict: fc.constantFrom('fail' as const, 'skip' as const, 'overwrite' as const),
  deletes: fc.boolean(),
  includeRuntime: fc.boolean(),
  knowsMine: fc.boolean(),
  dryRun: fc.boolean(),
});

type Situation = typeof situation extends fc.Arbitrary<infer T> ? T : never;

/** Whether any key can get this name: what none can get is not the source's to tell of. */
function canBeNamed(name: string, { map = [], stripPrefix = '', addPrefix = '' }: Situation['renamed']): boolean {
  if (!name.startsWith(addPrefix)) return false;
  const renamed = stripPrefix + name.slice(addPrefix.length);
  const rules = map.map((rule) => rule.split('=') as [from: string, to: string]);
  const origins = [renamed, ...rules.filter(([, to]) => renamed.startsWith(to)).map(([from, to]) => from + renamed.slice(to.length))];
  const mapped = (key: string): string => {
    const rule = rules.find(([from]) => key.startsWith(from));
    return rule === undefined ? key : rule[1] + key.slice(rule[0].length);
  };
  return origins.some((key) => mapped(key) === renamed);
}

/** What the target must hold afterwards, and how many keys must have been left alone; undefined when all must be refused. */
function expected(s: Situation): { readonly keys: Record<string, string>; readonly alone: number } | undefined {
  const known = s.knowsMine ? '/(registry|mine)' : '/registry';
  const isRuntime = (key: string): boolean =>
    key === CLOCK || new RegExp(`^${known}/(masterleases|peerserverleases|events|leases)/`).test(key);
  const runs = s.there.includes(CLOCK) || (s.isLeased && s.there.some((key) => new RegExp(`^${known}/masterleases/`).test(key)));
  const isAlone = (key: string): boolean => !s.includeRuntime && (runs ? isRuntime(key) : key === CLOCK);
  const mapping = parseKeyMapping(s.renamed);
  const names = s.source.map((key) => mapping.mapKey(Buffer.from(key)).toString());
  const wanted = names.filter((key) => !isAlone(key));
  if (new Set(wanted).size < wanted.length) return undefined;
  if (s.onConflict === 'fail' && wanted.some((key) => s.there.includes(key))) return undefined;
  const extra = s.deletes ? s.there.filter((key) => canBeNamed(key, s.renamed) && !names.includes(key)) : [];
  const keys = Object.fromEntries(s.there.filter((key) => !extra.includes(key) || isAlone(key)).map((key) => [key, 'LIVE']));
  for (const key of wanted) if (!s.there.includes(key) || s.onConflict === 'overwrite') keys[key] = 'OLD';
  return { keys, alone: names.length - wanted.length + extra.filter(isAlone).length };
}

/** What is left alone breaks the order of keys, what is written does not. */
const LEFT_ALONE_OUT_OF_ORDER: Situation = {
  source: ['/k8s-old/masterleases/10.0.0.1', '/registry/masterleases/10.0.0.1'],
  there: [CLOCK],
  isLeased: false,
  renamed: { map: ['/registry/=/copy/', '/k8s-old/=/mine/'] },
  onConflict: 'fail',
  deletes: true,
  includeRuntime: false,
  knowsMine: true,
  dryRun: false,
};

test('a running Kubernetes keeps its own keys whatever is renamed, overwritten or deleted, and each is counted once', async () => {
  await fc.assert(
    fc.asyncProperty(situation, async (s) => {
      const there = Object.fromEntries(s.there.map((key) => [key, 'LIVE']));
      await targetHolding(there, s.isLeased ? s.there.filter((key) => key.includes('/masterleases/')) : []);
      const wanted = expected(s);
      const run = restored(
        s.source.map((key) => kv(key, 'OLD')),
        {
          mapping: parseKeyMapping(s.renamed),
          onConflict: s.onConflict,
          includeRuntime: s.includeRuntime,
          dryRun: s.dryRun,
          etcdPrefixes: s.knowsMine ? ['/mine'] : [],
          ...(s.deletes ? { deleteExtra: 'everything' } : {}),
        },
      );
      const report = await run.catch((thrown: unknown) => {
        if (!(thrown instanceof FerryError)) throw thrown;
        return undefined;
      });
      expect(report === undefined).toBe(wanted === undefined);
      if (report !== undefined && wanted !== undefined) expect(leftAlone(report)).toBe(wanted.alone);
      expect(await target.texts('\x01')).toEqual({});
      const now = { ...(await target.texts('/')), ...(await target.texts('c')) };
      expect(now).toEqual(wanted === undefined || s.dryRun ? there : wanted.keys);
    }),
    { numRuns: 120, examples: [[LEFT_ALONE_OUT_OF_ORDER]] },
  );
});

test('a restore does not take the API servers that its own first half wrote for running ones', async () => {
  const leases = [lease(0x111n, 3600n)];
  const records = [kv('/registry/masterleases/10.0.0.1', 'server', 0x111n), kv('/registry/events/ns/e', 'event'), kv(CLOCK, '5')];
  await targetHolding({}, []);
  await restored(records.slice(0, 1), {}, { leases });
  const second = await restored(records, {}, { leases });
  expect(second).toMatchObject({ written: 1, equal: 1 });
  expect(leftAlone(second)).toBe(1);
  expect(Object.keys(await target.texts('/registry/'))).toEqual(['/registry/events/ns/e', '/registry/masterleases/10.0.0.1']);
  await target.cluster.leaseRevoke(0x111n);
});

test.each([
  ['another value', 'another', 0x111n],
  ['another lease', 'server', LIVE_LEASE],
])('an API server whose lease has %s than the source has runs there', async (_, value, id) => {
  await targetHolding({}, []);
  await target.cluster.leaseGrant(0x111n, 3600n);
  await target.put('/registry/masterleases/10.0.0.1', value, id);
  const records = [kv('/registry/masterleases/10.0.0.1', 'server', 0x111n), kv('/registry/events/ns/e', 'event')];
  const report = await restored(records, { onConflict: 'overwrite' }, { leases: [lease(0x111n, 3600n)] });
  expect(leftAlone(report)).toBe(2);
  await target.cluster.leaseRevoke(0x111n);
});

test('an API server whose lease is the very key that the source was read from runs there', async () => {
  await targetHolding({}, []);
  await target.put('/registry/masterleases/10.0.0.1', 'server', LIVE_LEASE);
  const read = await target.dump('/registry/');
  const report = await restored([...read, kv('/registry/events/ns/e', 'event')], {}, { leases: [lease(LIVE_LEASE, 36_000n)] });
  expect(leftAlone(report)).toBe(2);
});
