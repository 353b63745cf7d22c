import type { ShownValue } from '../jobs/show-value.js';
import { harmless } from '../model/shown-text.js';
import { rawJson } from './json.js';

/** What `--json` tells of a value that is Kubernetes': the object with all its digits, or why there is none. */
export function valueJson({ stored, locked }: ShownValue): object {
  if (locked !== undefined) return { encrypted: locked };
  if (stored.json === undefined) return {};
  const { apiVersion, kind, format, unknownFields } = stored;
  return { format, apiVersion, kind, ...(unknownFields > 0 ? { unknownFields } : {}), object: rawJson(stored.json.toString()) };
}

/** Why a value is not shown, as the end of a sentence. */
export function lockedText({ provider, keyName }: { readonly provider: string; readonly keyName: string }): string {
  return `is encrypted with ${provider}, key ${harmless(keyName)}, which nothing given opens (--encryption-config)`;
}
