import { describe, expect, test } from 'vitest';
import { etcdferry } from '../support/cli.js';

const COMMANDS = [
  'backup',
  'restore',
  'migrate',
  'verify',
  'inspect',
  'ls',
  'get',
  'diff',
  'hashkv',
  'decode',
  'encode',
  'list',
  'copy',
  'prune',
  'check-age',
  'completion',
];

test('--help names every command', async () => {
  const { exit, stdout, stderr } = await etcdferry(['--help']);
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  for (const command of COMMANDS) expect(stdout.toString()).toContain(`etcdferry ${command}`);
});

describe.each(COMMANDS)('%s --help', (command) => {
  test('shows an example and ends in the exit status', async () => {
    const { exit, stdout, stderr } = await etcdferry([command, '--help']);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    const text = stdout.toString();
    expect(text).toMatch(/\nExamples:\n(?: {2}# .+\n {2}.*etcdferry .+\n)+\n/);
    expect(text.trimEnd()).toMatch(/\nExit status:\n(?: +\d+ {2}.+\n?)+$/);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110);
  });
});

test('--version is the version of the package', async () => {
  const { default: manifest } = await import('../../package.json', { with: { type: 'json' } });
  expect((await etcdferry(['--version'])).stdout.toString()).toBe(`${manifest.version}\n`);
});
