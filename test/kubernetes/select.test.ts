import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeStored } from '../../src/kubernetes/encode.js';
import { identify, objectFilter, resourceOf, selectsObjects } from '../../src/kubernetes/select.js';
import { parseStoragePath } from '../../src/kubernetes/storage-path.js';
import type { ObjectSelection } from '../../src/model/source.js';
import { bytes } from '../support/arbitrary.js';
import { realLines, realRecords } from './real.js';

const NOTHING: ObjectSelection = { kinds: [], excludeKinds: [], namespaces: [], names: [], etcdPrefixes: [] };

describe('parseStoragePath', () => {
  // kubernetes test/integration/etcd/data.go, for what is stored where.
  test.each([
    ['/registry/secrets/shop/s', ['secrets', 'shop', 's']],
    ['/registry/namespaces/shop', ['namespaces', undefined, 'shop']],
    ['/registry/services/specs/shop/web', ['services', 'shop', 'web']],
    ['/registry/services/endpoints/shop/web', ['endpoints', 'shop', 'web']],
    ['/registry/minions/node-1', ['nodes', undefined, 'node-1']],
    ['/registry/controllers/shop/rc', ['replicationcontrollers', 'shop', 'rc']],
    ['/registry/ingress/shop/i', ['ingresses', 'shop', 'i']],
    ['/registry/podsecuritypolicy/p', ['podsecuritypolicies', undefined, 'p']],
    ['/registry/clusterroles/system:node', ['clusterroles', undefined, 'system:node']],
    ['/registry/masterleases/192.0.2.2', ['masterleases', undefined, '192.0.2.2']],
    ['/registry/ranges/serviceips', ['ranges', undefined, 'serviceips']],
    ['/registry/health', ['health', undefined, undefined]],
    ['/registry/example.com/widgets/shop/w1', ['widgets', 'shop', 'w1', 'example.com']],
    ['/registry/apiregistration.k8s.io/apiservices/v1.', ['apiservices', undefined, 'v1.', 'apiregistration.k8s.io']],
    ['/kubernetes.io/pods/shop/p', ['pods', 'shop', 'p']],
    ['/openshift.io/routes/shop/r', ['routes', 'shop', 'r']],
    ['/openshift.io/oauth/clients/c', ['oauthclients', undefined, 'c', 'oauth.openshift.io']],
    ['/openshift.io/authorization/local/roles/shop/r', ['roles', 'shop', 'r', 'authorization.openshift.io']],
    ['compact_rev_key', ['compact_rev_key', undefined, undefined]],
    ['/k8s/prod/pods/shop/p', ['pods', 'shop', 'p']],
  ])('%s', (key, [resource, namespace, name, group]) => {
    expect(parseStoragePath(Buffer.from(key), ['k8s/prod/'])).toMatchObject({ resource, namespace, name, group });
  });

  test.each(['/registryx/secrets/a/b', '/other/a', '/registry/', ''])('%j is none of Kubernetes', (key) => {
    expect(parseStoragePath(Buffer.from(key))).toBeUndefined();
  });
});

