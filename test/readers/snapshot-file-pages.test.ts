import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { beforeAll, describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { quietRun } from '../../src/model/run.js';
import type { Source } from '../../src/model/source.js';
import { writeSnapshotFile } from '../../src/writers/snapshot-file.js';
import { leasesOf, recordsOf, snapshotSource } from '../support/snapshots.js';
import { kv, lease, sourceOf } from '../support/source.js';

const PAGE = 1024;
const HEADER = 16;
const ELEMENT = 16;
const [BRANCH, LEAF, FREELIST] = [1, 2, 0x10];
const KEYS = 400;
/** Each page takes one change of a kind in turn, and all of them in a long run. */
const LONG = process.env.SOAK !== undefined;
const inTurn = <T>(changes: readonly T[], turn: number): readonly T[] => (LONG ? changes : [changes[turn % changes.length] as T]);

/** A file whose every page is in use: what is wrong with any of them shows. */
async function madeFile(): Promise<Buffer> {
  const records = Array.from({ length: KEYS }, (_, i) => ({
    ...kv(`key ${i}`, Buffer.alloc(i % 200 === 199 ? 3000 : i % 50, i)),
    modRevision: BigInt(i + 2),
    lease: BigInt(i % 20),
  }));
  const leases = Array.from({ length: 19 }, (_, i) => lease(BigInt(i + 1), 600n));
  const auth = {
    enabled: true,
    users: [{ name: 'root', roles: ['root'], passwordHash: Buffer.from('$2a$10$x') }],
    roles: [{ name: 'root', permissions: [] }],
  };
  const chunks: Buffer[] = [];
  const sink = {
    name: 'memory',
    write: async (chunk: Uint8Array) => {
      chunks.push(Buffer.from(chunk));
    },
    finish: async () => {},
    abort: async () => {},
  };
  await writeSnapshotFile(sourceOf(records, { leases, auth }), sink, { tmpDir: tmpdir(), withAuth: true, pageSize: PAGE }, quietRun());
  return Buffer.concat(chunks);
}

/** A page that begins here, whatever lies in those it flows over into. */
interface Page {
  readonly id: number;
  readonly at: number;
  readonly flags: number;
  readonly count: number;
  readonly size: number;
}

function pagesOf(file: Buffer): Page[] {
  const pages: Page[] = [];
  for (let at = 2 * PAGE; at < file.length - 32; ) {
    const size = (file.readUInt32LE(at + 12) + 1) * PAGE;
    pages.push({ id: at / PAGE, at, flags: file.readUInt16LE(at + 8), count: file.readUInt16LE(at + 10), size });
    at += size;
  }
  return pages;
}

let file: Buffer;
let pages: Page[];
beforeAll(async () => {
  file = await madeFile();
  pages = pagesOf(file);
});

async function everythingOf(source: Source): Promise<number> {
  try {
    await source.auth();
    await leasesOf(source);
    return (await recordsOf(source)).length;
  } finally {
    await source.close();
  }
}

/** What comes of the file with a change in its pages that its SHA-256 knows of: a code, or the number of records. */
async function outcome(change: (copy: Buffer) => void, history: boolean): Promise<string | number> {
  const copy = Buffer.from(file.subarray(0, -32));
  change(copy);
  const sealed = Buffer.concat([copy, createHash('sha256').update(copy).digest()]);
  try {
    return await everythingOf(await snapshotSource(sealed, { history, sortBudget: 1 }));
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(FerryError);
    return (thrown as FerryError).code;
  }
}

async function expectDamaged(what: string, change: (copy: Buffer) => void): Promise<void> {
  expect(await outcome(change, false), what).toBe('damaged');
}

describe('a file whose SHA-256 is right, and a page is not', () => {
  test('has branches, pages that flow over, and every bucket', async () => {
    expect(await outcome(() => {}, true)).toBe(KEYS);
    expect(pages.filter(({ flags }) => flags === BRANCH).length).toBeGreaterThan(2);
    expect(pages.some(({ size }) => size > PAGE)).toBe(true);
    expect(pages.at(-1)?.flags).toBe(FREELIST);
  });

  test('every header: another number, another kind, more entries or pages than there are', async () => {
    for (const { id, at, flags, count } of pages.filter((page) => page.flags !== FREELIST)) {
      for (const byte of inTurn([0, 1, 2, 3, 4, 5, 6, 7], id)) {
        await expectDamaged(`number of page ${id}`, (copy) => {
          copy[at + byte] = (copy[at + byte] as number) ^ (1 + ((id + byte) % 255));
        });
      }
      for (const kind of inTurn([0, flags === LEAF ? BRANCH : LEAF, 3, 4, FREELIST, 0xffff], id)) {
        await expectDamaged(`kind of page ${id}: ${kind}`, (copy) => copy.writeUInt16LE(kind, at + 8));
      }
      for (const more of inTurn([0x7fff, 0xffff], id)) {
        await expectDamaged(`count of page ${id}: ${more}`, (copy) => copy.writeUInt16LE(Math.max(more, count + 1), at + 10));
      }
      for (const overflow of inTurn([0xffff, 0xffffffff], id)) {
        await expectDamaged(`overflow of page ${id}: ${overflow}`, (copy) => copy.writeUInt32LE(overflow, at + 12));
      }
    }
  });

  test('every element table: a key or value that lies beyond the page, or has a length beyond it', async () => {
    for (const { id, at, flags, count, size } of pages.filter((page) => page.flags !== FREELIST)) {
      for (const i of inTurn([0, count >> 1, count - 1], id)) {
        const element = at + HEADER + i * ELEMENT;
        // A leaf's element: flags, place, length of the key, length of the value; a branch's: place, length, page.
        const fields = flags === LEAF ? [4, 8, 12] : [0, 4];
        for (const field of fields) {
          for (const value of inTurn([size, 0x7fffffff, 0xffffffff], id + field)) {
            await expectDamaged(`page ${id}, element ${i}, field ${field}: ${value}`, (copy) => copy.writeUInt32LE(value, element + field));
          }
        }
      }
    }
  });

  test('every branch: a way back to itself, to the top, to another branch, to a page that is no tree', async () => {
    const branches = pages.filter(({ flags }) => flags === BRANCH);
    const freelist = pages.at(-1)?.id as number;
    for (const { id, at, count } of branches) {
      const elsewhere = branches.filter((other) => other.id !== id).map((other) => other.id);
      for (const i of new Set([0, count - 1])) {
        for (const to of [id, ...elsewhere, 0, 1, freelist, freelist + 1, 2 ** 40]) {
          const child = at + HEADER + i * ELEMENT + 8;
          // The top has the others for children.
          if (file.readBigUInt64LE(child) === BigInt(to)) continue;
          await expectDamaged(`page ${id}, child ${i}: page ${to}`, (copy) => copy.writeBigUInt64LE(BigInt(to), child));
        }
      }
    }
  });

  test('any byte of any header or element table: read or damaged, nothing else, and never more than there is', async () => {
    const step = LONG ? 1 : 97;
    let turn = 0;
    for (const { at, count } of pages) {
      for (let byte = 0; byte < HEADER + count * ELEMENT; byte++) {
        if (turn++ % step !== 0) continue;
        const result = await outcome(
          (copy) => {
            copy[at + byte] = (copy[at + byte] as number) ^ (1 + (turn % 255));
          },
          turn % 2 === 0,
        );
        if (typeof result === 'number') expect(result).toBeLessThanOrEqual(KEYS);
        else expect(result).toBe('damaged');
      }
    }
  });
});
