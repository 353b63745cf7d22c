import { describe, expect, test } from 'vitest';
import { masterLeasePrefixes, runtimeKeys } from '../../src/kubernetes/runtime.js';

describe('what belongs to the running cluster', () => {
  test.each([
    ['compact_rev_key', true],
    ['/registry/masterleases/192.0.2.2', true],
    ['/registry/peerserverleases/x', true],
    ['/registry/events/shop/e', true],
    ['/registry/leases/kube-system/l', true],
    ['/mine/events/shop/e', true],
    ['/registry/secrets/shop/events', false],
    ['/registry/example.com/events/shop/e', false],
    ['/other/events/shop/e', false],
    ['/registry/events', false],
    ['compact_rev_key2', false],
    ['/compact_rev_key', false],
    ['/registry/compact_rev_key', false],
  ])('%s: %s', (key, wanted) => {
    const bytes = Buffer.from(`before${key}after`);
    expect(runtimeKeys(['mine/'])(bytes, 6, 6 + key.length)).toBe(wanted);
  });
});

test('API servers are looked for below every prefix, each once', () => {
  expect(masterLeasePrefixes(['mine/', '/registry']).map(String)).toEqual([
    '/registry/masterleases/',
    '/kubernetes.io/masterleases/',
    '/openshift.io/masterleases/',
    '/mine/masterleases/',
  ]);
});
