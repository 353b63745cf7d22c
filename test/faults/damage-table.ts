import { gzipSync } from 'node:zlib';
import { gzipMember } from '../support/bytes.js';
import {
  BLOCK,
  entries,
  extension,
  extra,
  FIRST,
  flipped,
  framed,
  header,
  history,
  inSegment,
  key,
  manifest,
  manyEntries,
  ownManifest,
  records,
  SEGMENT,
  segment,
  segmentHeader,
  segmentSize,
  stored,
  swap,
  tree,
  typed,
  zstdFrame,
  zstdSegment,
} from './damaged-archives.js';

const raw = Buffer.concat(framed(key));
const GIBIBYTE = gzipMember(Buffer.alloc(1 << 30), 9);
export type Make = () => Buffer | Promise<Buffer>;

const put = (text: string, at: number) => segmentHeader((it) => void it.write(text, at));

/** Damage as accidents make it: the digests tell. */
export const ACCIDENTS: Readonly<Record<string, Make>> = {
  'an empty file': () => Buffer.alloc(0),
  text: () => Buffer.from('hello, world\n'.repeat(1000)),
  zeros: () => Buffer.alloc(10_240),
  'an archive inside gzip': () => gzipSync(key),
  'cut in half': () => key.subarray(0, key.length >> 1),
  'cut in half at a block': () => key.subarray(0, (key.length >> 10) * BLOCK),
  'without its last block': () => key.subarray(0, -BLOCK),
  'with a block of zeros more, as tar pads': () => Buffer.concat([key, Buffer.alloc(BLOCK)]),
  'with another archive behind it': () => Buffer.concat([key, tree]),
  'without its first block': () => key.subarray(BLOCK),
  'a bit of the first tar header': () => flipped(key, 110),
  'a bit of a segment': () => flipped(key, inSegment + (segmentSize >> 1)),
  'a bit of the padding': () => flipped(key, inSegment + segmentSize),
  'a bit of the manifest': () => flipped(key, key.indexOf('"totals"') + 3),
  'a bit of the end': () => flipped(key, key.length - 3 * BLOCK + 40),
  'a bit of the zero blocks': () => flipped(key, key.length - 9),
  'a hole of zeros, as from a crash': () => Buffer.from(key).fill(0, inSegment + 4096, inSegment + 8192),
  'a piece of another archive': () =>
    Buffer.concat([
      key.subarray(0, inSegment + 4096),
      history.subarray(inSegment + 4096, inSegment + 8192),
      key.subarray(inSegment + 8192),
    ]),
  'two blocks exchanged': () =>
    Buffer.concat([key.subarray(0, 8192), key.subarray(8704, 9216), key.subarray(8192, 8704), key.subarray(9216)]),
  'line feeds turned, as by a transfer in text mode': () => Buffer.from(key.toString('latin1').replaceAll('\n', '\r\n'), 'latin1'),
};

/** Tricks that tar files can play, with every checksum of the tar right. */
export const TARS: Readonly<Record<string, Make>> = {
  'a symbolic link': typed('2', '/etc/shadow'),
  'a hard link': typed('1', 'etcdferry.json'),
  'a character device': typed('3'),
  'a directory': typed('5'),
  'a block device': typed('4'),
  'a named pipe': typed('6'),
  'a contiguous file': typed('7'),
  'a volume label of GNU tar': typed('V'),
  'the rest of a file on another volume': typed('M'),
  'a sparse file of GNU tar': typed('S'),
  'an absolute path in the tar': put('/etc/cron.d/x\0', 0),
  'a path that climbs in the tar': put('../../../root\0', 0),
  'a prefix before the name': put('../..', 345),
  'a mode of 4777': put('004777', 100),
  'an owner': put('root', 265),
  'a time': put('14000000000', 136),
  'a size that is too large': put('00077777777', 124),
  'a size that is too small': put('00000000010', 124),
  'a size in base-256, as GNU tar writes it': put('\x80\0\0\0\0\0\0\0\0\0\x10', 124),
  'a negative size': put('-0000000001', 124),
  'a checksum that counts signed bytes': segmentHeader((it) => void it.write('\xff', 0, 'latin1')),
  'a pax header that renames': extension('x', 'PaxHeaders/x', '30 path=../../../../etc/passwd\n'),
  'a pax header that resizes': extension('x', 'PaxHeaders/x', '21 size=99999999999\n'),
  'a pax header that makes it sparse': extension('x', 'PaxHeaders/x', '22 GNU.sparse.major=1\n30 GNU.sparse.realsize=99999999\n'),
  'a pax global header': extension('g', 'pax_global_header', '52 comment=0123456789012345678901234567890123456789\n'),
  'a long name of GNU tar': extension('L', '././@LongLink', `${'../'.repeat(60)}etc/passwd\0`),
  'a long link of GNU tar': extension('K', '././@LongLink', '/etc/passwd\0'),
};

