import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyMapping, mappedSelection, parseKeyMapping } from '../../src/convert/key-mapping.js';
import { FerryError } from '../../src/errors.js';
import { startsWith } from '../../src/selection/prefix.js';
import { bytes } from '../support/arbitrary.js';

const map = (key: string, flags: Parameters<typeof parseKeyMapping>[0]): string =>
  parseKeyMapping(flags).mapKey(Buffer.from(key)).toString();

function thrownBy(run: () => unknown): FerryError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof FerryError) return thrown;
    throw thrown;
  }
  throw new Error('this was expected to fail');
}

describe('parseKeyMapping', () => {
  it('maps prefix for prefix, the longest OLD winning whatever their order', () => {
    for (const rules of [
      ['/a/=/x/', '/a/b/=/y/'],
      ['/a/b/=/y/', '/a/=/x/'],
    ]) {
      expect(map('/a/b/c', { map: rules })).toBe('/y/c');
      expect(map('/a/c', { map: rules })).toBe('/x/c');
      expect(map('/b', { map: rules })).toBe('/b');
    }
  });

  it('maps first, then strips, then adds', () => {
    expect(map('/a/k', { map: ['/a/=/x/y/'], stripPrefix: '/x', addPrefix: '/new' })).toBe('/new/y/k');
  });

  it('maps once: what a rule made is not mapped again', () => {
    expect(map('/a/k', { map: ['/a/=/b/', '/b/=/a/'] })).toBe('/b/k');
    expect(map('/b/k', { map: ['/a/=/b/', '/b/=/a/'] })).toBe('/a/k');
  });

  it('ends OLD at the first equals sign, and takes an empty NEW', () => {
    expect(map('/a/k', { map: ['/a=b=c'] })).toBe('b=c/k');
    expect(map('/a/k', { map: ['/a/='] })).toBe('k');
  });

  it('refuses a rule without =, with an empty OLD, or given twice', () => {
    for (const rules of [['/a'], ['=/b'], ['/a=/b', '/a=/c'], ['']]) {
      expect(thrownBy(() => parseKeyMapping({ map: rules })).code).toBe('usage');
    }
  });

  it('refuses a key that is not under the strip prefix, naming it and what it was mapped to', () => {
    const thrown = thrownBy(() => map('/a/k', { map: ['/a=/b'], stripPrefix: '/c' }));
    expect(thrown.code).toBe('usage');
    expect(thrown.message).toContain('"/a/k" (mapped to "/b/k")');
    // Even where the same prefix is put back.
    expect(thrownBy(() => map('/a', { stripPrefix: '/c', addPrefix: '/c' })).code).toBe('usage');
  });

  it('refuses to leave nothing of a key', () => {
    expect(thrownBy(() => map('/a', { stripPrefix: '/a' })).message).toContain('"/a"');
  });

  it('is the identity when nothing is asked for, or only what changes nothing', () => {
    expect(parseKeyMapping({}).identity).toBe(true);
    expect(parseKeyMapping({ map: ['/a=/a'] }).identity).toBe(true);
    expect(parseKeyMapping({ map: ['/a=/b'] }).identity).toBe(false);
    expect(parseKeyMapping({ stripPrefix: '/a', addPrefix: '/a' }).identity).toBe(false);
  });
});

