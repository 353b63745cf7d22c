import { describe, expect, test } from 'vitest';
import { eventIn } from '../../src/cluster/v2-watch.js';
import { parseKeyMapping, SAME_KEYS } from '../../src/convert/key-mapping.js';
import { Changes } from '../../src/jobs/follow-changes.js';
import { Expirations } from '../../src/jobs/follow-expirations.js';
import { batchOf } from '../../src/model/batch.js';
import { NoteBook } from '../../src/model/note.js';
import { EVERYTHING, type KeySelection } from '../../src/model/source.js';
import { encodeNode } from '../../src/wire/node.js';

let index = 100;
/** An event as etcd writes it. */
function event(action: string, key: string, more: object = {}, prevNode?: object) {
  index++;
  const text = JSON.stringify({ action, node: { key, modifiedIndex: index, createdIndex: index, ...more }, ...(prevNode && { prevNode }) });
  const found = eventIn(text);
  if (found === undefined) throw new Error(text);
  return found;
}

function changes(selection: KeySelection = EVERYTHING, mapping = SAME_KEYS) {
  const [expirations, notes] = [new Expirations(), new NoteBook()];
  const all = new Changes(expirations, { selection, mapping, notes });
  const net = () => ({
    set: all.nodes().map(({ path, dir, value }) => (dir ? `${path}/` : `${path}=${value}`)),
    gone: all.gone().map(String),
    under: all.directories.map(String),
  });
  return { all, expirations, notes, net };
}

describe('an event', () => {
  test('is read as etcd writes it', () => {
    const text =
      '{"action":"compareAndSwap","node":{"key":"/a","value":"é\\ud83d\\ude00","expiration":"2030-01-02T03:04:05.000000006Z","ttl":9,"modifiedIndex":7,"createdIndex":5},"prevNode":{"key":"/a","value":"x","modifiedIndex":6,"createdIndex":5}}\n';
    const node = {
      path: Buffer.from('/a'),
      dir: false,
      value: Buffer.from('é😀'),
      createdIndex: 5n,
      modifiedIndex: 7n,
      expiration: 1893553445000000006n,
    };
    expect(eventIn(text)).toEqual({ action: 'compareAndSwap', index: 7n, node, replacesFile: true, bytesLost: false });
  });

  test('tells bytes that were lost from a character that means so', () => {
    const at = (value: string) =>
      eventIn(`{"action":"set","node":{"key":"/a","value":"${value}","modifiedIndex":7,"createdIndex":7}}`)?.bytesLost;
    expect([at('a\\ufffd'), at('\\\\\\ufffd')]).toEqual([true, true]);
    expect([at('a\ufffd'), at('\\\\ufffd'), at('')]).toEqual([false, false, false]);
  });

  test('that is none, or of an action that nobody knows, is not taken for one', () => {
    for (const text of [
      '',
      '{}',
      'null',
      '[]',
      '{"action":"set"}',
      '{"action":"boil","node":{"key":"/a","modifiedIndex":1,"createdIndex":1}}',
      '{"action":"set","node":{"key":"/a"}}',
    ]) {
      expect(eventIn(text)).toBeUndefined();
    }
  });
});

describe('a run of changes comes to', () => {
  test('what is there in the end', () => {
    const { all, net } = changes();
    all.add(event('set', '/a', { value: '1' }));
    all.add(event('compareAndSwap', '/a', { value: '2' }));
    all.add(event('create', '/b', { value: '1' }));
    all.add(event('delete', '/b'));
    all.add(event('expire', '/c'));
    all.add(event('create', '/c', { value: 'again' }));
    expect(net()).toEqual({ set: ['/a=2', '/c=again'], gone: ['/b'], under: [] });
    all.clear();
    expect(all.isEmpty).toBe(true);
  });

  test('a directory that went, with what was made in it since', () => {
    const { all, net } = changes();
    all.add(event('set', '/d/old', { value: '1' }));
    all.add(event('set', '/dx', { value: '1' }));
    all.add(event('delete', '/d', { dir: true }, { dir: true }));
    all.add(event('set', '/d/new', { value: '2' }));
    expect(net()).toEqual({ set: ['/d/new=2', '/dx=1'], gone: [], under: ['/d'] });
    expect(all.mustReread).toBe(false);
  });

  test('a file that a directory took the place of is gone', () => {
    const { all, net } = changes();
    all.add(event('set', '/a', { dir: true }, { value: 'x' }));
    expect(net()).toEqual({ set: [], gone: ['/a'], under: [] });
  });

  test('nothing, of hidden nodes and of what was not chosen', () => {
    const { all, net } = changes({ prefixes: [Buffer.from('/a')], excludePrefixes: [] });
    expect(all.add(event('set', '/a/_h/x', { value: '1' }))).toBe(false);
    expect(all.add(event('set', '/b', { value: '1' }))).toBe(true);
    expect(net()).toEqual({ set: [], gone: [], under: [] });
  });

  test('files that inherit what directories above them have', () => {
    const { all, net, expirations } = changes();
    const expiration = new Date(Date.now() + 60_000).toISOString();
    all.add(event('create', '/m', { dir: true, expiration }));
    all.add(event('set', '/m/n/a', { value: '1' }));
    expect(net().set).toEqual(['/m/', '/m/n/a=1']);
    all.add(event('expire', '/m', { dir: true }, { dir: true }));
    expect(net()).toEqual({ set: [], gone: [], under: ['/m'] });
    expect(expirations.of(Buffer.from('/m'))).toBe(0n);
  });

  test('a new reading, where events do not tell all of it', () => {
    const expiration = new Date(Date.now() + 60_000).toISOString();
    const ttl = changes();
    ttl.all.add(event('update', '/m', { dir: true, expiration }, { dir: true }));
    expect(ttl.all.mustReread).toBe(true);
    const mapped = changes(EVERYTHING, parseKeyMapping({ map: ['/a/=/x/', '/b/=/x/'] }));
    mapped.all.add(event('delete', '/a', { dir: true }, { dir: true }));
    expect(mapped.all.mustReread).toBe(true);
  });

  test('what was looked at since, against older events', () => {
    const { all, net } = changes();
    const old = event('set', '/a', { value: 'old' });
    const looked = event('set', '/a', { value: 'looked at', expiration: new Date(Date.now() + 60_000).toISOString() });
    all.file(looked.node);
    all.add(old);
    expect(net().set).toEqual(['/a=looked at']);
  });
});

test('nodes are looked at before their end and until they are told to be gone, ever more often', () => {
  const expirations = new Expirations();
  const end = 1_000_000;
  const node = {
    path: Buffer.from('/a'),
    dir: false,
    value: Buffer.alloc(0),
    createdIndex: 1n,
    modifiedIndex: 1n,
    expiration: BigInt(end) * 1_000_000n,
  };
  expirations.see(batchOf([encodeNode(node), encodeNode({ ...node, path: Buffer.from('/permanent'), expiration: 0n })]));
  const looks: number[] = [];
  for (let now = end - 10_000; now < end + 60_000; now += 100) if (expirations.dueForALook(now).length > 0) looks.push(now - end);
  expect(looks.slice(0, 4)).toEqual([-5_000, -2_500, -1_200, -600]);
  expect(looks.at(-1)).toBeGreaterThan(29_000);
  expect(looks.at(-1)).toBeLessThanOrEqual(30_000);
  expirations.deleteUnder(Buffer.from('/a'));
  expect(expirations.dueForALook(end)).toEqual([]);
});
