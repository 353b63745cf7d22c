#!/usr/bin/env node
import { existsSync } from 'node:fs';
import module from 'node:module';

const main = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(main)) {
  module.enableCompileCache?.();
  const { main: run } = await import(main.href);
  process.exitCode = await run(process.argv.slice(2), process);
} else {
  process.stderr.write('etcdferry: not built yet; run `npm run build`\n');
  process.exitCode = 1;
}
