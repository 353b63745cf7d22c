import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

/** One of Kubernetes' own golden files; testdata/kubernetes/README.md. */
export interface GoldenTriple {
  readonly name: string;
  /** `1.36/v1.35.0`: golden files of 1.35 in the package of 1.36. */
  readonly found: readonly string[];
  readonly json: string;
  readonly yaml: string;
  readonly pb: Buffer;
}

const DIRECTORY = join(import.meta.dirname, '../../testdata/kubernetes');

export function goldenTriples(): GoldenTriple[] {
  const read = (name: string): Buffer => brotliDecompressSync(readFileSync(join(DIRECTORY, name)));
  const yaml = read('golden.yaml.br')
    .toString()
    .split(/^---\n/m)
    .slice(1);
  const pb = read('golden.pb.br');
  let at = 0;
  return read('golden.json.br')
    .toString()
    .trimEnd()
    .split('\n')
    .map((line, i) => {
      const [name = '', found = '', json = ''] = line.split('\t');
      const length = pb.readUInt32BE(at);
      at += 4 + length;
      return { name, found: found.split(' '), json, yaml: yaml[i] as string, pb: pb.subarray(at - length, at) };
    });
}
