import type { Key, Rename, RestoreFlags, Select } from './model.js';

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

export function reencryptFlags(reencrypt: boolean, configuration: string): string[] {
  return reencrypt ? ['--reencrypt', `--encryption-config=${configuration}`] : [];
}

export function restoreFlags(flags: RestoreFlags, configuration: string): string[] {
  return [
    ...selectFlags(flags.select),
    ...renameFlags(flags.rename),
    `--on-conflict=${flags.onConflict}`,
    `--lease-ttl=${flags.leaseTtl}`,
    ...(flags.deleteExtra ? ['--delete-extra'] : []),
    ...(flags.includeRuntime ? ['--include-runtime'] : []),
    ...reencryptFlags(flags.reencrypt, configuration),
  ];
}