/** An archive changed by somebody who set every digest, size and offset right again. */
export const FORGED: Readonly<Record<string, Make>> = {
  'forged: an absolute path': extra('/etc/cron.d/x'),
  'forged: a path that climbs': extra('x-/../../../etc/passwd'),
  'forged: a name nobody knows': extra('passwd'),
  'forged: a name twice': entries((all) => [
    ...all,
    { name: 'x-a', content: Buffer.from('1') },
    { name: 'x-a', content: Buffer.from('2') },
  ]),
  'forged: the segment twice': entries((all) => [...all, all.at(-1) as (typeof all)[number]]),
  'forged: the segment gone': entries((all) => all.filter(({ name }) => name !== SEGMENT)),
  'forged: entries in another order': entries((all) => swap(all, 1, 2)),
  'forged: records in another order': records((all) => swap(all, 10, 11)),
  'forged: a record twice': records((all) => all.toSpliced(10, 0, all[10] as Buffer)),
  'forged: a record gone': records((all) => all.toSpliced(10, 1)),
  'forged: nodes in another order': records((all) => swap(all, 10, 11), tree),
  'forged: revisions in another order': records((all) => swap(all, 10, 11), history),
  'forged: a record that is none': records((all) => all.with(10, Buffer.from([3, 0xff, 0xff, 0xff]))),
  'forged: another count of records': segment((entry) => ({ records: Number(entry.records) + 1 })),
  'forged: another first key': segment(() => ({ firstKey: 'a' })),
  'forged: a larger raw size': manifest((json) => {
    const rawBytes = Number(json.totals.rawBytes) + 1;
    Object.assign(json.totals, { rawBytes });
    Object.assign(json.entries.at(-1) as object, { rawSize: rawBytes });
  }),
  'forged: an offset outside of the file': segment(() => ({ offset: 2 ** 50 })),
  'forged: a size of 8 PiB': segment(() => ({ size: 2 ** 53 - 1 })),
  'forged: a negative size': segment(() => ({ size: -512 })),
  'forged: totals that do not add up': manifest((json) => Object.assign(json.totals, { leases: 9 })),
  'forged: another content digest': manifest((json) => Object.assign(json.digests, { values: '0'.repeat(64) })),
  'forged: a field nobody knows': manifest((json) => Object.assign(json.totals, { planets: 8 })),
  'forged: no gzip in the segment': stored(Buffer.alloc(10_000, 'hello, world')),
  'forged: a gzip bomb of 1 GiB': stored(GIBIBYTE),
  'forged: a gzip bomb that says so': stored(
    gzipMember(Buffer.alloc(1 << 28), 9),
    { rawSize: 1 << 28, records: 1 },
    { rawBytes: 1 << 28, records: 1 },
  ),
  'forged: a gzip bomb of 1 GiB among the leases': stored(GIBIBYTE, { rawSize: 1 << 22 }, {}, 'leases/000000.pb.gz'),
  'forged: a zstd bomb that says so': zstdSegment(() => zstdFrame(1 << 28, 2048), { rawSize: 1 << 28, records: 1 }),
  'forged: two zstd frames in one': zstdSegment((_, content) => Buffer.concat([content, content])),
  'forged: a zstd frame and something behind it': zstdSegment((_, content) => Buffer.concat([content, Buffer.from('hello')])),
  'forged: two gzip members in one': stored(Buffer.concat([gzipMember(raw.subarray(0, 1_000_000)), gzipMember(raw.subarray(1_000_000))])),
  'forged: v2 with the order of keys': header({ api: 'v2' }),
  'forged: etcdferry.json of another version': header({ formatVersion: 7 }),
  'forged: etcdferry.json with a field more': header({ more: true }),
  'forged: a hundred thousand entries that are not there': () => ownManifest(manyEntries(100_000)),
  'forged: a million entries that are not there': () => ownManifest(manyEntries(1_000_000)),
  'forged: a manifest of three million arrays': () => ownManifest(`{"formatVersion":1,"entries":[${FIRST}${',[]'.repeat(3_000_000)}]}`),
  'forged: a manifest a million levels deep': () =>
    ownManifest(`{"formatVersion":1,"x":${'['.repeat(1e6)}${']'.repeat(1e6)},"entries":[${FIRST}]}`),
  'forged: a manifest of 40 MB': () => ownManifest(`{"formatVersion":1,"x":"${'x'.repeat(4e7)}","entries":[${FIRST}]}`),
};

/** Not damage, but more than this release knows. */
export const UNKNOWN: Readonly<Record<string, Make>> = {
  'of a format version to come': () => import('../archive/samples.js').then(({ rewritten }) => rewritten(key, { formatVersion: 2 })),
};
