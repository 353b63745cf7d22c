import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eventOfLine, logFormatOf, logLine, NEXT_STEP } from '../../src/cli/log.js';
import { EXIT_BY_CODE } from '../../src/errors.js';
import { etcdferryInside } from '../support/cli.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const ARCHIVE = join(import.meta.dirname, '../../testdata/archive/v1-key.tar');

const events = (stderr: string): Record<string, unknown>[] =>
  stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('--log-format json', () => {
  test('gives one line per event, with what it is about', async () => {
    const { exit, stderr } = await etcdferryInside(['backup', '--from', ARCHIVE, '--to', join(directory, 'a.tar'), '--log-format', 'json']);
    expect(exit).toBe(0);
    expect(events(stderr)).toEqual([
      {
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        level: 'info',
        event: 'report',
        message: expect.stringMatching(/^backed up 369 keys/),
        report: expect.objectContaining({ schema: 'etcdferry.backup/v1', revision: 543 }),
      },
    ]);
  });

  test('tells a failure, of the command line itself too, with what to do next', async () => {
    const missing = await etcdferryInside(['inspect', join(directory, 'missing'), '--log-format=json']);
    expect(events(missing.stderr)).toMatchObject([
      { level: 'error', event: 'failure', code: 'not-found', exit: 2, hint: expect.any(String) },
    ]);
    const wrong = await etcdferryInside(['inspect', '--frmo', 'x', '--log-format', 'json']);
    expect(events(wrong.stderr)).toMatchObject([{ level: 'error', code: 'usage', exit: 2 }]);
  });

  test('marks warnings', async () => {
    const args = ['backup', '--from', 'http://127.0.0.1:1', '--user', 'a:b', '--dial-timeout', '1s', '--to', join(directory, 'b.tar')];
    const { exit, stderr } = await etcdferryInside([...args, '--log-format', 'json']);
    expect(exit).toBe(10);
    expect(events(stderr)).toMatchObject([
      { level: 'warning', event: 'warning', message: expect.stringMatching(/^a password on the command line/) },
      { level: 'error', exit: 10 },
    ]);
  });

  test('is no other word, and nothing behind --', () => {
    expect(logFormatOf(['ls', '--log-format', 'json'])).toBe('json');
    expect(logFormatOf(['ls', '--log-format', 'text'])).toBe('text');
    expect(logFormatOf(['ls', '--', '--log-format=json'])).toBe('text');
  });

  test('keeps each event on one line, whatever is in it', () => {
    const line = logLine({ ...eventOfLine('note: a\nb: 2'), keys: 3 }, new Date(0));
    expect(line).toBe('{"time":"1970-01-01T00:00:00.000Z","level":"info","event":"note","message":"a\\nb: 2","keys":3}');
  });
});

describe('the last line of a failure', () => {
  test('says what to do next, for every code', () => {
    expect(Object.keys(NEXT_STEP).sort()).toEqual(Object.keys(EXIT_BY_CODE).sort());
  });

  test('is there where the error itself says nothing', async () => {
    writeFileSync(join(directory, 'empty.tar'), '');
    const inspected = await etcdferryInside(['inspect', join(directory, 'empty.tar')]);
    expect(inspected.stderr).toBe(
      `etcdferry: ${join(directory, 'empty.tar')} is empty; an archive was expected\n  Take another copy; etcdferry verify tells which ones are whole.\n`,
    );
  });
});
