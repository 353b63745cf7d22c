import { describe, expect, it } from 'vitest';
import { isCleanPath } from '../../src/model/tree-path.js';
import { NearestPrefixes } from '../../src/selection/nearest.js';
import { requireTreePrefixes } from '../../src/selection/tree-prefix.js';

function textsUpTo(letters: string, length: number): string[] {
  return length === 0 ? [''] : ['', ...textsUpTo(letters, length - 1).flatMap((text) => [...letters].map((letter) => letter + text))];
}

describe('a prefix of paths', () => {
  it('is refused just when no clean path begins with it, chosen or excluded', () => {
    const paths = [...new Set(textsUpTo('/.a', 7))].filter((path) => isCleanPath(Buffer.from(path)));
    for (const prefix of new Set(textsUpTo('/.a', 5))) {
      const isThere = prefix === '' || paths.some((path) => path.startsWith(prefix));
      for (const of of ['prefixes', 'excludePrefixes'] as const) {
        const check = (): void => requireTreePrefixes({ prefixes: [], excludePrefixes: [], [of]: [Buffer.from(prefix)] });
        if (isThere) expect(check, prefix).not.toThrow();
        else expect(check, prefix).toThrow(/no path of a v2 tree/);
      }
    }
  });
});

describe('what is near to a prefix that no key begins with', () => {
  const KEYS = ['/registry/pods/a/1', '/registry/pods/b/1', '/registry/secrets/a/1', '/registry/secret', '/other/x', 'plain'];
  const near = async (prefix: string): Promise<string[]> => {
    const nearest = new NearestPrefixes(Buffer.from(prefix));
    for (const key of KEYS) nearest.add(Buffer.from(key));
    return (await nearest.list()).map(String);
  };

  it('is named in the nearest directory above it that has anything, the most alike first', async () => {
    expect((await near('/registy/'))[0]).toBe('/registry/');
    expect((await near('registry/'))[0]).toBe('/registry/');
    expect((await near('/registry/pod/'))[0]).toBe('/registry/pods/');
    expect(await near('/registry/pods/c/')).toEqual(['/registry/pods/a/', '/registry/pods/b/']);
    expect((await near('/registry/pods/aa/1'))[0]).toBe('/registry/pods/a/');
    expect((await near('plane'))[0]).toBe('plain');
    expect(await new NearestPrefixes(Buffer.from('/x')).list()).toEqual([]);
  });
});
