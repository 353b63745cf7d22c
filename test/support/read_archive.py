"""A reader of etcdferry archives, written from docs/archive-format.md alone, with nothing but Python's library.

It holds an archive to every rule of that page and prints what it holds as JSON:

    python3 read_archive.py ARCHIVE [--records]

With --records a line per record comes first: its bytes in hex. What is wrong ends it with status 12 and a
line on stderr; a format version it does not know with 13. It shares nothing with the tool's own reader, so
that the page is proven to say enough.
"""

import binascii
import hashlib
import json
import re
import sys
import zlib

BLOCK = 512
TAIL = 4 * BLOCK
RUN = 8 * 1024 * 1024
MAX_RECORD = 64 * 1024 * 1024
DIGEST_RUN = 4096
VERSIONS = (0, 1)


class Damaged(Exception):
    pass


def must(holds, what):
    if not holds:
        raise Damaged(what)


# The frame


def padded(size):
    return (size + BLOCK - 1) // BLOCK * BLOCK


def tar_header(name, size):
    must(re.fullmatch('[!-~]{1,100}', name) is not None, 'the name of an entry')
    must(size < 8 ** 11, 'the size of an entry')
    head = bytearray(BLOCK)

    def put(offset, text):
        head[offset:offset + len(text)] = text

    put(0, name.encode('ascii'))
    for offset in (100, 108, 116):
        put(offset, b'000600 \0' if offset == 100 else b'000000 \0')
    put(124, b'%011o ' % size)
    put(136, b'00000000000 ')
    put(148, b' ' * 8)
    put(156, b'0')
    put(257, b'ustar\x0000')
    put(329, b'000000 \0')
    put(337, b'000000 \0')
    put(148, b'%06o \0' % sum(head))
    return bytes(head)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parse_json(data, what):
    try:
        found = json.loads(data.decode('utf-8'))
    except ValueError as wrong:
        raise Damaged(f'{what}: {wrong}') from wrong
    must(isinstance(found, dict), f'{what} is not an object')
    return found


def fields_of(found, what, required, optional=()):
    """The fields are those of the page, in its order."""
    names = [name for name in required if name in found or name not in optional]
    must(list(found) == names, f'{what} has the fields {list(found)}')


def count(value, what):
    must(type(value) is int and 0 <= value < 2 ** 53, what)
    return value


def content_of(archive, entry):
    """The stored content, with header and padding proven."""
    name, offset, size = entry['name'], count(entry['offset'], 'offset'), count(entry['size'], 'size')
    must(BLOCK <= offset and offset + padded(size) <= len(archive), f'{name}: lies outside of the file')
    must(archive[offset - BLOCK:offset] == tar_header(name, size), f'{name}: tar header')
    content = archive[offset:offset + size]
    must(sha256(content) == entry['sha256'], f'{name}: SHA-256')
    must(not any(archive[offset + size:offset + padded(size)]), f'{name}: padding')
    return content


def read_frame(archive):
    must(len(archive) % BLOCK == 0 and len(archive) >= TAIL + 2 * BLOCK, 'the size of the file')
    tail = archive[-TAIL:]
    must(tail[:BLOCK] == tar_header('end', BLOCK), 'the header of end')
    must(not any(tail[2 * BLOCK:]), 'two zero blocks')
    end = parse_json(tail[BLOCK:2 * BLOCK], 'end')
    fields_of(end, 'end', ('format', 'formatVersion', 'manifest'))
    fields_of(end['manifest'], 'end', ('offset', 'size', 'sha256'))
    must(end['format'] == 'etcdferry-end', 'end: format')
    line = json.dumps(end, separators=(',', ':')).encode()
    must(tail[BLOCK:2 * BLOCK] == line.ljust(BLOCK), 'end: white space')
    place = {'name': 'manifest.json', **end['manifest']}
    must(place['offset'] + padded(place['size']) == len(archive) - TAIL, 'where manifest.json lies')
    manifest = parse_json(content_of(archive, place), 'manifest.json')
    must(manifest.get('formatVersion') == end['formatVersion'], 'the format version of manifest.json')
    entries = manifest['entries']
    must(entries[0]['name'] == 'etcdferry.json', 'the first entry')
    offset = BLOCK
    for entry in [*entries, place]:
        must(entry['offset'] == offset, f'where {entry["name"]} lies')
        offset += padded(entry['size']) + BLOCK
    contents = [content_of(archive, entry) for entry in entries]
    return manifest, contents, archive[place['offset']:place['offset'] + place['size']]