describe('keyMapping', () => {
  const letters = fc.array(fc.constantFrom(0x61, 0x62, 0x63, 0xff), { maxLength: 5 }).map((array) => Buffer.from(array));
  const rules = fc.uniqueArray(fc.record({ from: letters.filter((b) => b.length > 0), to: letters }), {
    maxLength: 4,
    selector: ({ from }) => from.toString('latin1'),
  });

  it('does to every key what the definition says', () => {
    fc.assert(
      fc.property(rules, letters, letters, (list, add, key) => {
        const best = list.filter(({ from }) => startsWith(key, from)).sort((a, b) => b.from.length - a.from.length)[0];
        const renamed = best === undefined ? key : Buffer.concat([best.to, key.subarray(best.from.length)]);
        const wanted = Buffer.concat([add, renamed]);
        fc.pre(wanted.length > 0);
        expect(keyMapping(list, Buffer.alloc(0), add).mapKey(key)).toEqual(wanted);
      }),
    );
  });

  it('tells the keys that get a name, and no others', () => {
    fc.assert(
      fc.property(rules, letters, letters, letters, (list, add, key, name) => {
        const mapping = keyMapping(list, Buffer.alloc(0), Buffer.concat([Buffer.from('x'), add]));
        expect(mapping.keysNamed(mapping.mapKey(key)).filter((other) => other.equals(key))).toHaveLength(1);
        for (const other of mapping.keysNamed(Buffer.concat([Buffer.from('x'), name]))) {
          expect(mapping.mapKey(other)).toEqual(Buffer.concat([Buffer.from('x'), name]));
        }
      }),
    );
  });

  it('keeps the order of keys within a piece', () => {
    fc.assert(
      fc.property(rules, letters, fc.array(letters, { minLength: 2, maxLength: 12 }), (list, add, keys) => {
        const mapping = keyMapping(list, Buffer.alloc(0), Buffer.concat([Buffer.from('x'), add]));
        for (let piece = 0; piece < mapping.pieces; piece++) {
          const inPiece = keys.filter((key) => mapping.pieceOf(key) === piece).sort(Buffer.compare);
          const mapped = inPiece.map((key) => mapping.mapKey(key));
          expect(mapped).toEqual([...mapped].sort(Buffer.compare));
        }
        expect(keys.every((key) => mapping.pieceOf(key) >= 0 && mapping.pieceOf(key) < mapping.pieces)).toBe(true);
      }),
    );
  });

  it('maps a prefix to prefixes that cover every key under it', () => {
    fc.assert(
      fc.property(rules, letters, letters, letters, bytes({ maxLength: 4 }), (list, strip, add, prefix, rest) => {
        const mapping = keyMapping(list, strip, add);
        let key: Buffer;
        try {
          key = mapping.mapKey(Buffer.concat([prefix, rest]));
        } catch {
          return;
        }
        expect(mapping.mapPrefix(prefix).some((target) => startsWith(key, target))).toBe(true);
      }),
    );
  });

  it('does not widen a prefix without need', () => {
    const mapping = parseKeyMapping({ map: ['/a/=/b/'] });
    expect(mapping.mapPrefix(Buffer.from('/a/')).map(String)).toEqual(['/b/']);
    expect(mapping.mapPrefix(Buffer.from('/a/c')).map(String)).toEqual(['/b/c']);
    expect(parseKeyMapping({ stripPrefix: '/a', addPrefix: '/n' }).mapPrefix(Buffer.alloc(0)).map(String)).toEqual(['/n']);
    expect(parseKeyMapping({ stripPrefix: '/a' }).mapPrefix(Buffer.from('/b'))).toEqual([]);
  });
});

describe('mappedSelection', () => {
  it('is the selection itself where keys keep their names, and no wider than it has to be', () => {
    const chosen = { prefixes: [Buffer.from('/app/')], excludePrefixes: [Buffer.from('/app/tmp/')] };
    const as = (given: Parameters<typeof parseKeyMapping>[0]): string[][] => {
      const { prefixes, excludePrefixes } = mappedSelection(chosen, parseKeyMapping(given));
      return [prefixes.map(String), excludePrefixes.map(String)];
    };
    expect(as({})).toEqual([['/app/'], ['/app/tmp/']]);
    expect(as({ stripPrefix: '/app', addPrefix: '/new' })).toEqual([['/new/'], ['/new/tmp/']]);
    expect(as({ map: ['/app/=/x/'] })).toEqual([['/x/'], ['/x/tmp/']]);
    expect(as({ map: ['/app/a/=/x/'] })).toEqual([
      ['/app/', '/x/'],
      ['/app/a/', '/app/tmp/'],
    ]);
  });
});
