/** Where Kubernetes keeps an object, read from its etcd key. */
export interface StoragePath {
  /** `/registry`; empty for what stands outside of it (`compact_rev_key`). */
  readonly prefix: string;
  /** API group, where the path has it: of custom resources, CRDs and APIServices. */
  readonly group: string | undefined;
  /** Plural name as in the API (`services`, `nodes`), wherever it is stored. */
  readonly resource: string;
  /** Undefined for what belongs to no namespace. */
  readonly namespace: string | undefined;
  /** Undefined for what is not kept by name. */
  readonly name: string | undefined;
}

/** kube-apiserver's default `--etcd-prefix`, and OpenShift's two. */
export const DEFAULT_PREFIXES: readonly string[] = ['/registry', '/kubernetes.io', '/openshift.io'];

/**
 * Resources stored under another name than the API's (kubernetes
 * pkg/kubeapiserver/default_storage_factory_builder.go; test/integration/etcd/data.go has all paths).
 */
const ODD_PATHS: readonly (readonly [path: readonly string[], resource: string, group?: string])[] = [
  [['services', 'specs'], 'services'],
  [['services', 'endpoints'], 'endpoints'],
  [['minions'], 'nodes'],
  [['controllers'], 'replicationcontrollers'],
  [['ingress'], 'ingresses'],
  [['podsecuritypolicy'], 'podsecuritypolicies'],
  [['oauth', 'clients'], 'oauthclients', 'oauth.openshift.io'],
  [['oauth', 'accesstokens'], 'oauthaccesstokens', 'oauth.openshift.io'],
  [['oauth', 'authorizetokens'], 'oauthauthorizetokens', 'oauth.openshift.io'],
  [['oauth', 'clientauthorizations'], 'oauthclientauthorizations', 'oauth.openshift.io'],
  [['authorization', 'cluster', 'roles'], 'clusterroles', 'authorization.openshift.io'],
  [['authorization', 'cluster', 'rolebindings'], 'clusterrolebindings', 'authorization.openshift.io'],
  [['authorization', 'local', 'roles'], 'roles', 'authorization.openshift.io'],
  [['authorization', 'local', 'rolebindings'], 'rolebindings', 'authorization.openshift.io'],
];

/** The clock of the API server's compaction, which stands beside its prefix. */
const COMPACT_REVISION_KEY = 'compact_rev_key';

/**
 * Reads a Kubernetes storage path: `<prefix>/<resource>[/<namespace>]/<name>`, of custom resources
 * `<prefix>/<group>/<resource>[/<namespace>]/<name>`.
 *
 * @param prefixes values of `--etcd-prefix`, beside the usual ones
 * @returns undefined when the key is none of Kubernetes'
 */
export function parseStoragePath(key: Buffer, prefixes: readonly string[] = []): StoragePath | undefined {
  const text = key.toString();
  if (text === COMPACT_REVISION_KEY || text === `/${COMPACT_REVISION_KEY}`)
    return { prefix: '', group: undefined, resource: COMPACT_REVISION_KEY, namespace: undefined, name: undefined };
  const prefix = [...prefixes.map(withSlash), ...DEFAULT_PREFIXES].find((one) => text.startsWith(`${one}/`));
  if (prefix === undefined || text.includes('\ufffd')) return undefined;
  const segments = text.slice(prefix.length + 1).split('/');
  const [first = ''] = segments;
  if (first === '') return undefined;
  const odd = ODD_PATHS.find(([path]) => path.every((part, i) => segments[i] === part));
  if (odd !== undefined) return place(prefix, odd[2], odd[1], segments.slice(odd[0].length));
  if (first.includes('.') && segments.length > 2) return place(prefix, first, segments[1] as string, segments.slice(2));
  return place(prefix, undefined, first, segments.slice(1));
}

/** What an object tells of itself that can be in its path. */
export interface ToldNames {
  /** Empty where the object tells of none. */
  readonly namespace: string;
  readonly name: string;
  /** The object's kind as a resource, as far as that can be guessed. */
  readonly plural: string;
}

/**
 * Reads a path again by the names that its object tells, where it can be read so that they fit. A server
 * of an aggregated API may have an `--etcd-prefix` below the usual one, and put its group into its paths
 * once more: `/registry/example.com/example.com/things/ns/name`.
 *
 * @param guess the path as `parseStoragePath` reads it
 */
export function pathAsTold(key: Buffer, guess: StoragePath, { namespace, name, plural }: ToldNames): StoragePath {
  if (guess.prefix === '' || (guess.name === name && (guess.namespace ?? '') === namespace)) return guess;
  const segments = key
    .toString()
    .slice(guess.prefix.length + 1)
    .split('/');
  const named = namespace === '' ? [name] : [namespace, name];
  const before = segments.slice(0, -named.length);
  const resource = before.at(-1);
  if (resource === undefined || segments.slice(-named.length).join('/') !== named.join('/')) return guess;
  // Without a namespace, what was read as one may be the resource: when no path is read so, or the kind says it.
  const isNone = guess.resource.includes('.') || guess.name?.includes('/') === true;
  if (namespace === '' && !isNone && (resource !== plural || guess.resource === plural)) return guess;
  const group = before.at(-2)?.includes('.') === true ? before.at(-2) : undefined;
  return { prefix: guess.prefix, group, resource, namespace: namespace === '' ? undefined : namespace, name };
}

/** `/x` of `x`, `/x/` and `/x`: as the API server uses its `--etcd-prefix`. */
export function withSlash(prefix: string): string {
  return `/${prefix.replace(/^\/+|\/+$/g, '')}`;
}

function place(prefix: string, group: string | undefined, resource: string, rest: readonly string[]): StoragePath {
  const inNamespace = rest.length > 1;
  return {
    prefix,
    group,
    resource,
    namespace: inNamespace ? rest[0] : undefined,
    name: rest.length === 0 ? undefined : rest.slice(inNamespace ? 1 : 0).join('/'),
  };
}
