import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packArchive } from '../../src/archive/pack.js';
import { putText, say, type Terminal } from '../../src/cli/terminal.js';
import { formatKey, showKey } from '../../src/convert/key-text.js';
import type { AuthData } from '../../src/model/auth.js';
import { quietRun } from '../../src/model/run.js';
import { harmlessJson, withoutCommands } from '../../src/model/shown-text.js';
import { memorySink } from '../archive/memory.js';
import { type CliResult, etcdferryInside } from '../support/cli.js';
import { kv, sourceOf } from '../support/source.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

const PIECES = ['\x1b[31m', '\x1b]0;x\x07', '\n', '\r', '\t', '\0', '\x7f', '\x9b31m', '\u0085', '\u2028', '\u202e', '\u2066'].concat([
  ...['::error::x', '::', '##[command]', '##vso[x]', '##', '#', '[', ' ', '\u00a0', '\\', '"', 'a', 'é', '/', '*', '😀'],
]);
/** Text that means ill to terminals and CI servers. */
const hostile = fc
  .array(fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 3, unit: 'binary' })), { maxLength: 6 })
  .map((pieces) =>
    // A lone surrogate is no text that a file can hold.
    Buffer.from(pieces.join('')).toString(),
  );

const RUNS = process.env.SOAK === undefined ? 5 : 200;
const STEERING = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;
const OURS = /^::(?:error|warning) title=etcdferry verify%3A [a-z-]+::/;

function expectHarmless({ stdout, stderr }: CliResult, command: string): void {
  for (const [name, text] of Object.entries({ stdout: stdout.toString(), stderr })) {
    expect(text, `${name} of ${command}`).not.toMatch(STEERING);
    expect(text, `${name} of ${command}`).not.toMatch(/##\w*\[/);
    const obeyed = text.split('\n').filter((line) => line.trimStart().startsWith('::'));
    expect(name === 'stderr' ? obeyed.filter((line) => !OURS.test(line)) : obeyed, `${name} of ${command}`).toEqual([]);
  }
}

/** Where a hostile archive has its text. */
interface Fields {
  readonly location: string;
  readonly serverVersion: string;
  readonly toolVersion: string;
  readonly user: string;
  readonly role: string;
  readonly keys: readonly string[];
  readonly kind: string;
  readonly name: string;
}

async function hostileArchive(path: string, fields: Fields): Promise<void> {
  const { user, role, kind, name } = fields;
  const permissions = [{ type: 'read' as const, key: Buffer.from(name), rangeEnd: Buffer.from(kind) }];
  const auth: AuthData = { enabled: true, users: [{ name: user, roles: [role] }], roles: [{ name: role, permissions }] };
  const object = JSON.stringify({ kind, apiVersion: name, metadata: { name, namespace: kind } });
  const records = [
    ...[...new Set(fields.keys)].filter((key) => key !== '').map((key) => kv(key, name)),
    kv(Buffer.from(`\xff${name}/${kind}`, 'latin1'), object),
    kv(`/registry/${kind}/${name}`, object),
  ];
  const source = sourceOf([...new Map(records.map((record) => [record.key.toString('latin1'), record])).values()], { auth });
  const { location, serverVersion } = fields;
  const sink = memorySink();
  const options = { compress: 'gzip', toolVersion: fields.toolVersion, options: { what: name } } as const;
  await packArchive({ ...source, info: { ...source.info, location, serverVersion } }, sink, options, quietRun());
  writeFileSync(path, sink.bytes());
}

const hostileFields: fc.Arbitrary<Fields> = fc.record({
  ...{ location: hostile, serverVersion: hostile, toolVersion: hostile, user: hostile, role: hostile, kind: hostile, name: hostile },
  keys: fc.array(hostile, { minLength: 20, maxLength: 60 }),
});

describe('whatever stands in an archive', () => {
  test('nothing that is printed of it steers a terminal or GitHub', async () => {
    await fc.assert(
      fc.asyncProperty(hostileFields, hostileFields, hostile, async (one, other, word) => {
        const [a, b] = [at(`a${word.replaceAll(/[\0/]/g, '').slice(0, 40)}.tar`), at('b.tar')];
        await hostileArchive(a, one);
        await hostileArchive(b, other);
        const commands = [
          ['inspect', a],
          ['inspect', a, '--json'],
          ['ls', a],
          ['ls', a, '-o', 'wide'],
          ['ls', a, '-o', 'wide', '--json'],
          ['verify', a, b, '--depth', 'records', '--against', b],
          ['verify', a, '--json'],
          ['verify', a, '--log-format', 'json'],
          ['diff', a, b],
          ['diff', a, b, '--json'],
          ['diff', a, b, '--summary'],
          ['restore', '--from', a, '--to', at('new.db'), '--with-auth', '--dry-run'],
          ['migrate', '--from', a, '--to-api', 'v2', '--to', at('tree.tar'), '--dry-run'],
          ['get', a, word.replaceAll('\0', '')],
          ['verify', `${a}${word.replaceAll('\0', '')}`],
          ['ls', a, `--${word.replaceAll('\0', '')}`],
        ];
        for (const args of commands.filter(([command, , key]) => command !== 'get' || !one.keys.includes(key as string))) {
          expectHarmless(await etcdferryInside(args, undefined, { GITHUB_ACTIONS: 'true' }), args.join(' '));
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  test('keys are shown as one line, each in its own way', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        for (const shown of [formatKey(Buffer.from(text)), showKey(Buffer.from(text))]) {
          expect(shown).not.toMatch(STEERING);
          expect(shown).not.toMatch(/[\n\t]/);
        }
      }),
    );
  });

  test('JSON stays the same JSON', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const json = harmlessJson(JSON.stringify({ [text]: text }));
        expect(JSON.parse(json)).toEqual({ [text]: text });
        expect(json).not.toMatch(STEERING);
        expect(json).not.toMatch(/##\w*\[/);
      }),
    );
  });
});

describe('the last line of defence', () => {
  const written = async (text: string, env: Record<string, string>, isTTY = false): Promise<string[]> => {
    const out: string[] = ['', ''];
    const stream = (i: number) => ({
      isTTY,
      write: (data: string): boolean => {
        out[i] += data;
        return true;
      },
    });
    const terminal = { stdout: stream(0), stderr: stream(1), env, signal: new AbortController().signal } as unknown as Terminal;
    await putText(terminal, text);
    say(terminal, text);
    return out;
  };

  test('takes what was forgotten before', async () => {
    expect(await written('a\x1b[31m\n\t::x ##[y', {})).toEqual(['a\\x1b[31m\n\t::x ##[y', 'a\\x1b[31m\n\t::x ##[y\n']);
    const [out] = await written('a\x9b\n\t::x ##[y', { GITHUB_ACTIONS: 'true' });
    expect(out).toBe('a\\xc2\\x9b\n\t\\x3a:x #\\x23[y');
  });

  test('leaves our colours on a terminal, and nothing else', async () => {
    const [out, err] = await written('\x1b[31mred\x1b[0m\x1b[2J\x9b', {}, true);
    expect([out, err]).toEqual(['\x1b[31mred\x1b[0m\\x1b[2J\\xc2\\x9b', '\\x1b[31mred\\x1b[0m\\x1b[2J\\xc2\\x9b\n']);
    expect(await written('\x1b[31mred', { NO_COLOR: '1' }, true)).toEqual(['\\x1b[31mred', '\\x1b[31mred\n']);
  });

  test('is as quick for many lines of nothing', () => {
    const started = performance.now();
    withoutCommands('\n'.repeat(1_000_000) + ' '.repeat(1_000_000) + '##'.repeat(500_000));
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