# Entries


def check_names(names, ending):
    """In the order of the page: numbered without gaps, each kind at its place."""
    rest = list(names)

    def numbered(folder):
        number = 0
        while rest and rest[0] == f'{folder}/{number:06d}{ending}':
            rest.pop(0)
            number += 1

    must(rest.pop(0) == 'etcdferry.json', 'the first entry')
    numbered('leases')
    if rest and rest[0] == 'auth.json':
        rest.pop(0)
    numbered('segments')
    for name in rest:
        must(re.fullmatch('x-[A-Za-z0-9._-]{1,90}', name) is not None, f'the entry {name}')
    must(len(set(rest)) == len(rest), 'an entry twice')


def check_header(header, text):
    required = ('format', 'formatVersion', 'toolVersion', 'api', 'order', 'revision', 'index', 'compactRevision',
                'scheduledCompactRevision', 'startedAt', 'source', 'selection', 'compress', 'options')
    fields_of(header, 'etcdferry.json', required, ('revision', 'index', 'compactRevision', 'scheduledCompactRevision'))
    must(header['format'] == 'etcdferry-archive', 'etcdferry.json: format')
    orders = {'v3': ('key', 'revision'), 'v2': ('tree',)}
    must(header['order'] in orders[header['api']], 'etcdferry.json: order')
    must(('index' if header['api'] == 'v2' else 'revision') in header, 'etcdferry.json: revision or index')
    must(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', header['startedAt']) is not None, 'etcdferry.json: startedAt')
    fields_of(header['source'], 'source', ('kind', 'location', 'clusterId', 'memberId', 'serverVersion'),
              ('clusterId', 'memberId', 'serverVersion'))
    must(header['source']['kind'] in ('live', 'archive', 'snapshot-file', 'data-dir'), 'etcdferry.json: source.kind')
    fields_of(header['selection'], 'selection', ('prefixes', 'excludePrefixes', 'objects'), ('objects',))
    must(header['selection'].get('objects') != [], 'selection.objects: empty')
    for choice in header['selection'].get('objects', ()):
        lists = ('kinds', 'excludeKinds', 'namespaces', 'names', 'etcdPrefixes')
        fields_of(choice, 'selection.objects', lists, lists)
        for name, texts in choice.items():
            must(isinstance(texts, list) and texts != [] and all(isinstance(text, str) for text in texts), f'selection.objects: {name}')
    must(json.dumps(header, indent=2, ensure_ascii=False).encode() + b'\n' == text, 'etcdferry.json: white space')


def check_auth(auth, text):
    fields_of(auth, 'auth.json', ('enabled', 'users', 'roles'), ('enabled',))
    for user in auth['users']:
        fields_of(user, 'a user', ('name', 'roles', 'passwordHashBase64', 'noPassword'), ('passwordHashBase64', 'noPassword'))
        binascii.a2b_base64(user.get('passwordHashBase64', ''), strict_mode=True)
    for role in auth['roles']:
        fields_of(role, 'a role', ('name', 'permissions'))
        for permission in role['permissions']:
            fields_of(permission, 'a permission', ('type', 'keyBase64', 'rangeEndBase64'))
            must(permission['type'] in ('read', 'write', 'readwrite'), 'the type of a permission')
    must(json.dumps(auth, indent=2, ensure_ascii=False).encode() + b'\n' == text, 'auth.json: white space')


def check_manifest(manifest, text):
    fields_of(manifest, 'manifest.json', ('formatVersion', 'totals', 'digests', 'entries'))
    fields_of(manifest['totals'], 'totals', ('records', 'rawBytes', 'leases'))
    fields_of(manifest['digests'], 'digests', ('records', 'values'))
    plain = ('name', 'offset', 'size', 'rawSize', 'sha256')
    for entry in manifest['entries']:
        if entry['name'].startswith('leases/'):
            fields_of(entry, entry['name'], plain + ('leases',))
        elif entry['name'].startswith('segments/'):
            keys = ('firstKey', 'firstKeyBase64', 'lastKey', 'lastKeyBase64')
            fields_of(entry, entry['name'], plain + ('records',) + keys, keys)
            bytes_of(entry, 'firstKey')
            bytes_of(entry, 'lastKey')
        else:
            fields_of(entry, entry['name'], plain)
            must(entry['rawSize'] == entry['size'], f'{entry["name"]}: rawSize')

    def line(value):
        return json.dumps(value, separators=(',', ':'), ensure_ascii=False)

    head = line({name: manifest[name] for name in ('formatVersion', 'totals', 'digests')})[:-1]
    lines = ',\n'.join(line(entry) for entry in manifest['entries'])
    must(f'{head},"entries":[\n{lines}\n]}}\n'.encode() == text, 'manifest.json: white space')


def bytes_of(found, name):
    """Text where it is UTF-8, else base64 under another name."""
    must((name in found) != (f'{name}Base64' in found), f'exactly one of {name} and {name}Base64')
    if name in found:
        return found[name].encode('utf-8')
    key = binascii.a2b_base64(found[f'{name}Base64'], strict_mode=True)
    try:
        key.decode('utf-8')
    except UnicodeDecodeError:
        return key
    raise Damaged(f'{name}Base64 is UTF-8')


# Runs and messages


def gunzip(stored, size, what):
    must(size <= 1032 * len(stored), f'{what}: gzip cannot make {size} bytes of {len(stored)}')
    must(stored[:8] == bytes.fromhex('1f8b080000000000') and stored[9:10] == b'\xff', f'{what}: the gzip header')
    unpacker = zlib.decompressobj(wbits=31)
    try:
        raw = unpacker.decompress(stored, size + 1)
    except zlib.error as wrong:
        raise Damaged(f'{what}: {wrong}') from wrong
    must(len(raw) == size and unpacker.eof and not unpacker.unused_data, f'{what}: is not {size} bytes decompressed')
    return raw


def unzstd(stored, size, what):
    """Python's library has zstd from 3.14 on; before that, None: the stored bytes are proven, not the records."""
    try:
        from compression import zstd
    except ImportError:
        return None
    frame = zstd.get_frame_info(stored)
    must(frame.decompressed_size == size and frame.dictionary_id == 0, f'{what}: the zstd frame')
    unpacker = zstd.ZstdDecompressor()
    raw = unpacker.decompress(stored, size + 1)
    must(unpacker.eof and not unpacker.unused_data, f'{what}: is not one zstd frame and nothing else')
    must(len(raw) == size, f'{what}: is not {size} bytes decompressed')
    return raw


def varint(data, at, what):
    value = shift = 0
    while True:
        must(at < len(data) and shift < 70, f'{what}: a varint runs past the end')
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def length(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def messages(raw, what):
    at = 0
    while at < len(raw):
        size, start = varint(raw, at, what)
        must(raw[at:start] == length(size), f'{what}: a length is not in its shortest form')
        must(size <= MAX_RECORD and start + size <= len(raw), f'{what}: a message runs past the end')
        yield raw[start:start + size]
        at = start + size


def fields(message, what):
    at, found = 0, {}
    while at < len(message):
        tag, at = varint(message, at, what)
        kind = tag & 7
        if kind == 2:
            size, at = varint(message, at, what)
            must(at + size <= len(message), f'{what}: a field runs past the end')
            found[tag >> 3] = message[at:at + size]
            at += size
        else:
            must(kind == 0, f'{what}: a field of wire type {kind}')
            found[tag >> 3], at = varint(message, at, what)
    return found


def signed(number):
    return number - 2 ** 64 if number >= 2 ** 63 else number


# '/' before every other byte
TREE = bytes([byte + 1 for byte in range(0x2F)] + [0] + list(range(0x30, 256)))


def read_record(record, order, what):
    """What it is sorted by, its key as the manifest has it, and key and value for the digest of values."""
    if order == 'revision':
        size = 18 if record[17:18] == b't' else 17
        revision, message = record[:size], record[size:]
        must(len(revision) == size and revision[8:9] == b'_', f'{what}: the revision key')
        found = fields(message, what)
        return revision, revision, found.get(1, b''), found.get(5, b'')
    found = fields(record, what)
    key, value = found.get(1, b''), found.get(3 if order == 'tree' else 5, b'')
    must(order != 'tree' or key.startswith(b'/'), f'{what}: its path')
    return key.translate(TREE) if order == 'tree' else key, key, key, value


class Digest:
    def __init__(self):
        self.all, self.run, self.parts = hashlib.sha256(), hashlib.sha256(), 0

    def add(self, *parts):
        for part in parts:
            self.run.update(part)
        self.parts += 1
        if self.parts % DIGEST_RUN == 0:
            self.all.update(self.run.digest())
            self.run = hashlib.sha256()

    def hex(self):
        if self.parts % DIGEST_RUN != 0:
            self.all.update(self.run.digest())
            self.run, self.parts = hashlib.sha256(), 0
        return self.all.hexdigest()


class Leases:
    def __init__(self):
        self.found, self.last = [], -2 ** 63 - 1

    def take(self, raw, entry):
        listed = list(messages(raw, entry['name']))
        must(len(listed) == entry['leases'] > 0, f'{entry["name"]}: leases')
        for message in listed:
            found = fields(message, entry['name'])
            must(list(found) == sorted(found) and 0 not in found.values(), f'{entry["name"]}: the fields of a lease')
            lease = [signed(found.get(number, 0)) for number in range(1, 6)]
            must(lease[0] > self.last and lease[0] != 0 and lease[4] in (0, 1), f'{entry["name"]}: a lease or its place')
            self.last = lease[0]
            self.found.append(dict(zip(('id', 'grantedTtl', 'remainingTtl', 'seenUnixMs', 'origin'), map(str, lease))))


class Records:
    def __init__(self, order, show):
        self.order, self.show, self.count, self.raw, self.last = order, show, 0, 0, None
        self.records, self.values = Digest(), Digest()

    def take(self, raw, entry):
        what, first, number, key = entry['name'], None, 0, b''
        for message in messages(raw, what):
            place, key, name, value = read_record(message, self.order, f'{what}: record {number}')
            must(self.last is None or place > self.last, f'{what}: record {number} is out of order')
            self.last, first, number = place, key if first is None else first, number + 1
            self.records.add(length(len(message)), message)
            self.values.add(length(len(name)), name, length(len(value)), value)
            if self.show:
                print(message.hex())
        must(number == entry['records'] > 0 and (number == 1 or len(raw) <= RUN), f'{what}: records')
        must(first == bytes_of(entry, 'firstKey') and key == bytes_of(entry, 'lastKey'), f'{what}: first or last key')
        self.count += number
        self.raw += len(raw)


def read(archive, show):
    manifest, contents, text = read_frame(archive)
    if manifest['formatVersion'] not in VERSIONS:
        print(f'format version {manifest["formatVersion"]}', file=sys.stderr)
        return 13
    check_manifest(manifest, text)
    header = parse_json(contents[0], 'etcdferry.json')
    check_header(header, contents[0])
    must(header['formatVersion'] == manifest['formatVersion'], 'etcdferry.json: format version')
    check_names([entry['name'] for entry in manifest['entries']], {'gzip': '.pb.gz', 'zstd': '.pb.zst'}[header['compress']])
    auth, leases, records, unread = None, Leases(), Records(header['order'], show), []
    for entry, stored in zip(manifest['entries'], contents):
        name = entry['name']
        if name == 'auth.json':
            auth = parse_json(stored, name)
            check_auth(auth, stored)
        taker = leases if name.startswith('leases/') else records if name.startswith('segments/') else None
        if taker is None:
            continue
        raw = (gunzip if header['compress'] == 'gzip' else unzstd)(stored, count(entry['rawSize'], 'rawSize'), name)
        if raw is None:
            unread.append(name)
        else:
            taker.take(raw, entry)
    if not unread:
        totals = {'records': records.count, 'rawBytes': records.raw, 'leases': len(leases.found)}
        must(totals == manifest['totals'], f'totals: {totals}')
        must({'records': records.records.hex(), 'values': records.values.hex()} == manifest['digests'], 'the content digests')
    print(json.dumps({'header': header, 'totals': manifest['totals'], 'digests': manifest['digests'], 'auth': auth,
                      'leases': leases.found, 'sha256': sha256(archive), 'unread': unread}))
    return 0


def main():
    with open(sys.argv[1], 'rb') as file:
        archive = file.read()
    try:
        return read(archive, '--records' in sys.argv)
    except (Damaged, KeyError, TypeError, AttributeError, IndexError, binascii.Error) as wrong:
        print(f'damaged: {wrong!r}', file=sys.stderr)
        return 12


if __name__ == '__main__':
    sys.exit(main())
