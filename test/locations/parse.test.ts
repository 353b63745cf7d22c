import { describe, expect, test } from 'vitest';
import { parseEndpoints, parseLocation } from '../../src/locations/parse.js';

describe('parseLocation', () => {
  test.each([
    ['http://h:2379', { kind: 'live', endpoints: ['http://h:2379'] }],
    ['https://h:2379,h2:2379', { kind: 'live', endpoints: ['https://h:2379', 'https://h2:2379'] }],
    ['http://[::1]:2379', { kind: 'live', endpoints: ['http://[::1]:2379'] }],
    ['-', { kind: 'stdio' }],
    ['etcd.tar', { kind: 'path', ending: 'archive' }],
    ['a/etcd.tar.age', { kind: 'path', ending: 'encrypted-archive' }],
    ['new.db', { kind: 'path', ending: 'snapshot-file' }],
    ['backups/', { kind: 'path', ending: 'repository' }],
    ['whatever', { kind: 'path', ending: 'unknown' }],
    ['s3://bucket', { kind: 's3', bucket: 'bucket', key: '', ending: 'repository' }],
    ['s3://bucket/', { kind: 's3', bucket: 'bucket', key: '', ending: 'repository' }],
    ['s3://bucket/a/b/', { kind: 's3', bucket: 'bucket', key: 'a/b', ending: 'repository' }],
    ['s3://bucket/a/b', { kind: 's3', bucket: 'bucket', key: 'a/b', ending: 'repository' }],
    ['s3://bucket/a/b.tar', { kind: 's3', bucket: 'bucket', key: 'a/b.tar', ending: 'archive' }],
    ['s3://bucket/b.tar.age', { kind: 's3', bucket: 'bucket', key: 'b.tar.age', ending: 'encrypted-archive' }],
    ['host:2379', { kind: 'path', ending: 'unknown' }],
  ])('%s', (text, expected) => {
    expect(parseLocation(text)).toMatchObject(expected);
  });

  test.each([
    '',
    'ftp://host/x',
    'file:///tmp/x',
    'http://user:secret@host:2379',
    'http://',
    'http://h/path',
    'http://h,https://i',
    's3://',
    's3://b/x.db',
    's3://key:secret@bucket/x',
    's3://b/../x',
    's3://b//x',
  ])('refuses "%s" as usage, without repeating a secret', (text) => {
    expect(() => parseLocation(text)).toThrow(expect.objectContaining({ code: 'usage', message: expect.not.stringContaining('secret') }));
  });
});

describe('parseEndpoints', () => {
  test('fills in scheme and port as etcdctl does', () => {
    expect(parseEndpoints('localhost')).toEqual(['http://localhost:2379']);
    expect(parseEndpoints('https://a, b:1')).toEqual(['https://a:2379', 'https://b:1']);
    expect(parseEndpoints('http://a:80')).toEqual(['http://a:80']);
  });
});
