import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { FerryError } from '../errors.js';
import { checkKey, type Section, type SettingKeys, type SettingValue, settingValue } from './config-values.js';

/** Settings by the name of the flag they stand for. */
export type Settings = Readonly<Record<string, SettingValue>>;

/** What a configuration file names. */
export interface Config {
  readonly path: string;
  readonly clusters: ReadonlyMap<string, Settings>;
  readonly repositories: ReadonlyMap<string, Settings>;
  readonly policies: ReadonlyMap<string, Settings>;
  readonly profiles: ReadonlyMap<string, Settings>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const FILE = 'etcdferry.yaml';
/** The longest a configuration may be, in bytes. */
const LONGEST = 4 * 1024 * 1024;
/** Group and others may read. */
const READABLE_BY_OTHERS = 0o044;
/** Settings that are secrets by themselves. */
const SECRETS: ReadonlySet<string> = new Set(['password']);

/**
 * Finds the configuration file: the one named, by flag or by $ETCDFERRY_CONFIG, else `./etcdferry.yaml`,
 * else the one of the user.
 *
 * @throws FerryError `not-found` when none is there
 */
export async function findConfig(named: string | undefined, env: Environment): Promise<string> {
  const given = named ?? (env.ETCDFERRY_CONFIG || undefined);
  if (given !== undefined) return given;
  const home = env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config');
  const places = [FILE, join(home, 'etcdferry', FILE)];
  for (const place of places) if (await isThere(place)) return place;
  throw new FerryError('not-found', `no configuration file: neither ${places.join(' nor ')} is there`, {
    hint: 'Name it with --config, or in $ETCDFERRY_CONFIG.',
  });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/**
 * Reads a configuration file; `${NAME}` in a value is the environment's, `$${` stands for `${`.
 *
 * @param keys what each section may hold
 * @throws FerryError `not-found`, `usage` for what is no such file: with the place, and for an unknown key the nearest known one
 */
export async function readConfig(path: string, keys: SettingKeys, env: Environment, warn: (message: string) => void): Promise<Config> {
  const text = await readText(path);
  const document = asMap(await parseYaml(text, path), path, 'the file');
  for (const key of Object.keys(document)) await checkKey(key, Object.keys(keys), path);
  const holdsSecret = { found: false };
  const read = (section: Section): Promise<ReadonlyMap<string, Settings>> => {
    return readSection(document[section], section, { path, known: keys[section], env, holdsSecret });
  };
  const config = {
    path,
    clusters: await read('clusters'),
    repositories: await read('repositories'),
    policies: await read('policies'),
    profiles: await read('profiles'),
  };
  if (holdsSecret.found && ((await stat(path)).mode & READABLE_BY_OTHERS) !== 0) {
    warn(`${path} holds a password and can be read by others; chmod 600 it, or name a password-file`);
  }
  return config;
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > LONGEST) throw new FerryError('usage', `${path} has ${size} bytes; that is no configuration file`);
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw FerryError.from(thrown, path);
  }
}

async function parseYaml(text: string, path: string): Promise<unknown> {
  const { yamlSettings } = await import('../kubernetes/yaml-settings.js');
  return yamlSettings(text, (what, line) => new FerryError('usage', `${path}${line === undefined ? '' : `, line ${line}`}: ${what}`));
}

interface Reading {
  readonly path: string;
  readonly known: SettingKeys[Section];
  readonly env: Environment;
  readonly holdsSecret: { found: boolean };
}

async function readSection(value: unknown, section: Section, reading: Reading): Promise<ReadonlyMap<string, Settings>> {
  const entries = new Map<string, Settings>();
  const { path, known, env, holdsSecret } = reading;
  if (value === undefined || value === null) return entries;
  for (const [name, settings] of Object.entries(asMap(value, path, section))) {
    const place = `${section}.${name}`;
    const checked: Record<string, SettingValue> = {};
    for (const [key, raw] of Object.entries(asMap(settings ?? {}, path, place))) {
      await checkKey(key, Object.keys(known), `${path}: ${place}`);
      if (SECRETS.has(key) && isWritten(raw)) holdsSecret.found = true;
      if (key === 'user' && typeof raw === 'string' && raw.includes(':')) holdsSecret.found = true;
      checked[key] = settingValue(raw, known[key] ?? 'string', `${path}: ${place}.${key}`, (text, where) => substitute(text, where, env));
    }
    entries.set(name, checked);
  }
  return entries;
}

/** True for a value that stands in the file itself, and not in the environment. */
function isWritten(raw: unknown): boolean {
  return typeof raw !== 'string' || !/^\$\{\w+\}$/.test(raw);
}

function asMap(value: unknown, path: string, place: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  throw new FerryError('usage', `${path}: ${place} is not a map of names`, { hint: 'See docs/operations.md for an example.' });
}

function substitute(text: string, where: string, env: Environment): string {
  return text.replace(/\$\$\{|\$\{([^}]*)\}/g, (whole, name: string | undefined) => {
    if (whole === '$${') return '${';
    const value = name === undefined ? undefined : env[name];
    if (value !== undefined && value !== '') return value;
    throw new FerryError('usage', `${where}: the environment has no ${name}`, {
      hint: `Set it, or write $\${${name}} for the text itself.`,
    });
  });
}
