import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GoFile, type GoType } from './go-types.js';

/** The Go types of one Kubernetes release, as far as they have protobuf messages. */
export interface Generation {
  /** `1.36`. */
  readonly name: string;
  readonly types: ReadonlyMap<string, GoType>;
  /** Packages that have a generated.proto, with their API group (undefined for helpers): `k8s.io/api/apps/v1` → `apps`. */
  readonly packages: ReadonlyMap<string, string | undefined>;
}

const ROOTS = ['usr/share/gocode/src/k8s.io', 'staging/src/k8s.io'];
/** Packages of types that messages refer to, but that have no message of their own. */
const HELPERS = ['apimachinery/pkg/types', 'apimachinery/pkg/api/resource', 'apimachinery/pkg/conversion'];
/** Messages of Kubernetes' own tests. */
const NOT_WANTED = /\/(testapigroup|example2?)\//;

/** Reads all packages with protobuf messages from an unpacked Debian package or source tree. */
export function readGeneration(name: string, directory: string): Generation {
  const root = ROOTS.map((path) => join(directory, path)).find(existsSync);
  if (root === undefined) throw new Error(`${directory} holds no Go sources of Kubernetes`);
  const types = new Map<string, GoType>();
  const packages = new Map<string, string | undefined>();
  for (const path of packagePaths(root)) {
    packages.set(`k8s.io/${path}`, groupName(join(root, path)));
    readPackage(root, path, types);
  }
  for (const path of HELPERS) readPackage(root, path, types);
  return { name, types, packages };
}

function packagePaths(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('/generated.proto') && !path.includes('/vendor/') && !NOT_WANTED.test(path))
    .map((path) => path.slice(0, -'/generated.proto'.length))
    .sort();
}

function readPackage(root: string, path: string, types: Map<string, GoType>): void {
  const directory = join(root, path);
  if (!existsSync(directory)) return;
  for (const file of readdirSync(directory).sort()) {
    if (!file.endsWith('.go') || /^(zz_|generated)|_test\.go$|swagger_doc/.test(file)) continue;
    for (const [name, type] of new GoFile(readFileSync(join(directory, file), 'utf8'), `k8s.io/${path}`).types()) types.set(name, type);
  }
}

/** The API group, as `register.go` names it. */
function groupName(directory: string): string | undefined {
  const file = join(directory, 'register.go');
  return existsSync(file) ? /GroupName\s*=\s*"([^"]*)"/.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
}
