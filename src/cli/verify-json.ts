import type { ArchiveSummary } from '../archive/account.js';
import type { FerryError } from '../errors.js';
import type { RecordsAccount } from '../jobs/check-records.js';
import type { DrillAccount } from '../jobs/drill.js';
import { exitOfResult, notesOfResult, type VerifyResult } from '../jobs/verify.js';
import type { AgainstAccount, NamedDifference } from '../jobs/verify-against.js';
import type { SampleAccount } from '../jobs/verify-archive.js';
import type { FilesAccount } from '../jobs/verify-files.js';
import { bytesField, errorJson, notesJson } from './json.js';

type PassedResult = Exclude<VerifyResult, { readonly error: FerryError }>;

/**
 * A line of `verify --json`. `passed` is what was asked for; `whole` is true only where all of it was read.
 */
export function resultJson(result: VerifyResult): object {
  const head = { schema: 'etcdferry.verify/v1', location: result.location };
  if (result.error !== undefined) return { ...errorJson(result.error), ...head, passed: false, whole: false };
  const { kind, depth, whole, unproven, contents, drill, against, milliseconds } = result;
  return {
    ...head,
    passed: exitOfResult(result) !== 4,
    whole,
    ...(unproven === undefined ? {} : { unproven }),
    kind,
    depth,
    ...accountFields(result),
    ...(contents === undefined ? {} : { contents: contentsJson(contents) }),
    ...(drill === undefined ? {} : { drill: drillJson(drill) }),
    ...(against === undefined ? {} : { against: againstJson(against) }),
    notes: notesJson(notesOfResult(result)),
    seconds: Math.round(milliseconds) / 1000,
  };
}

/** The last line of `verify --json`. */
export function summaryJson(results: readonly VerifyResult[], exit: number): object {
  const isFailed = (result: VerifyResult): boolean => result.error !== undefined || exitOfResult(result) === 4;
  const failed = results.filter(isFailed).length;
  return {
    schema: 'etcdferry.verify-summary/v1',
    verified: results.length,
    passed: results.length - failed,
    whole: results.filter((result) => result.error === undefined && result.whole).length,
    failed,
    exit,
  };
}

function accountFields(result: PassedResult): object {
  if (result.kind === 'stored') return result.account;
  return result.kind === 'archive' ? archiveFields(result.account, result.sha256, result.sample) : filesFields(result.account);
}

function archiveFields(account: ArchiveSummary, sha256: string | undefined, sample: SampleAccount | undefined): object {
  const { header, records, rawBytes, size, digests } = account;
  const { formatVersion, api, order, revision } = header;
  return {
    ...{ formatVersion, api, order, revision, records, rawBytes, size },
    ...(sha256 === undefined ? {} : { sha256 }),
    digests,
    ...(sample === undefined ? {} : { sample: { ...sample, part: sample.part + 1 } }),
  };
}

function filesFields({ source, records, rawBytes, leases }: FilesAccount): object {
  const { api, order, revision } = source;
  return { api, order, [api === 'v2' ? 'index' : 'revision']: revision, records, rawBytes, leases };
}

function contentsJson({ records, kinds, opened, locked }: RecordsAccount): object {
  return { records, kinds, opened, locked };
}

function drillJson({ etcdVersion, restoredWith, served, milliseconds }: DrillAccount): object {
  const { counts, differ, differences, other } = served;
  return {
    etcdVersion,
    restoredWith,
    revision: other.revision,
    differ,
    ...counts,
    differences: differencesJson(differences),
    seconds: Math.round(milliseconds) / 1000,
  };
}

function differencesJson(differences: readonly NamedDifference[]): object[] {
  return differences.map(({ kind, key, parts }) => ({ change: kind, ...bytesField('key', key), parts }));
}

function againstJson({ other, at, counts, differ, differences }: AgainstAccount): object {
  const { kind, location, api, revision } = other;
  return {
    location,
    kind,
    api,
    [api === 'v2' ? 'index' : 'revision']: revision,
    at,
    differ,
    ...counts,
    differences: differencesJson(differences),
  };
}
