import { join } from 'node:path';
import { expect, test } from 'vitest';
import { etcdferryInside } from '../support/cli.js';
import { EtcdServer, newestEtcd, strictQuota } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { base64, v3 } from '../support/v3-workload.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

async function json(...args: string[]): Promise<{ alarms?: unknown; notes: { code: string; examples: string[] }[]; whole?: boolean }> {
  const result = await etcdferryInside([...args, '--json']);
  expect(result, result.stderr).toMatchObject({ exit: 0 });
  return JSON.parse(result.stdout.toString().split('\n')[0] as string) as never;
}

test('an alarm in a snapshot file, or in the data dir of a member that was killed, is told by inspect and verify', async () => {
  const server = await EtcdServer.start(newestEtcd(), { args: strictQuota(2_000_000), dataDir: at('data') });
  try {
    await server.etcdctl('snapshot', 'save', at('before.db'));
    const put = (): Promise<unknown> => v3(server.endpoint, 'kv/put', { key: base64('k'), value: base64('x'.repeat(900_000)) });
    const raised = async (): Promise<boolean> => (await server.etcdctl('alarm', 'list')).includes('NOSPACE');
    for (let i = 0; i < 10 && !(await raised()); i++) await put();
    expect(await raised()).toBe(true);
    await server.etcdctl('snapshot', 'save', at('alarmed.db'));
  } finally {
    await server.kill('SIGKILL');
  }
  const said = 'NOSPACE (member ';
  for (const location of [at('alarmed.db'), at('data')]) {
    expect((await json('inspect', location)).alarms, location).toEqual([
      { alarm: 'NOSPACE', memberId: expect.stringMatching(/^[0-9a-f]+$/) },
    ]);
    const { stdout, stderr } = await etcdferryInside(['inspect', location]);
    expect(stdout.toString()).toMatch(/alarms +NOSPACE \(member [0-9a-f]+\)/);
    expect(stderr).toMatch(/etcdctl alarm disarm/);
    const { notes, whole } = await json('verify', location);
    expect(whole).toBe(true);
    expect(notes.find(({ code }) => code === 'alarm-raised')?.examples[0]).toContain(said);
    const text = await etcdferryInside(['verify', location]);
    expect(text.stdout.toString() + text.stderr).toContain(said);
  }
  expect((await json('inspect', at('before.db'))).alarms).toEqual([]);
  expect((await json('verify', at('before.db'))).notes).toEqual([]);
  // A new file has none, and neither has an archive.
  expect((await etcdferryInside(['restore', '--from', at('alarmed.db'), '--to', at('new.db')])).exit).toBe(0);
  expect((await json('inspect', at('new.db'))).alarms).toEqual([]);
});
