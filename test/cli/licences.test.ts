import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
}

const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Record<string, LockedPackage> };
const production = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);

/** Licences that may be shipped with, or used by, an Apache-2.0 program without further duties than to name them. */
const ALLOWED = ['Apache-2.0', 'MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Python-2.0', 'BlueOak-1.0.0', 'Unlicense'];

test('every dependency we ship has a licence that we may use', () => {
  const others = production.filter(([, { license }]) => !ALLOWED.includes(license ?? ''));
  expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
  expect(production.length).toBeGreaterThan(20);
});

test('what is installed says the same of itself', () => {
  const differing = production.filter(([path, { license }]) => {
    const file = join(ROOT, path, 'package.json');
    if (!existsSync(file)) return false;
    const own = (JSON.parse(readFileSync(file, 'utf8')) as { license?: string }).license;
    return own !== undefined && own !== license;
  });
  expect(differing.map(([path]) => path)).toEqual([]);
});

test('the lockfile fixes every dependency by its hash', () => {
  const loose = Object.entries(packages).filter(([path, { integrity }]) => path !== '' && integrity?.startsWith('sha512-') !== true);
  expect(loose.map(([path]) => path)).toEqual([]);
  expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined && !resolved.startsWith('https://'))).toEqual([]);
});

test('no dependency we ship runs a script of its own when it is installed', () => {
  // protobufjs' script prints a hint about version schemes, and nothing needs it.
  const scripts = production.filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([path]) => path);
  expect(scripts.filter((path) => !path.endsWith('node_modules/protobufjs'))).toEqual([]);
});
