import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate with its key, as files and as bytes. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface CertificateOptions {
  /** subjectAltName, as openssl writes it; the loopback address unless given. */
  readonly names?: string;
  /** CN of the subject; etcd takes a client's as its user. */
  readonly commonName?: string;
  /** Valid until yesterday. */
  readonly expired?: boolean;
}

/** A certificate authority in a temporary directory, made with the openssl command. */
export class Authority implements Disposable {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'certificates-'));
  readonly caFile: string;
  readonly ca: Buffer;
  #made = 0;

  constructor() {
    this.caFile = join(this.dir, 'ca.crt');
    const subject = ['-subj', '/CN=test authority', '-days', '2', '-addext', 'keyUsage=critical,keyCertSign'];
    openssl('req', '-x509', ...newKey(join(this.dir, 'ca.key')), '-out', this.caFile, ...subject);
    this.ca = readFileSync(this.caFile);
    writeFileSync(join(this.dir, 'index.txt'), '');
  }

  issue(options: CertificateOptions = {}): Certificate {
    const base = join(this.dir, `issued-${++this.#made}`);
    const [certFile, keyFile, extensions] = [`${base}.crt`, `${base}.key`, `${base}.ext`];
    writeFileSync(extensions, `subjectAltName=${options.names ?? 'IP:127.0.0.1,DNS:localhost'}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    openssl('req', ...newKey(keyFile), '-out', `${base}.csr`, '-subj', `/CN=${options.commonName ?? 'test server'}`);
    const validity = options.expired ? ['-startdate', '20200101000000Z', '-enddate', '20200102000000Z'] : ['-days', '2'];
    writeFileSync(
      join(this.dir, 'ca.conf'),
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${this.dir}/index.txt\nnew_certs_dir=${this.dir}\npolicy=p\ndefault_md=sha256\nrand_serial=yes\nunique_subject=no\n[p]\ncommonName=supplied\n`,
    );
    const authority = ['-cert', this.caFile, '-keyfile', join(this.dir, 'ca.key'), '-config', join(this.dir, 'ca.conf')];
    openssl('ca', '-batch', '-notext', ...authority, '-in', `${base}.csr`, '-out', certFile, '-extfile', extensions, ...validity);
    return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function newKey(keyFile: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}
