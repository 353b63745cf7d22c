import { expect, test } from 'vitest';
import type { ObjectStore } from '../../src/storage/object-store.js';

/**
 * What every kind of store must do.
 *
 * @param open a new one over an empty place of its own
 * @param fill puts empty objects of these names there, past the store where that is quicker
 */
export function testsOfStore(open: () => Promise<ObjectStore>, fill: (store: ObjectStore, names: readonly string[]) => void): void {
  test('an object is there when it is finished, whole, and not before', async () => {
    const store = await open();
    const sink = await store.create('a');
    await sink.write(Buffer.from('hello '));
    await sink.write(Buffer.from('world'));
    expect(await store.list('')).toEqual([]);
    expect(await store.get('a')).toBeUndefined();
    await sink.finish();
    await sink.abort();
    expect(await store.list('')).toMatchObject([{ name: 'a', size: 11 }]);
    expect(Date.now() - ((await store.list(''))[0]?.modifiedAt ?? 0)).toBeLessThan(60_000);
    expect(await store.unfinished()).toEqual([]);
    const bytes = await store.open('a');
    expect(bytes.size).toBe(11);
    expect(String(await bytes.read(6, 5))).toBe('world');
    expect(String(await bytes.read(0, 11))).toBe('hello world');
    expect(await bytes.read(11, 0)).toHaveLength(0);
    await expect(bytes.read(7, 5)).rejects.toMatchObject({ code: 'damaged' });
    await bytes.close();
  });

  test('one that is aborted was never there', async () => {
    const store = await open();
    const sink = await store.create('a');
    await sink.write(Buffer.alloc(100));
    await sink.abort();
    await sink.abort();
    expect(await store.list('')).toEqual([]);
    expect(await store.unfinished()).toEqual([]);
  });

  test('a name that is taken is never overwritten', async () => {
    const store = await open();
    const [first, second] = [await store.create('a'), await store.create('a')];
    await first.write(Buffer.from('first'));
    await second.write(Buffer.from('second'));
    await first.finish();
    await expect(second.finish()).rejects.toMatchObject({ code: 'in-the-way' });
    await second.abort();
    const third = store.create('a').then((sink) => sink.finish());
    await expect(third).rejects.toMatchObject({ code: 'in-the-way' });
    expect(String(await store.get('a'))).toBe('first');
  });

  test('objects of many sizes are read as they were written', async () => {
    const store = await open();
    for (const size of [0, 1, 70_000, 12_000_001]) {
      const bytes = Buffer.alloc(size, `${size} `);
      const sink = await store.create(`s${size}`);
      for (let at = 0; at < size; at += 1_000_000) await sink.write(bytes.subarray(at, at + 1_000_000));
      await sink.finish();
      const source = await store.open(`s${size}`);
      expect(source.size).toBe(size);
      expect((await source.read(0, size)).equals(bytes)).toBe(true);
      await source.close();
    }
  });

  test('small objects are replaced, and removed', async () => {
    const store = await open();
    expect(await store.get('.etcdferry/x/a.json')).toBeUndefined();
    await store.put('.etcdferry/x/a.json', Buffer.from('1'));
    await store.put('.etcdferry/x/a.json', Buffer.from('22'));
    expect(String(await store.get('.etcdferry/x/a.json'))).toBe('22');
    await store.delete('.etcdferry/x/a.json');
    await store.delete('.etcdferry/x/a.json');
    expect(await store.get('.etcdferry/x/a.json')).toBeUndefined();
  });

  test('a folder lists what is directly in it, by name', async () => {
    const store = await open();
    expect(await store.list('.etcdferry/locks')).toEqual([]);
    for (const name of ['b', 'a', '.etcdferry/locks/2', '.etcdferry/locks/1', '.etcdferry/locks2/3']) {
      await store.put(name, Buffer.from(name));
    }
    expect((await store.list('')).map(({ name }) => name)).toEqual(['a', 'b']);
    expect((await store.list('.etcdferry/locks')).map(({ name }) => name)).toEqual(['1', '2']);
  });

  test('more objects than one page of a listing', async () => {
    const store = await open();
    const names = Array.from({ length: 1_100 }, (_, i) => `n${String(i).padStart(4, '0')}`);
    fill(store, names);
    expect((await store.list('')).map(({ name }) => name)).toEqual(names);
  });

  test('what is missing is not found', async () => {
    const store = await open();
    await expect(store.open('nothing')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('what was begun and left is listed as unfinished, and can be cleared away', async () => {
    const store = await open();
    const sink = await store.create('etcd-x.tar');
    await sink.write(Buffer.alloc(12_000_000));
    await expect.poll(async () => (await store.unfinished()).length).toBe(1);
    const [left] = await store.unfinished();
    expect(left?.name).toBe('etcd-x.tar');
    expect(Math.abs(Date.now() - (left?.startedAt ?? 0))).toBeLessThan(60_000);
    await left?.clear();
    await left?.clear();
    expect(await store.unfinished()).toEqual([]);
    await expect(sink.finish()).rejects.toThrow();
    await sink.abort();
    expect(await store.list('')).toEqual([]);
  });
}
