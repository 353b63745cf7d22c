import type { Put } from '../support/load.js';

const KINDS = ['pods', 'configmaps', 'secrets', 'replicasets', 'endpoints', 'events', 'deployments', 'services/specs', 'serviceaccounts'];
const WORDS = 'alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa'.split(' ');

/** Mulberry32: small, seeded, the same everywhere. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/**
 * Keys and values as Kubernetes' registry has them: about 0.9 KB a pair, mostly the same text from
 * object to object, with names, uids, addresses and times that differ.
 */
export function* kubernetesLike(count: number, seed = 1): Iterable<Put> {
  const next = random(seed);
  const word = (): string => WORDS[next() % WORDS.length] as string;
  for (let i = 0; i < count; i++) {
    const kind = KINDS[next() % KINDS.length] as string;
    const namespace = `team-${word()}-${next() % 200}`;
    const name = `${word()}-${word()}-${next().toString(36)}-${i.toString(36)}`;
    yield { key: Buffer.from(`/registry/${kind}/${namespace}/${name}`), value: Buffer.from(object(kind, namespace, name, next)) };
  }
}

function object(kind: string, namespace: string, name: string, next: () => number): string {
  const hex = (): string => next().toString(16).padStart(8, '0');
  const uid = `${hex()}-${hex().slice(0, 4)}-4${hex().slice(0, 3)}-a${hex().slice(0, 3)}-${hex()}${hex().slice(0, 4)}`;
  const time = `2026-0${1 + (next() % 9)}-1${next() % 10}T0${next() % 10}:3${next() % 10}:5${next() % 10}Z`;
  const containers = Array.from({ length: 1 + (next() % 3) }, (_, i) => ({
    name: `${name.split('-')[0]}-${i}`,
    image: `registry.example/${namespace}/app:v1.${next() % 50}.${next() % 20}`,
    resources: { limits: { cpu: '500m', memory: `${128 * (1 + (next() % 8))}Mi` } },
    imagePullPolicy: 'IfNotPresent',
  }));
  return `k8s\0\n\x0c${JSON.stringify({
    kind,
    metadata: {
      name,
      namespace,
      uid,
      creationTimestamp: time,
      labels: { 'app.kubernetes.io/name': name.split('-')[0], 'pod-template-hash': hex() },
      managedFields: [{ manager: 'kubelet', operation: 'Update', time }],
    },
    spec: { containers, serviceAccountName: 'default', restartPolicy: 'Always', dnsPolicy: 'ClusterFirst' },
    status: { phase: 'Running', podIP: `10.${next() % 256}.${next() % 256}.${next() % 256}` },
  })}`;
}
