import { FerryError } from '../errors.js';

/** What the user named, as far as the text alone tells. What exists is told by its content later. */
export type Location =
  | { readonly kind: 'live'; readonly text: string; readonly endpoints: readonly string[] }
  | { readonly kind: 'stdio'; readonly text: string }
  | { readonly kind: 'path'; readonly text: string; readonly path: string; readonly ending: Ending }
  | S3Location;

/** A place in a bucket. */
export interface S3Location {
  readonly kind: 's3';
  readonly text: string;
  readonly bucket: string;
  /** Of an object, or what the keys of all of a repository's objects begin with; no `/` at either end. */
  readonly key: string;
  /** What does not end as an archive does is a repository. */
  readonly ending: 'archive' | 'encrypted-archive' | 'repository';
}

/** What a path that does not exist yet is to become, by its ending. */
export type Ending = 'snapshot-file' | 'archive' | 'encrypted-archive' | 'repository' | 'unknown';

const LOCATION_HINT =
  'A location is http(s)://host:port, a snapshot file, a data dir, an archive (.tar), a repository (a directory, s3://bucket/prefix), or "-" for stdin or stdout.';

/**
 * Reads a location as typed on the command line (docs/design.md, "Locations").
 *
 * @throws FerryError `usage` when it is none, or carries credentials
 */
export function parseLocation(text: string): Location {
  if (text === '') throw new FerryError('usage', 'a location is empty', { hint: LOCATION_HINT });
  if (text === '-') return { kind: 'stdio', text };
  if (/^https?:\/\//i.test(text)) return { kind: 'live', text, endpoints: parseEndpoints(text) };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme === 'file') throw new FerryError('usage', `${text}: file:// is not a location`, { hint: 'Give the path itself.' });
  if (scheme?.toLowerCase() === 's3') return parseS3(text);
  if (scheme !== undefined) {
    throw new FerryError('usage', `${text}: locations of the scheme ${scheme}:// are not known`, { hint: LOCATION_HINT });
  }
  return { kind: 'path', text, path: text, ending: endingOf(text) };
}

/**
 * Splits a comma-separated list of endpoints, as etcdctl's `--endpoints` has it. One without a
 * scheme has the scheme of the first, or plain `http`; one without a port has etcd's, 2379.
 *
 * @throws FerryError `usage` for what is no URL of a host, for mixed schemes, for credentials in it
 */
export function parseEndpoints(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim());
  const scheme = /^(https?):\/\//i.exec(parts[0] ?? '')?.[1]?.toLowerCase() ?? 'http';
  return parts.map((part) => parseEndpoint(part, scheme));
}

function parseEndpoint(part: string, scheme: string): string {
  const absolute = /^https?:\/\//i.test(part) ? part : `${scheme}://${part}`;
  if (part === '' || !URL.canParse(absolute)) {
    // What stands before an @ may be a secret.
    throw new FerryError('usage', `${part.includes('@') ? 'what was given' : `"${part}"`} is not an endpoint`, {
      hint: 'Endpoints look like http://host:2379, separated by commas.',
    });
  }
  const url = new URL(absolute);
  if (url.username !== '' || url.password !== '') {
    throw new FerryError('usage', 'an endpoint carries a user or password', { hint: 'Use --user and --password-file.' });
  }
  if (url.protocol !== `${scheme}:`) {
    throw new FerryError('usage', `the endpoints mix http and https: ${part} beside ${scheme}://`, { hint: 'Use one scheme for all.' });
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new FerryError('usage', `"${part}" has a path; an endpoint is a host and a port`, { hint: 'Use --prefix to choose keys.' });
  }
  return `${url.protocol}//${hostAndPort(url, absolute)}`;
}

/** Bucket names have 3 to 63 characters (S3's "Bucket naming rules"); look-alikes take a few more kinds. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;

function parseS3(text: string): S3Location {
  const [bucket = '', ...rest] = text.slice('s3://'.length).split('/');
  const key = rest.join('/').replace(/\/+$/, '');
  if (
    !BUCKET.test(bucket) ||
    key.split('/').some((part, i) => part === '.' || part === '..' || (part === '' && i > 0)) ||
    key.startsWith('/')
  ) {
    // What stands before an @ may be a secret.
    throw new FerryError('usage', `${bucket.includes('@') ? 's3://…' : text} is no place in a bucket`, {
      hint: 'Write it s3://bucket/prefix; credentials come from the environment or files of the AWS SDK.',
    });
  }
  const ending = endingOf(rest.join('/'));
  if (ending === 'snapshot-file') {
    throw new FerryError('usage', `${text}: snapshot files are not kept in buckets`, { hint: 'Name an archive (.tar) or a repository.' });
  }
  return { kind: 's3', text, bucket, key, ending: ending === 'unknown' ? 'repository' : ending };
}

function endingOf(path: string): Ending {
  if (path.endsWith('/')) return 'repository';
  if (path.endsWith('.db')) return 'snapshot-file';
  if (path.endsWith('.tar')) return 'archive';
  if (path.endsWith('.tar.age')) return 'encrypted-archive';
  return 'unknown';
}

/** The URL class drops http's own port (80) where it was typed; etcd's default is another. */
function hostAndPort(url: URL, typed: string): string {
  if (url.port !== '') return url.host;
  const explicit = /:(\d+)\/?$/.exec(typed)?.[1];
  return `${url.hostname}:${explicit ?? '2379'}`;
}
