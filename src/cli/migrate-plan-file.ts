import { readFile } from 'node:fs/promises';
import type { Fingerprint, TreeFingerprint } from '../convert/v2-fingerprint.js';
import { FerryError } from '../errors.js';
import type { MigrateReport } from '../jobs/migrate.js';
import { toJson } from './json.js';
import { migrationJson, type RunFacts } from './migrate-report.js';
import { writeSmallFile } from './report-file.js';

const SCHEMA = 'etcdferry.migrate-plan/v1';

/** Flags that decide what a migration writes: a plan keeps them, and takes none besides. Secrets are not among them. */
const PLANNED_FLAGS = [
  ...['from', 'to', 'endpoints', 'ttl', 'ttl-granularity', 'empty-dirs', 'hidden', 'drop-expired', 'include-hidden'],
  ...['prefix', 'exclude-prefix', 'allow-empty', 'map', 'strip-prefix', 'add-prefix', 'on-conflict', 'overwrite'],
  ...['kind', 'exclude-kind', 'namespace', 'object-name', 'name', 'etcd-prefix', 'include-runtime', 'kubernetes-protobuf'],
  ...['wal-dir', 'include-uncommitted', 'max-memory', 'max-record-size', 'max-txn-ops', 'max-request-bytes', 'api'],
];

type Flags = Readonly<Record<string, unknown>>;

/** A plan as it was kept: the flags it was made with, and what the source is to become. */
export interface KeptPlan {
  readonly flags: Flags;
  readonly fingerprint: TreeFingerprint;
}

/**
 * Keeps a plan.
 *
 * @param args the command line it was made with
 * @throws FerryError as the disk does
 */
export async function savePlan(path: string, report: MigrateReport, facts: RunFacts, args: Flags, from: string): Promise<void> {
  const { plan } = report;
  if (plan === undefined) return;
  const given = PLANNED_FLAGS.filter((name) => args[name] !== undefined && name !== 'endpoints').map((name) => [name, args[name]]);
  const { permanent, emptyDirectories, expiring } = plan.fingerprint;
  const document = {
    ...migrationJson(report, facts),
    schema: SCHEMA,
    toolVersion: facts.toolVersion,
    flags: { ...Object.fromEntries(given), from },
    fingerprint: {
      permanent: fingerprintJson(permanent),
      emptyDirectories: fingerprintJson(emptyDirectories),
      expiring: [...expiring].map(([second, each]) => ({ second, ...fingerprintJson(each) })),
    },
  };
  await writeSmallFile(path, `${toJson(document)}\n`);
}

/**
 * Reads a plan back.
 *
 * @param args the command line that is to carry it out
 * @throws FerryError `not-found`; `damaged` or `unknown-format` for what is no plan; `usage` for a flag that would change it
 */
export async function readPlan(path: string, args: Flags): Promise<KeptPlan> {
  const stray = [...PLANNED_FLAGS, 'dry-run', 'save-plan', 'to-api'].find((name) => args[name] !== undefined);
  if (stray !== undefined) {
    throw new FerryError('usage', `--${stray} goes into a plan when it is made, not when it is carried out`, {
      hint: 'Make a new plan with --dry-run --save-plan.',
    });
  }
  const document = fieldsOf(await parsedFile(path));
  if (document.schema !== SCHEMA) {
    throw new FerryError('unknown-format', `${path}: not a plan that this release knows (${SCHEMA})`, {
      hint: 'Make one with --dry-run --save-plan.',
    });
  }
  const { permanent, emptyDirectories, expiring } = fieldsOf(document.fingerprint);
  const seconds = Array.isArray(expiring) ? expiring.map((each: unknown) => fieldsOf(each)) : [];
  try {
    return {
      flags: fieldsOf(document.flags),
      fingerprint: {
        permanent: fingerprintIn(permanent),
        emptyDirectories: fingerprintIn(emptyDirectories),
        expiring: new Map(seconds.map((each) => [BigInt(each.second as number), fingerprintIn(each)])),
      },
    };
  } catch (thrown) {
    throw new FerryError('damaged', `${path}: the plan's fingerprint is none`, { cause: thrown });
  }
}

async function parsedFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    throw FerryError.from(thrown, `reading ${path}`);
  }
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new FerryError('damaged', `${path}: is no JSON`, { cause: thrown });
  }
}

function fingerprintJson({ count, sum }: Fingerprint): object {
  return { count, sum: sum.toString(16).padStart(32, '0') };
}

/** @throws SyntaxError or TypeError for what is none */
function fingerprintIn(value: unknown): Fingerprint {
  const { count, sum } = fieldsOf(value);
  if (typeof count !== 'number' || typeof sum !== 'string') throw new TypeError('no fingerprint');
  return { count, sum: BigInt(`0x${sum}`) };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
