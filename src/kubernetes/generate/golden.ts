import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { brotliCompressSync, constants } from 'node:zlib';
import { compactJson } from '../codec/json-tree.js';

// Run by `make kubernetes-golden`: gathers Kubernetes' golden files (api/testdata) from CACHE, each
// distinct triple once, into OUT/golden.{json,yaml,pb}.br. How they are laid out: OUT/README.md.
const [cache, out] = argv.slice(2);
if (cache === undefined || out === undefined) throw new Error('usage: golden.ts CACHE OUT');

interface Triple {
  readonly name: string;
  readonly json: string;
  readonly yaml: string;
  readonly pb: Buffer;
  readonly found: string[];
}

const triples = new Map<string, Triple>();
for (const line of readFileSync(join(cache, 'versions'), 'utf8').trim().split('\n')) {
  const [release = '', directory = ''] = line.split(' ');
  const root = ['usr/share/gocode/src/k8s.io', 'staging/src/k8s.io']
    .map((path) => join(cache, directory, path, 'api/testdata'))
    .find(existsSync);
  if (root === undefined || !/^[a-z]/.test(directory)) continue;
  for (const version of readdirSync(root).sort()) {
    if (version.startsWith('README')) continue;
    for (const file of readdirSync(join(root, version)).sort()) {
      if (!file.endsWith('.pb') || file.includes('.after_roundtrip.')) continue;
      add(join(root, version, file.slice(0, -'.pb'.length)), file.slice(0, -'.pb'.length), `${release}/${version}`);
    }
  }
}

function add(path: string, name: string, found: string): void {
  const json = compactJson(readFileSync(`${path}.json`, 'utf8').trim());
  const yaml = readFileSync(`${path}.yaml`, 'utf8');
  const pb = readFileSync(`${path}.pb`);
  const key = [name, json, yaml, pb.toString('latin1')].join('\0');
  const triple = triples.get(key) ?? { name, json, yaml, pb, found: [] };
  triple.found.push(found);
  triples.set(key, triple);
}

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return length;
}

function write(name: string, bytes: Buffer): void {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  writeFileSync(join(out as string, name), brotliCompressSync(bytes, { params }));
}

const sorted = [...triples.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
write('golden.json.br', Buffer.from(sorted.map((t) => `${t.name}\t${t.found.join(' ')}\t${t.json}\n`).join('')));
write('golden.yaml.br', Buffer.from(sorted.map((t) => `---\n${t.yaml}`).join('')));
write('golden.pb.br', Buffer.concat(sorted.flatMap((t) => [lengthOf(t.pb), t.pb])));
