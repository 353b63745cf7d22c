import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { shownSlip, withoutSecrets } from '../../src/model/secrets.js';

const KEY = 'AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SXWYEJ8';
const PEM = `-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqGSM49\n-----END PRIVATE KEY-----`;

describe('a message without secrets', () => {
  test.each([
    [`${KEY}: no such file`, '…: no such file'],
    [`"${KEY.toLowerCase()}" is not a recipient`, '"…" is not a recipient'],
    [`reading ${PEM}: no such file`, 'reading …: no such file'],
    [`reading ${PEM.replaceAll('\n', ' ')}: no such file`, 'reading …: no such file'],
    [`reading ${PEM.replaceAll('\n', '\\n')}: no such file`, 'reading …: no such file'],
    [`reading ${PEM.slice(0, 60)}`, 'reading …'],
    ['reading -----BEGIN EC PRIVATE KEY', 'reading …'],
    ['http://user:pass@host:2379: refused', 'http://…@host:2379: refused'],
    ['http://us:pa/ss@word@host/uuid', 'http://…@host/…'],
    ['"https://hc-ping.com/0b5c3f0e", and more', '"https://hc-ping.com/…", and more'],
    ['https://b.s3.amazonaws.com/etcd.tar?X-Amz-Signature=abc is no location', 'https://b.s3.amazonaws.com/… is no location'],
    ['http://proxy:3128?token=abc', 'http://proxy:3128?…'],
    ['s3://bucket/prefix/a.tar?X-Amz-Signature=abc: no such object', 's3://bucket/prefix/a.tar?… no such object'],
    ['s3://AKIA:secret@bucket/a', 's3://…@bucket/a'],
    ['root:hunter2@host:2379: no such file', '…@host:2379: no such file'],
  ])('hides what may be one: %s', (text, shown) => {
    expect(withoutSecrets(text)).toBe(shown);
    expect(new FerryError('failed', text, { hint: text })).toMatchObject({ message: shown, hint: shown });
  });

  test.each([
    'http://127.0.0.1:2379: the server cannot be reached',
    'http://127.0.0.1:2379/ and https://[::1]:2379, https://b:2379',
    'reading s3://bucket/prefix/prod-20261123T031500.123Z-r4711.etcd.tar: ends before byte 7',
    'the plugin at unix:///var/run/kms.sock does not answer',
    '/backup/etcd: no such directory',
    'age1qqq is not an age recipient; it looks like age1…',
    'Write it like https://minio:9000.',
    'user backup@prod has no role',
  ])('leaves all else as it is: %s', (text) => {
    expect(withoutSecrets(text)).toBe(text);
  });

  test('has nothing of a password left, wherever it stands in whatever URL', () => {
    const word = fc.string({ unit: fc.constantFrom(...'abzAZ09-._~%!$&*+=/:#?'), minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(
        fc.constantFrom('http', 'https', 's3', 'ftp', 'unix'),
        word,
        word,
        fc.constantFrom('', '/', '/p', ':1/p?q'),
        (scheme, user, password, rest) => {
          const secret = `${password}SECRET`;
          expect(withoutSecrets(`reading ${scheme}://${user}:${secret}@host${rest}: refused`)).not.toContain('SECRET');
          expect(withoutSecrets(`reading http://host/${secret}?${secret}#${secret}: refused`)).not.toContain('SECRET');
          expect(withoutSecrets(`reading s3://bucket/key?${secret}: refused`)).not.toContain('SECRET');
        },
      ),
    );
  });
});

test('a slip of a number is repeated, and nothing else', () => {
  for (const text of ['12x', '-5', '4w', '1500ms', '2026-13-01', '2026-11-23T03:15Z', 'x', '', 'tcsh', '1d, 2h'])
    expect(shownSlip(text)).toBe(`"${text}"`);
  for (const text of ['hunter2', 'longer', KEY, PEM, '1;2', `1${'2'.repeat(40)}`]) expect(shownSlip(text)).toBe('what was given');
});