describe('objectFilter', () => {
  const select = async (selection: Partial<ObjectSelection>): Promise<string[]> => {
    const wanted = objectFilter({ ...NOTHING, ...selection });
    return (await realRecords('plain.db.gz')).filter(({ key, value }) => wanted(key, value)).map(({ key }) => String(key));
  };

  test('takes a namespace alone: all that is in it, and nothing else', async () => {
    const keys = realLines('plain.truth.ndjson.gz').map((line) => (JSON.parse(line) as { key: string }).key);
    const wanted = keys.filter((key) => key.split('/').at(-2) === 'shop');
    expect(wanted.length).toBeGreaterThan(50);
    expect(await select({ namespaces: ['shop'] })).toEqual(wanted);
  });

  test('takes kinds by their own word, as resources, with and without a group', async () => {
    const endpoints = await select({ kinds: ['Endpoints'] });
    expect(endpoints.every((key) => key.startsWith('/registry/services/endpoints/'))).toBe(true);
    expect(endpoints.length).toBe(3);
    expect(await select({ kinds: ['widgets'] })).toEqual(await select({ kinds: ['Widget'] }));
    expect((await select({ kinds: ['widget.example.com'] })).length).toBe(4);
    expect(await select({ kinds: ['deployments.batch'] })).toEqual([]);
    expect(await select({ kinds: ['Deployment.apps'], names: ['web'] })).toEqual(await select({ kinds: ['deployment'], names: ['web'] }));
    expect((await select({ kinds: ['networkpolicy'] })).length).toBe(2);
  });

  test('an exclusion wins', async () => {
    const all = await select({});
    const [secrets, rest] = [await select({ kinds: ['Secret'] }), await select({ excludeKinds: ['Secret'] })];
    expect(secrets.length).toBeGreaterThan(0);
    expect([...secrets, ...rest].sort()).toEqual([...all].sort());
    expect(await select({ kinds: ['Secret'], excludeKinds: ['secrets'] })).toEqual([]);
  });

  test('goes by the path where a value is encrypted', async () => {
    const wanted = objectFilter({ ...NOTHING, kinds: ['ConfigMap'] });
    const plain = (await select({ kinds: ['ConfigMap'] })).length;
    expect((await realRecords('encrypted.db.gz')).filter(({ key, value }) => wanted(key, value)).length).toBe(plain);
  });

  test("goes by the object's own account where the key is no storage path", () => {
    const { bytes: value } = encodeStored('{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"shop"}}');
    const key = Buffer.from('/elsewhere/x');
    expect(identify(key, value)).toMatchObject({ kind: 'Secret', namespace: 'shop', name: 's', path: undefined });
    expect(objectFilter({ ...NOTHING, namespaces: ['shop'] })(key, value)).toBe(true);
    expect(objectFilter({ ...NOTHING, namespaces: ['other'] })(key, value)).toBe(false);
  });

  const G = 'gadgets.example.com';
  test.each([
    // Servers of aggregated APIs, whose prefix lies below the usual one.
    [`/registry/${G}/${G}/gadgets/shop/f`, 'Gadget', 'shop', 'f', { resource: 'gadgets', group: G, namespace: 'shop', name: 'f' }],
    [`/registry/${G}/${G}/gadgets/f`, 'Gadget', '', 'f', { resource: 'gadgets', group: G, namespace: undefined, name: 'f' }],
    [`/registry/${G}/gadgets/shop/f`, 'Gadget', 'shop', 'f', { resource: 'gadgets', group: G, namespace: 'shop', name: 'f' }],
    ['/registry/own/gadgets/shop/f', 'Gadget', 'shop', 'f', { resource: 'gadgets', group: undefined, namespace: 'shop', name: 'f' }],
    ['/registry/own/gadgets/f', 'Gadget', '', 'f', { resource: 'gadgets', group: undefined, namespace: undefined, name: 'f' }],
    [`/registry/own/${G}/policies/shop/f`, 'Policy', 'shop', 'f', { resource: 'policies', group: G, namespace: 'shop', name: 'f' }],
    // Paths that are as they seem, and objects that tell nothing, or nothing that fits.
    ['/registry/configmaps/shop/c', 'ConfigMap', 'shop', 'c', { resource: 'configmaps', namespace: 'shop', name: 'c' }],
    ['/registry/configmaps/shop/c', 'ConfigMap', '', 'c', { resource: 'configmaps', namespace: 'shop', name: 'c' }],
    ['/registry/configmaps/configmaps/c', 'ConfigMap', '', 'c', { resource: 'configmaps', namespace: 'configmaps', name: 'c' }],
    ['/registry/configmaps/shop/c', 'ConfigMap', 'other', 'd', { resource: 'configmaps', namespace: 'shop', name: 'c' }],
    ['/registry/services/endpoints/shop/e', 'Endpoints', 'shop', 'e', { resource: 'endpoints', namespace: 'shop', name: 'e' }],
    ['/registry/services/specs/shop/e', 'Service', 'shop', 'e', { resource: 'services', namespace: 'shop', name: 'e' }],
    ['/registry/minions/n', 'Node', '', 'n', { resource: 'nodes', namespace: undefined, name: 'n' }],
    ['/registry/masterleases/10.0.0.1', 'Endpoints', '', '', { resource: 'masterleases', namespace: undefined, name: '10.0.0.1' }],
    [`/registry/${G}/gadgets/shop/f`, 'Gadget', '', '', { resource: 'gadgets', group: G, namespace: 'shop', name: 'f' }],
  ])('reads %s of a %s in "%s" named "%s" by what the object tells, where that fits', (path, kind, namespace, name, wanted) => {
    const metadata = { ...(name === '' ? {} : { name }), ...(namespace === '' ? {} : { namespace }) };
    const json = JSON.stringify({ kind, apiVersion: 'v1', metadata });
    const values = [Buffer.from(json), ...(['Gadget', 'Policy'].includes(kind) ? [] : [encodeStored(json).bytes])];
    for (const value of values) {
      const { path: read, ...object } = identify(Buffer.from(path), value);
      expect(read).toMatchObject(wanted);
      expect(object).toMatchObject({ kind, namespace: wanted.namespace, name: wanted.name });
    }
  });

  test('every real object is where its path says', async () => {
    for (const { key, value } of await realRecords('plain.db.gz')) {
      const path = parseStoragePath(key);
      if (!String(key).includes('/ranges/')) expect(identify(key, value).path, String(key)).toEqual(path);
    }
  });

  test("leaves records alone that are not Kubernetes', unless something is asked for", () => {
    const [key, value] = [Buffer.from('app/x'), Buffer.from('1')];
    expect(objectFilter(NOTHING)(key, value)).toBe(true);
    expect(objectFilter({ ...NOTHING, excludeKinds: ['Secret'] })(key, value)).toBe(true);
    expect(objectFilter({ ...NOTHING, kinds: ['Secret'] })(key, value)).toBe(false);
    expect(selectsObjects(NOTHING)).toBe(false);
    expect(selectsObjects({ ...NOTHING, names: ['x'] })).toBe(true);
    expect(() => objectFilter({ ...NOTHING, kinds: [''] })).toThrow('names no kind');
  });

  test('never throws, whatever the bytes', () => {
    const wanted = objectFilter({ ...NOTHING, kinds: ['Pod'], namespaces: ['a'], names: ['b'] });
    fc.assert(
      fc.property(bytes(), bytes(), fc.constantFrom('', '/registry/', 'k8s\0', '{'), (key, value, start) => {
        wanted(Buffer.concat([Buffer.from(start), key]), Buffer.concat([Buffer.from(start), value]));
      }),
    );
  });
});

test('a resource is named as an encryption configuration names it', async () => {
  const names = new Set<string>();
  for (const { key, value } of await realRecords('plain.db.gz')) {
    const name = resourceOf(key, value);
    if (name !== undefined) names.add(name.group === '' ? name.resource : `${name.resource}.${name.group}`);
  }
  for (const name of [
    'secrets',
    'services',
    'nodes',
    'deployments.apps',
    'widgets.example.com',
    'apiservices.apiregistration.k8s.io',
    'ingresses.networking.k8s.io',
  ])
    expect([...names]).toContain(name);
});
