import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { beforeAll, describe, expect, test } from 'vitest';
import type { BackupReport } from '../../src/jobs/backup.js';
import { backupToRepository } from '../../src/jobs/backup-to-repository.js';
import { parseLocation } from '../../src/locations/parse.js';
import type { AuthData } from '../../src/model/auth.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING } from '../../src/model/source.js';
import { type Content, cutInto, kv, V3_INFO } from '../archive/memory.js';
import { AUTH, LEASES, packed } from '../archive/samples.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const DAY = 86_400_000;
let count = 0;
let recipient = '';
let identityFile = '';

beforeAll(async () => {
  const identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  identityFile = join(directory, 'identity');
  writeFileSync(identityFile, identity);
});

/** A cluster as it is one day: what changes by itself is another every day. */
interface Day {
  readonly values?: Readonly<Record<string, string>>;
  readonly leases?: Content['leases'];
  readonly auth?: AuthData;
  readonly info?: Content['info'];
}

const [LEASE, OTHER] = LEASES as readonly [(typeof LEASES)[0], (typeof LEASES)[0]];
const [USER] = AUTH.users as readonly [AuthData['users'][0]];
const [ROLE] = AUTH.roles as readonly [AuthData['roles'][0]];
const PLAIN: Day = { values: { a: '1', b: '2' }, leases: [LEASES], auth: AUTH };

/** Puts an archive of a day's cluster somewhere, to be backed up from there. */
async function archiveOf(day: Day): Promise<string> {
  const { values = {}, leases = [], auth, info } = { ...PLAIN, ...day };
  const records = Object.entries(values).map(([key, value]) => kv(key, value));
  const startedAt = V3_INFO.startedAt + ++count * DAY;
  const content = { leases, batches: cutInto(records, 10), ...(auth === undefined ? {} : { auth }) };
  const { bytes } = await packed({ ...content, info: { startedAt, revision: BigInt(10 + count), ...info } });
  const path = join(directory, `${count}.tar`);
  writeFileSync(path, bytes);
  return path;
}

async function backUp(repository: string, from: string, encrypted: boolean, withKey = false): Promise<BackupReport> {
  return backupToRepository(
    {
      from: {
        ...{ location: parseLocation(from), connection: {}, selection: EVERYTHING, tmpDir: directory, stdin: (async function* () {})() },
        ...(withKey ? { open: { identityFiles: [identityFile] } } : {}),
      },
      to: {
        ...{ location: parseLocation(`${repository}/`), name: 'etcd', skipUnchanged: true, dryRun: false },
        ...(encrypted ? { seal: { recipients: [recipient] } } : {}),
      },
      ...{ compress: 'gzip', toolVersion: `0.${count}` },
    },
    quietRun(),
  );
}

async function newRepository(): Promise<string> {
  const path = join(directory, `repository ${++count}`);
  await mkdir(path);
  return path;
}

const archivesIn = (repository: string): string[] => readdirSync(repository).filter((name) => name.startsWith('etcd-'));
const summaryIn = (repository: string): string => join(repository, '.etcdferry/summaries', `${archivesIn(repository).at(-1)}.json`);

const SAME: readonly (readonly [string, Day])[] = [
  ['nothing', {}],
  ['what remains of a lease', { leases: [[LEASE, { ...OTHER, remainingTtl: 3n, seenAt: OTHER.seenAt + 1 }]] }],
  ['the member that was asked, and its version', { info: { memberId: 1n, serverVersion: '3.6.0', location: 'http://other:2379' } }],
];

const CHANGED: readonly (readonly [string, Day])[] = [
  ['a value', { values: { a: '1', b: '3' } }],
  ['a key more', { values: { a: '1', b: '2', c: '3' } }],
  ['a key less', { values: { a: '1' } }],
  ['a lease less', { leases: [[LEASE]] }],
  ['no lease', { leases: [] }],
  ['the id of a lease', { leases: [[LEASE, { ...OTHER, id: OTHER.id + 1n }]] }],
  ['the granted TTL of a lease', { leases: [[LEASE, { ...OTHER, grantedTtl: 61n }]] }],
  ['no users or roles', { auth: { enabled: true, users: [], roles: [] } }],
  ['a user more', { auth: { ...AUTH, users: [USER, { ...USER, name: 'alice' }] } }],
  ['a password', { auth: { ...AUTH, users: [{ ...USER, passwordHash: Buffer.from('$2a$10$abd') }] } }],
  ['a user without a password', { auth: { ...AUTH, users: [{ ...USER, noPassword: true }] } }],
  ['a password hash that was not told', { auth: { ...AUTH, users: [{ name: USER.name, roles: USER.roles }] } }],
  ['the roles of a user', { auth: { ...AUTH, users: [{ ...USER, roles: ['app', 'root'] }] } }],
  ['a role more', { auth: { ...AUTH, roles: [ROLE, { ...ROLE, name: 'b' }] } }],
  [
    'a permission',
    { auth: { ...AUTH, roles: [{ ...ROLE, permissions: [{ type: 'read', key: Buffer.from('a'), rangeEnd: Buffer.of() }] }] } },
  ],
  ['authentication switched off', { auth: { ...AUTH, enabled: false } }],
  [
    'what was not checked',
    { info: { lastingNotes: [{ code: 'unproven', message: 'not checked', count: 1, examples: [], lossy: false }] } },
  ],
  ['the keys that were chosen', { info: { selection: { prefixes: [Buffer.of()], excludePrefixes: [Buffer.from('z')] } } }],
];

