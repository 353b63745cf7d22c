import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testdata } from '../support/bytes.js';
import { etcdferryInside } from '../support/cli.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { documentedOutputs, schemaErrors } from '../support/json-schema.js';
import { temporaryDirectory } from '../support/temp.js';

/**
 * Real outputs of every command, held to docs/schemas. The test support holds every other `--json` run
 * of all tests to them as well.
 */
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const ARCHIVES = join(import.meta.dirname, '../../testdata/archive');
const seen = new Map<string, Record<string, unknown>>();
let server: EtcdServer;

beforeAll(async () => {
  server = await EtcdServer.start(newestEtcd());
  writeFileSync(at('v3.db'), testdata('etcd-v3/v3-35.db.gz'));
  writeFileSync(at('plain.db'), testdata('kubernetes/1.20/plain.db.gz'));
  writeFileSync(at('encrypted.db'), testdata('kubernetes/1.20/encrypted.db.gz'));
  execFileSync('tar', ['xzf', join(import.meta.dirname, '../../testdata/etcd-v2/v34.data-dir.tar.gz'), '-C', directory]);
});
afterAll(() => server.stop());

/** Runs a command; its documents have been held to their schemas when this returns. */
async function documents(args: readonly string[], exits: readonly number[] = [0]): Promise<Record<string, unknown>[]> {
  const { exit, stdout, stderr } = await etcdferryInside([...args, '--json']);
  expect(exits, `${args.join(' ')}: ${exit}\n${stderr}`).toContain(exit);
  const lines = stdout.toString().trimEnd().split('\n');
  const found = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const document of found) {
    expect(schemaErrors(document)).toEqual([]);
    seen.set(String(document.schema), document);
  }
  return found;
}

test('every --json output is as its schema says, and every schema has an output', { timeout: 180_000 }, async () => {
  const [key, revisions, tree] = ['v1-key.tar', 'v1-revision.tar', 'v1-tree.tar'].map((name) => join(ARCHIVES, name)) as [
    string,
    string,
    string,
  ];
  await documents(['backup', '--from', at('v3.db'), '--to', at('a.tar')]);
  await documents(['backup', '--from', at('data'), '--to', at('tree.tar')], [0, 3]);
  await documents(['backup', '--from', at('v3.db'), '--to', at('repo/'), '--create', '--name', 'a', '--prune', '--keep-last', '3']);
  await documents(['backup', '--from', at('v3.db'), '--to', at('repo/'), '--name', 'a']);
  await documents(['list', at('repo/')]);
  await documents(['copy', at('repo/'), at('other/'), '--create']);
  await documents(['verify', at('repo/'), key, '--depth', 'records']);
  await documents(['verify', key, '--against', at('v3.db')]);
  await documents(['verify', key, '--against', at('plain.db')], [4]);
  await documents(['verify', key, '--sample', '1/7', '--report', at('report.json')]);
  const report = JSON.parse(readFileSync(at('report.json'), 'utf8')) as { schema: string };
  expect(schemaErrors(report)).toEqual([]);
  seen.set(report.schema, report);
  const profile = `from: ${at('v3.db')}, to: ${at('repo')}/`;
  writeFileSync(at('config.yaml'), `profiles:\n  one: { ${profile} }\n  two: { ${profile} }\n`);
  await documents(['backup', '--config', at('config.yaml'), '--all-profiles']);
  await documents(['restore', '--from', key, '--to', at('new.db')]);
  await documents(['restore', '--from', key, '--to', server.endpoint, '--prefix', 'k', '--allow-empty']);
  await documents(['restore', '--from', key, '--to', server.endpoint, '--delete-extra', '--prefix', '/', '--dry-run']);
  await documents(['migrate', '--from', tree, '--to', server.endpoint, '--dry-run', '--save-plan', at('plan.json')], [0, 3]);
  const plan = JSON.parse(readFileSync(at('plan.json'), 'utf8')) as Record<string, unknown>;
  expect(schemaErrors(plan)).toEqual([]);
  seen.set(String(plan.schema), plan);
  await documents(['migrate', '--from', tree, '--to', server.endpoint], [0, 3]);
  await documents(['migrate', '--from', tree, '--to', server.endpoint, '--strip-prefix', '/', '--dry-run'], [0, 2, 3, 11]);
  await documents(['migrate', '--from', tree, '--to', at('of-tree.db')], [0, 3]);
  await documents(['migrate', '--from', tree, '--to', at('of-tree.tar')], [0, 3]);
  await documents(['backup', '--from', server.endpoint, '--to', at('live.tar')]);
  await documents(['verify', key, revisions, tree, at('v3.db'), at('data'), at('none')], [2]);
  for (const source of [key, tree, at('plain.db'), server.endpoint]) await documents(['inspect', source], [0, 3]);
  for (const source of [key, tree, at('plain.db')]) await documents(['ls', source, '-o', 'wide']);
  await documents(['get', at('plain.db'), '/registry/namespaces/default']);
  await documents(['get', at('encrypted.db'), '/registry/secrets/default/opaque'], [2, 3]);
  const [first] = await documents(['ls', at('encrypted.db'), '/registry/secrets/']);
  await documents(['get', at('encrypted.db'), String(first?.key)], [3]);
  writeFileSync(at('value'), 'no object');
  await documents(['decode', at('value')]);
  await documents(['hashkv', at('v3.db')]);
  await documents(['diff', key, join(ARCHIVES, 'v0-gzip.tar'), '--revisions', '--leases'], [4]);
  await documents(['diff', key, key, '--summary']);
  await documents(['diff', at('plain.db'), at('encrypted.db'), '--revisions'], [3, 4]);
  await documents(['prune', at('repo'), '--keep-last', '1', '--dry-run']);
  await documents(['check-age', at('repo'), '--max-age', '1h']);
  await documents(['verify'], [2]);
  expect(documentedOutputs().filter((name) => !seen.has(`etcdferry.${name}`))).toEqual([]);
});

test('a field that no schema names fails, anywhere', () => {
  for (const [name, document] of seen) {
    expect(schemaErrors({ ...document, undocumented: 1 }), name).not.toEqual([]);
    for (const field of Object.keys(document)) {
      const { [field]: value } = document;
      if (typeof value !== 'object' || value === null || Array.isArray(value) || field === 'object') continue;
      expect(schemaErrors({ ...document, [field]: { ...value, undocumented: 1 } }), `${name}: ${field}`).not.toEqual([]);
    }
  }
  expect(schemaErrors({ schema: 'etcdferry.unheard-of/v1' })[0]).toContain('is missing');
});

test('the codes and exits of errors are those of src/errors.ts', async () => {
  const { EXIT_BY_CODE } = await import('../../src/errors.js');
  const common = JSON.parse(readFileSync(join(import.meta.dirname, '../../docs/schemas/common.v1.json'), 'utf8')) as {
    $defs: { error: { properties: { code: { enum: string[] } } }; exit: { enum: number[] } };
  };
  expect(common.$defs.error.properties.code.enum).toEqual(Object.keys(EXIT_BY_CODE));
  expect(new Set(common.$defs.exit.enum)).toEqual(new Set([0, ...Object.values(EXIT_BY_CODE)]));
});
