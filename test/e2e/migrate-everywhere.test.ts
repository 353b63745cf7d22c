import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdVersions, etcdWithV2 } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client, writeEveryKind } from '../support/v2.js';
import { UnpackedDataDir, V2_FIXTURES } from '../support/v2-data.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

interface Report {
  readonly keys: number;
  readonly tree: { readonly leases: number };
  readonly notes: readonly { readonly code: string; readonly count: number; readonly lossy: boolean }[];
  readonly proof: { readonly keys: number; readonly equal: number; readonly leases: number; readonly furthestEnd?: number };
}

let live: EtcdServer;
let states = 0;
let servers: readonly EtcdServer[];
const dirs = V2_FIXTURES.map((fixture) => new UnpackedDataDir(fixture));

beforeAll(async () => {
  live = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
  await writeEveryKind(new V2Client(live.endpoint));
  servers = await Promise.all(etcdVersions().map((etcd) => EtcdServer.start(etcd)));
  expect(await etcdferryInside(['backup', '--api', 'v2', '--from', live.endpoint, '--to', at('tree.tar')])).toMatchObject({ exit: 3 });
});
afterAll(async () => {
  for (const dir of dirs) dir[Symbol.dispose]();
  await Promise.all([live, ...servers].map((server) => server.stop()));
});

/** Notes of what becomes of the tree; others tell of the way it was read or written. */
const OF_THE_TREE = ['empty-directory', 'expired-node-dropped', 'expiration-rounded', 'value-not-utf8'];

const SOURCES: readonly (readonly [name: string, from: () => string])[] = [
  ['a live tree', () => live.endpoint],
  ['an archive of it', () => at('tree.tar')],
  ...V2_FIXTURES.map((fixture, i) => [`the data dir of ${fixture}`, () => dirs[i]?.path ?? ''] as const),
];

describe.each(SOURCES)('%s', (name, from) => {
  test('becomes the same keys with the same report in every target, and every one is proven', async () => {
    const prefix = `/${name.replaceAll(' ', '-')}`;
    const reports: Report[] = [];
    for (const to of [...servers.map(({ endpoint }) => endpoint), at(`${prefix}.db`), at(`${prefix}.tar`)]) {
      const result = await etcdferryInside([
        'migrate',
        '--from',
        from(),
        '--to',
        to,
        '--add-prefix',
        prefix,
        '--state',
        at(`state${states++}`),
        '--json',
      ]);
      expect(result, result.stderr).toMatchObject({ exit: 3 });
      reports.push(jsonOf(result) as Report);
    }
    const [first] = reports as [Report];
    for (const { keys, tree, notes, proof } of reports) {
      expect(tree).toEqual(first.tree);
      expect(proof).toMatchObject({ keys, equal: keys, differing: 0, strayLeases: 0, expired: 0, skipped: 0, leases: tree.leases });
      // A server tells of whole seconds.
      if (proof.furthestEnd !== undefined) expect(Math.abs(proof.furthestEnd)).toBeLessThan(1.6);
      const told = notes.filter(({ code }) => OF_THE_TREE.includes(code)).map(({ code, count, lossy }) => ({ code, count, lossy }));
      expect(told).toEqual(
        first.notes.filter(({ code }) => OF_THE_TREE.includes(code)).map(({ code, count, lossy }) => ({ code, count, lossy })),
      );
    }
    expect(first.keys).toBeGreaterThan(20);
    expect(first.tree.leases).toBeGreaterThan(3);
  });
});

test('leases that the target lengthens are named, and are no difference', async () => {
  const [etcd] = etcdVersions();
  if (etcd === undefined) throw new Error('no etcd');
  // Its minimum is one and a half election timeouts.
  await using slow = await EtcdServer.start(etcd, { args: ['--heartbeat-interval', '400', '--election-timeout', '4000'] });
  await new V2Client(live.endpoint).put('/short/lived', 'v', '&ttl=5');
  const flags = ['--prefix', '/short', '--state', at(`state${states++}`), '--to-dial-timeout', '30s', '--json'];
  const result = await etcdferryInside(['migrate', '--from', live.endpoint, '--to', slow.endpoint, ...flags]);
  expect(result, result.stderr).toMatchObject({ exit: 0 });
  const { notes, proof } = jsonOf(result) as Report & { notes: { examples: string[] }[] };
  expect(notes.find(({ code }) => code === 'lease-ttl-raised')).toMatchObject({
    count: 1,
    examples: [expect.stringMatching(/^7632.*: \d s became 6 s$/)],
  });
  expect(proof).toMatchObject({ keys: 1, equal: 1, strayLeases: 0 });
});