for (const encrypted of [false, true]) {
  describe(encrypted ? 'an encrypted backup' : 'a backup', () => {
    test.each(SAME)('is unchanged where %s differs', async (_, day) => {
      const repository = await newRepository();
      const first = await backUp(repository, await archiveOf({}), encrypted);
      const second = await backUp(repository, await archiveOf(day), encrypted);
      expect(second.stored).toEqual({ ...first.stored, unchanged: true });
      expect(archivesIn(repository)).toHaveLength(1);
    });

    test('is written where anything that an archive keeps differs, and unchanged again the next day', async () => {
      const repository = await newRepository();
      await backUp(repository, await archiveOf({}), encrypted);
      // Each of them differs from the one before it, too.
      for (const [what, day] of CHANGED) {
        expect((await backUp(repository, await archiveOf(day), encrypted)).stored?.unchanged, what).toBe(false);
      }
      for (const unchanged of [false, true]) {
        expect((await backUp(repository, await archiveOf({}), encrypted)).stored?.unchanged).toBe(unchanged);
      }
      expect(archivesIn(repository)).toHaveLength(CHANGED.length + 2);
    });

    const DAMAGES: readonly (readonly [string, (path: string, summary: string) => void])[] = [
      ['has another byte', (path) => flip(path, 3_000)],
      ['has another last byte', (path) => flip(path, -1)],
      ['is cut', (path) => truncateSync(path, 2_000)],
      ['is longer', (path) => writeFileSync(path, Buffer.of(0), { flag: 'a' })],
      ['was found damaged before', (_, summary) => edit(summary, (json) => ({ ...json, damagedAt: '2026-01-01T00:00:00.000Z' }))],
    ];
    test.each(DAMAGES)('is written, and the old archive noted, where that %s', async (_, damage) => {
      const repository = await newRepository();
      await backUp(repository, await archiveOf({}), encrypted);
      const [old = ''] = archivesIn(repository);
      damage(join(repository, old), summaryIn(repository));
      const report = await backUp(repository, await archiveOf({}), encrypted);
      expect(report.stored).toMatchObject({ unchanged: false });
      expect(report.notes).toMatchObject([{ code: 'archive-damaged', examples: [old], lossy: false }]);
      expect(JSON.parse(readFileSync(join(repository, '.etcdferry/summaries', `${old}.json`), 'utf8'))).toHaveProperty('damagedAt');
      expect((await backUp(repository, await archiveOf({}), encrypted)).stored).toMatchObject({ unchanged: true });
    });

    const FORGOTTEN: readonly (readonly [string, (summary: string) => void])[] = [
      ['gone', (summary) => rmSync(summary)],
      ['of an earlier release', (summary) => edit(summary, ({ otherDigests: _, ...rest }) => rest)],
    ];
    test.each(FORGOTTEN)(
      'is compared with the archive itself where its summary is %s, and the archive can be opened',
      async (_, forget) => {
        const repository = await newRepository();
        await backUp(repository, await archiveOf({}), encrypted);
        forget(summaryIn(repository));
        expect((await backUp(repository, await archiveOf({}), encrypted, true)).stored).toMatchObject({ unchanged: true });
        forget(summaryIn(repository));
        const closed = await backUp(repository, await archiveOf({}), encrypted);
        expect(closed.stored).toMatchObject({ unchanged: !encrypted });
        forget(summaryIn(repository));
        flip(join(repository, archivesIn(repository).at(-1) ?? ''), 3_000);
        const damaged = await backUp(repository, await archiveOf({}), encrypted, true);
        expect(damaged).toMatchObject({ stored: { unchanged: false }, notes: [{ code: 'archive-damaged' }] });
      },
    );
  });
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  const i = at < 0 ? bytes.length + at : at;
  bytes[i] = (bytes[i] as number) ^ 1;
  writeFileSync(path, bytes);
}

function edit(path: string, change: (json: Record<string, unknown>) => object): void {
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
}
