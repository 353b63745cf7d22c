import type { Key, Rename, RestoreFlags, Select } from './model.js';
import type { BackFlags } from './model-tree.js';

/** The flags that say which keys. */
export function selectFlags({ prefixes, excludes, kinds, namespaces, allowEmpty }: Select): string[] {
  return [
    ...prefixes.map((prefix) => `--prefix=${prefix}`),
    ...excludeFlags(excludes),
    ...objectFlags(kinds, namespaces),
    ...(allowEmpty ? ['--allow-empty'] : []),
  ];
}

export function excludeFlags(excludes: readonly Key[]): string[] {
  return excludes.map((prefix) => `--exclude-prefix=${prefix}`);
}

export function objectFlags(kinds: readonly string[], namespaces: readonly string[]): string[] {
  return [...kinds.map((kind) => `--kind=${kind}`), ...namespaces.map((namespace) => `--namespace=${namespace}`)];
}

export function renameFlags({ maps, strip, add }: Rename): string[] {
  return [
    ...maps.map(([from, to]) => `--map=${from}=${to}`),
    ...(strip === '' ? [] : [`--strip-prefix=${strip}`]),
    ...(add === '' ? [] : [`--add-prefix=${add}`]),
  ];
}

function reencryptFlags(reencrypt: boolean, configuration: string): string[] {
  return reencrypt ? ['--reencrypt', `--encryption-config=${configuration}`] : [];
}

export function fileFlags(
  { select, rename, reencrypt, withAuth }: Pick<RestoreFlags, 'select' | 'rename' | 'reencrypt' | 'withAuth'>,
  configuration: string,
): string[] {
  return [
    ...selectFlags(select),
    ...renameFlags(rename),
    ...reencryptFlags(reencrypt, configuration),
    ...(withAuth ? ['--with-auth'] : []),
  ];
}

export function restoreFlags(flags: RestoreFlags, configuration: string): string[] {
  return [
    ...fileFlags(flags, configuration),
    `--on-conflict=${flags.onConflict}`,
    `--lease-ttl=${flags.leaseTtl}`,
    ...(flags.deleteExtra ? ['--delete-extra'] : []),
    ...(flags.includeRuntime ? ['--include-runtime'] : []),
  ];
}

export function backFlags({ select, rename, leaseTtl, onConflict, directoryValue }: BackFlags): string[] {
  return [
    ...selectFlags(select),
    ...renameFlags(rename),
    `--lease-ttl=${leaseTtl}`,
    `--on-conflict=${onConflict}`,
    ...(directoryValue === undefined ? [] : [`--directory-value=${directoryValue}`]),
  ];
}
