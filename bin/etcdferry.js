#!/usr/bin/env node
import { existsSync } from 'node:fs';
import module from 'node:module';

const main = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(main)) {
  module.enableCompileCache?.();
  // What it warns of is for those who choose a version of the SDK, not for those who use this program.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  // Certificates are checked, whatever the environment says: also where the AWS SDK asks for credentials by itself.
  delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  const { main: run } = await import(main.href);
  process.exitCode = await run(process.argv.slice(2), process);
  // All is done, and with nothing left the process ends by itself: this is for a connection that was given up while it was being
  // made, which neither grpc-js nor undici closes, and the system goes on trying for minutes. What stdout holds goes out first.
  setTimeout(() => process.stdout.write('', () => process.exit()), 100).unref();
} else {
  process.stderr.write('etcdferry: not built yet; run `npm run build`\n');
  process.exitCode = 1;
}
