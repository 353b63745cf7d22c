import type { ClusterOptions, TlsOptions } from '../cluster/options.js';
import { FerryError } from '../errors.js';
import { readSecretFile } from './secret-file.js';

/** Connection settings of one live side, as given by flags or environment; files not yet read. */
export interface ConnectionSettings {
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The same three from the environment: of no account beside flags, nor for plain http. */
  readonly tlsEnvironment?: { readonly cacert?: string; readonly cert?: string; readonly key?: string };
  /** `name` or, as etcdctl has it, `name:password`. */
  readonly user?: string;
  readonly password?: string;
  readonly passwordFile?: string;
  readonly insecureSkipTlsVerify?: boolean;
  /** Milliseconds. */
  readonly dialTimeout?: number;
  /** Milliseconds. */
  readonly commandTimeout?: number;
}

const DIAL_TIMEOUT = 5_000;
const COMMAND_TIMEOUT = 60_000;

/**
 * Reads what the settings name (certificates, password file) into the options of a connection.
 *
 * @throws FerryError `usage` for settings that do not fit together, `not-found` for a missing file
 */
export async function clusterOptions(endpoints: readonly string[], settings: ConnectionSettings): Promise<ClusterOptions> {
  const tls = await tlsOptions(endpoints, settings);
  const credentials = await userAndPassword(settings);
  return {
    endpoints,
    ...(tls === undefined ? {} : { tls }),
    ...credentials,
    dialTimeout: settings.dialTimeout ?? DIAL_TIMEOUT,
    commandTimeout: settings.commandTimeout ?? COMMAND_TIMEOUT,
  };
}

async function tlsOptions(endpoints: readonly string[], settings: ConnectionSettings): Promise<TlsOptions | undefined> {
  const plain = endpoints.every((endpoint) => endpoint.startsWith('http://'));
  const { cacert, cert, key, insecureSkipTlsVerify } = plain ? settings : withEnvironment(settings);
  if ((cert === undefined) !== (key === undefined)) {
    throw new FerryError('usage', cert === undefined ? 'a --key was given without its --cert' : 'a --cert was given without its --key');
  }
  const given = cacert !== undefined || cert !== undefined || insecureSkipTlsVerify === true;
  if (plain) {
    if (!given) return undefined;
    throw new FerryError('usage', `TLS settings were given, but ${endpoints[0]} is plain http`, { hint: 'Use https:// endpoints.' });
  }
  return {
    ...(cacert === undefined ? {} : { ca: await pem(cacert, 'CERTIFICATE') }),
    ...(cert === undefined ? {} : { cert: await pem(cert, 'CERTIFICATE') }),
    ...(key === undefined ? {} : { key: await pem(key, 'PRIVATE KEY') }),
    ...(insecureSkipTlsVerify === true ? { insecureSkipVerify: true } : {}),
  };
}

/** A certificate and its key go together: either both come from flags, or both from the environment. */
function withEnvironment(settings: ConnectionSettings): ConnectionSettings {
  const { tlsEnvironment: env = {}, cert, key } = settings;
  const pair = cert === undefined && key === undefined ? env : { cert, key };
  const cacert = settings.cacert ?? env.cacert;
  return {
    ...settings,
    ...(cacert === undefined ? {} : { cacert }),
    ...(pair.cert === undefined ? {} : { cert: pair.cert }),
    ...(pair.key === undefined ? {} : { key: pair.key }),
  };
}

async function userAndPassword(settings: ConnectionSettings): Promise<{ user?: string; password?: string }> {
  if (settings.user === undefined) {
    if (settings.password === undefined && settings.passwordFile === undefined) return {};
    throw new FerryError('usage', 'a password was given without a --user');
  }
  if (settings.password !== undefined && settings.passwordFile !== undefined) {
    throw new FerryError('usage', 'both a password and a --password-file were given', { hint: 'Keep the file.' });
  }
  const colon = settings.user.indexOf(':');
  const user = colon < 0 ? settings.user : settings.user.slice(0, colon);
  const inline = colon < 0 ? undefined : settings.user.slice(colon + 1);
  const password = settings.passwordFile === undefined ? (settings.password ?? inline) : await passwordFrom(settings.passwordFile);
  if (password === undefined) {
    throw new FerryError('usage', `user ${user} was given without a password`, { hint: 'Use --password-file, or ETCDCTL_PASSWORD.' });
  }
  return { user, password };
}

async function passwordFrom(path: string): Promise<string> {
  const text = await readSecretFile(path, 'password-file');
  return text.toString('utf8').replace(/\r?\n$/, '');
}

const FLAGS = { CERTIFICATE: 'cert or --cacert', 'PRIVATE KEY': 'key' } as const;

async function pem(path: string, label: keyof typeof FLAGS): Promise<Buffer> {
  const bytes = await readSecretFile(path, FLAGS[label]);
  if (!bytes.includes(`${label}-----`)) {
    throw new FerryError('usage', `${path} holds no PEM ${label.toLowerCase()}`, { hint: 'Give a file in PEM form.' });
  }
  return bytes;
}
