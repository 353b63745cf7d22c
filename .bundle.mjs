// Bundles the command line into dist/cli: to find and load the files of yargs one by one takes as long as
// Node itself takes to start. What a command does not need stays a chunk of its own, loaded when used.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'rolldown';

const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
/** Needed by every command that reads or writes an archive, and quicker to load from the bundle. */
const BUNDLED = ['tar-stream'];

await build({
  input: { main: 'src/cli/main.ts' },
  platform: 'node',
  transform: { target: 'node20.19' },
  external: Object.keys(dependencies)
    .filter((name) => !BUNDLED.includes(name))
    .map((name) => new RegExp(`^${name}(/|$)`)),
  plugins: [narrowWidth(), licenses()],
  output: { dir: 'dist/cli', cleanDir: true, format: 'esm', comments: { legal: true } },
});

/**
 * yargs lays out help with string-width, whose tables and patterns of emoji take 40 ms to compile. Our
 * help has no wide signs in it: one column for each code point is the same.
 */
function narrowWidth() {
  return {
    name: 'narrow-width',
    resolveId: (id) => (id === 'string-width' ? '\0string-width' : null),
    load: (id) => (id === '\0string-width' ? 'export default (text) => [...text].length;' : null),
  };
}

/** Writes name, version and license of every package that went into the bundle beside it. */
function licenses() {
  return {
    name: 'licenses',
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((chunk) => chunk.moduleIds ?? []);
      const found = new Set(modules.filter((id) => id.includes('/node_modules/')).map(packageOf));
      const texts = [...new Set([...found].map(notice))].sort();
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.join(`\n${'-'.repeat(80)}\n\n`) });
    },
  };
}

function packageOf(file) {
  const folder = dirname(file);
  return /\/node_modules\/(@[^/]+\/)?[^/]+$/.test(folder) && existsSync(join(folder, 'package.json')) ? folder : packageOf(folder);
}

function notice(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} ${version} brings no license text`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
}
