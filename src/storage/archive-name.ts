import { FerryError } from '../errors.js';

/** What the name of an archive in a repository tells. */
export interface ArchiveName {
  /** What the archives of one cluster have in common; dashes may be in it. */
  readonly name: string;
  /** When its source was pinned, in milliseconds since the Unix epoch. */
  readonly time: number;
  /** v3: the revision. v2: the index. */
  readonly revision: bigint;
  readonly encrypted: boolean;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const FILE = /^(.+)-(\d{8}T\d{6}\.\d{3}Z)-r(0|[1-9]\d{0,19})\.etcd\.tar(\.age)?$/;
/** The last moment of the year 9999: times have four digits for the year. */
const LAST_TIME = 253_402_300_799_999;

/**
 * The name of an archive in a repository: `prod-20261123T031500.123Z-r4711.etcd.tar`, with `.age`
 * behind it where it is encrypted. Those of one NAME sort by time.
 *
 * @throws FerryError `usage` for a NAME that can be none
 */
export function formatArchiveName({ name, time, revision, encrypted }: ArchiveName): string {
  checkName(name);
  return `${name}-${formatTime(time)}-r${revision}.etcd.tar${encrypted ? '.age' : ''}`;
}

/** Reads what `formatArchiveName` wrote; undefined for any other name. */
export function parseArchiveName(file: string): ArchiveName | undefined {
  const [, name, stamp, revision, age] = FILE.exec(file) ?? [];
  if (name === undefined || stamp === undefined || revision === undefined || !NAME.test(name)) return undefined;
  const time = parseStamp(stamp);
  return time === undefined ? undefined : { name, time, revision: BigInt(revision), encrypted: age !== undefined };
}

/**
 * Refuses a NAME that cannot be part of a file name everywhere.
 *
 * @throws FerryError `usage`
 */
export function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw new FerryError('usage', `"${name}" cannot name archives`, {
    hint: 'A name has up to 100 letters, digits, dots, dashes and underscores, and begins with a letter or a digit.',
  });
}

/** `20261123T031500.123Z`: as short as ISO 8601 has it, with nothing in it that a file name may not have. */
function formatTime(time: number): string {
  if (!(time >= 0 && time <= LAST_TIME)) throw new FerryError('failed', `${time} is not a time that an archive's name can have`);
  return new Date(time).toISOString().replace(/[-:]/g, '');
}

function parseStamp(stamp: string): number | undefined {
  const [, year, month, day, hour, minute, rest] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(.*)$/.exec(stamp) ?? [];
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${rest}`);
  // Date.parse takes the 30th of February for the 2nd of March.
  return time >= 0 && formatTime(time) === stamp ? time : undefined;
}
