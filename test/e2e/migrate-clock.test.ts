import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferry, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import type { FakeHttp } from '../support/fake-http.js';
import { expectSame, keysOfServer, keysOfTree, treeOfServer } from '../support/migrated.js';
import { withOtherClock } from '../support/other-clock.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';

const V2 = ['--enable-v2'];
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
/** Clocks apart are known to within a second, and a lease has whole seconds. */
const WITHIN = 4;

interface Report {
  readonly keys: number;
  readonly written: { readonly written: number; readonly overwritten: number; readonly equal: number };
  readonly notes: readonly { readonly code: string; readonly lossy: boolean }[];
}
const report = (result: CliResult): Report => jsonOf(result) as Report;
const codes = (result: CliResult): string[] => report(result).notes.map(({ code }) => code);

/** How far the source's clock is ahead of ours: its ends seem to be long over. */
const SECONDS = -3600;

describe('a source whose clock is an hour behind', () => {
  let source: EtcdServer;
  let told: FakeHttp;

  beforeAll(async () => {
    source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    const client = new V2Client(source.endpoint);
    await client.put('/svc/a', '1', '&ttl=1800');
    await client.put('/svc/b', '2');
    await client.write('PUT', '/svc/dir', 'dir=true&ttl=900');
    for (let i = 0; i < 40; i++) await client.put(`/svc/dir/${i}`, 'v', i % 2 === 0 ? `&ttl=${700 + i}` : '');
    told = await withOtherClock(source.endpoint, SECONDS);
  });
  afterAll(async () => {
    await told[Symbol.asyncDispose]();
    await source.stop();
  });

  test('is migrated by plan with all its ends, and a second run finds nothing to do', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const plan = at('plan.json');
    const planned = ['migrate', '--from', told.endpoint, '--to', target.endpoint, '--drop-expired', '--json'];
    expect((await etcdferry([...planned, '--dry-run', '--save-plan', plan])).exit).toBe(0);
    const first = await etcdferry(['migrate', '--plan', plan, '--json']);
    expect([first.exit, first.stderr]).toEqual([0, expect.anything()]);
    expect(codes(first)).toContain('source-clock-apart');
    expectSame(await keysOfServer(target), keysOfTree(await treeOfServer(source)), WITHIN);
    const second = await etcdferry([...planned, '--state', at('no-such-state')]);
    expect([second.exit, report(second).written]).toMatchObject([0, { written: 0, overwritten: 0, equal: 42 }]);
  });

  test('is backed up with its ends by our clock, so that a restore and a comparison find them right', async () => {
    await using copy = await EtcdServer.start(etcdWithV2(), { args: V2 });
    const archive = at('clock.tar');
    const backup = await etcdferry(['backup', '--api', 'v2', '--from', told.endpoint, '--to', archive, '--json']);
    expect([backup.exit, codes(backup)]).toEqual([0, ['source-clock-apart']]);
    await using target = await withOtherClock(copy.endpoint, -SECONDS);
    expect((await etcdferry(['restore', '--from', archive, '--to', target.endpoint])).exit).toBe(0);
    expectSame(await treeOfServer(copy), await treeOfServer(source), WITHIN);
    // Comparing with what is there goes by the target's clock, too.
    const again = await etcdferry(['restore', '--from', archive, '--to', target.endpoint, '--json']);
    expect([again.exit, codes(again), report(again).written]).toEqual([0, ['target-clock-apart'], 0]);
    for (const args of [
      ['verify', archive, '--against', told.endpoint],
      ['diff', archive, told.endpoint, '--leases'],
    ]) {
      expect((await etcdferry(args)).exit, args[0]).toBe(0);
    }
  });

  test('is followed, and what is renewed meanwhile ends when it should', async () => {
    await using target = await EtcdServer.start(newestEtcd());
    const client = new V2Client(source.endpoint);
    const followed = await etcdferry(
      ['migrate', '--from', told.endpoint, '--to', target.endpoint, '--follow', '--until-idle', '2s', '--json'],
      {
        when: {
          says: /following the source/,
          act: () => {
            void client.put('/svc/new', '3', '&ttl=600').then(() => client.put('/svc/dir/1', 'changed'));
          },
        },
      },
    );
    expect([followed.exit, followed.stderr]).toEqual([0, expect.anything()]);
    expectSame(await keysOfServer(target), keysOfTree(await treeOfServer(source)), WITHIN);
  });
});
