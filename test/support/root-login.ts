import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EtcdServer } from './etcd.js';

/** Turns authentication on, and returns the flags that log in as root, with a password file in this directory. */
export async function rootLogin(server: EtcdServer, directory: string): Promise<string[]> {
  const file = join(directory, 'password');
  writeFileSync(file, 'secret\n');
  await server.enableAuth('secret');
  return ['--user', 'root', '--password-file', file];
}
