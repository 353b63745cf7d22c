import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { comparableJson } from '../../src/kubernetes/comparable.js';

const text = (object: unknown): Buffer => Buffer.from(JSON.stringify(object));

/** The same JSON value with all members in another order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, reversed(member)]),
  );
}

describe('comparableJson', () => {
  test('is the same for the same object, whatever the order of its members, and holds all of it', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(comparableJson(text(reversed(value)), 'keep')).toBe(comparableJson(text(value), 'keep'));
        expect(JSON.parse(comparableJson(text(value), 'keep'))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test('keeps the digits of numbers', () => {
    expect(comparableJson(Buffer.from('{"b":12345678901234567890,"a":1.50}'), 'keep')).toBe('{"a":1.50,"b":12345678901234567890}');
  });

  test('drops what a cluster writes by itself, and nothing else', () => {
    const spec = { replicas: 3, status: 'part of the spec', template: { metadata: { uid: 'kept' } } };
    const noisy = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: {
        name: 'web',
        uid: '1',
        resourceVersion: '2',
        generation: 3,
        creationTimestamp: '2026-11-22T21:59:26Z',
        managedFields: [{ manager: 'kubectl' }],
        annotations: { 'deployment.kubernetes.io/revision': '1', mine: 'kept' },
        ownerReferences: [{ name: 'owner', uid: '9' }],
      },
      spec,
      status: { replicas: 3 },
    };
    expect(JSON.parse(comparableJson(text(noisy), 'drop'))).toEqual({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', annotations: { mine: 'kept' }, ownerReferences: [{ name: 'owner' }] },
      spec,
    });
  });

  test('annotations that hold nothing but noise are noise', () => {
    const metadata = { name: 'a', annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' } };
    expect(comparableJson(text({ kind: 'ConfigMap', metadata }), 'drop')).toBe(
      comparableJson(text({ kind: 'ConfigMap', metadata: { name: 'a' } }), 'drop'),
    );
  });

  test('folds away what protobuf does not tell apart, of kinds that Kubernetes stores so', () => {
    const same = (...objects: object[]) => new Set(objects.map((object) => comparableJson(text(object), 'drop'))).size === 1;
    const role = { kind: 'ClusterRole', apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'a' } };
    expect(same(role, { ...role, rules: null }, { ...role, rules: [] })).toBe(true);
    expect(same(role, { ...role, rules: [{ verbs: ['get'] }] })).toBe(false);
    const claims = (type: object) => ({
      kind: 'StatefulSet',
      apiVersion: 'apps/v1',
      spec: { volumeClaimTemplates: [{ ...type, metadata: { name: 'd' } }] },
    });
    expect(same(claims({}), claims({ apiVersion: 'v1', kind: 'PersistentVolumeClaim' }))).toBe(true);
  });

  test('keeps apart what says something else: an empty object, a zero, whatever a custom resource or an unknown member holds', () => {
    const differ = (a: object, b: object) => comparableJson(text(a), 'drop') !== comparableJson(text(b), 'drop');
    const peer = (from: object) => ({
      kind: 'NetworkPolicy',
      apiVersion: 'networking.k8s.io/v1',
      spec: { podSelector: {}, ingress: [{ from: [from] }] },
    });
    expect(differ(peer({ podSelector: {} }), peer({ podSelector: {}, namespaceSelector: {} }))).toBe(true);
    const scaled = (spec: object) => ({ kind: 'Deployment', apiVersion: 'apps/v1', spec });
    expect(differ(scaled({}), scaled({ replicas: 0 }))).toBe(true);
    expect(differ(scaled({}), scaled({ replicsa: [] }))).toBe(true);
    const widget = (spec: object) => ({ kind: 'Widget', apiVersion: 'example.com/v1', spec });
    expect(differ(widget({ rules: [] }), widget({ rules: null }))).toBe(true);
    expect(differ(widget({}), widget({ rules: null }))).toBe(true);
    const revision = (data: object) => ({ kind: 'ControllerRevision', apiVersion: 'apps/v1', revision: 1, data });
    expect(differ(revision({ a: [] }), revision({ a: null }))).toBe(true);
  });

  test('the renewal of a Lease is noise, a renewTime of anything else is not', () => {
    const object = (kind: string, renewTime: string) => text({ kind, spec: { renewTime, holderIdentity: 'node' } });
    expect(comparableJson(object('Lease', 'now'), 'drop')).toBe(comparableJson(object('Lease', 'then'), 'drop'));
    expect(comparableJson(object('Certificate', 'now'), 'drop')).not.toBe(comparableJson(object('Certificate', 'then'), 'drop'));
  });
});
