/**
 * s3rver in a process of its own, so that it can be killed, behind a few lines that do what it leaves out:
 * it checks no signature, lists and aborts no multipart uploads, and passes over If-None-Match. The bucket
 * `plain` is served as s3rver does; `unconditional` refuses conditional writes as not implemented.
 *
 * Arguments: directory, port.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { argv } from 'node:process';
import S3rver from 's3rver';

const [directory = '', port = '0'] = argv.slice(2);
const BUCKETS = [{ name: 'bucket' }, { name: 'plain' }, { name: 'unconditional' }];
const s3rver = new S3rver({ directory, silent: true, address: '127.0.0.1', port: 0, configureBuckets: BUCKETS });
const serve = s3rver.callback();

/** Answers what s3rver would not; false for everything else. */
function answer(request: IncomingMessage, response: ServerResponse): boolean {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const [, bucket = '', ...parts] = decodeURIComponent(url.pathname).split('/');
  const key = parts.join('/');
  const uploads = join(directory, bucket, '._S3rver_uploads');
  const id = url.searchParams.get('uploadId');
  if (/Credential=REFUSED/.test(request.headers.authorization ?? '')) return fail(response, 403, 'AccessDenied');
  if (bucket === 'plain') return false;
  if (key === '' && request.method === 'GET' && url.searchParams.has('uploads')) return listUploads(uploads, url, response);
  if (id !== null && !existsSync(join(uploads, id))) return fail(response, 404, 'NoSuchUpload');
  if (id !== null && request.method === 'DELETE') {
    abortUpload(join(uploads, id), id, response);
    return true;
  }
  const conditional = request.headers['if-none-match'] === '*' && (request.method === 'PUT' || request.method === 'POST');
  if (conditional && bucket === 'unconditional') return fail(response, 501, 'NotImplemented');
  if (conditional && existsSync(join(directory, bucket, `${key}._S3rver_object`))) return fail(response, 412, 'PreconditionFailed');
  return false;
}

/** Requests of each upload that are under way: s3rver falls over when its files go while it writes. */
const underWay = new Map<string, number>();

function abortUpload(path: string, id: string, response: ServerResponse): void {
  if ((underWay.get(id) ?? 0) > 0) {
    setTimeout(() => abortUpload(path, id, response), 10);
    return;
  }
  rmSync(path, { recursive: true, force: true });
  response.writeHead(204).end();
}

function count(request: IncomingMessage, response: ServerResponse): void {
  const id = new URL(request.url ?? '/', 'http://localhost').searchParams.get('uploadId');
  if (id === null || request.method === 'DELETE') return;
  underWay.set(id, (underWay.get(id) ?? 0) + 1);
  response.on('close', () => underWay.set(id, (underWay.get(id) ?? 1) - 1));
}

function listUploads(uploads: string, url: URL, response: ServerResponse): boolean {
  const prefix = url.searchParams.get('prefix') ?? '';
  const ids = existsSync(uploads) ? readdirSync(uploads) : [];
  const found = ids
    .map((id) => ({ id, key: readFileSync(join(uploads, id, 'key'), 'utf8'), since: statSync(join(uploads, id)).birthtime }))
    .filter(({ key }) => key.startsWith(prefix))
    .map(
      ({ id, key, since }) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${since.toISOString()}</Initiated></Upload>`,
    );
  response.setHeader('content-type', 'application/xml');
  response.end(`<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${found.join('')}</ListMultipartUploadsResult>`);
  return true;
}

function fail(response: ServerResponse, status: number, code: string): true {
  response.writeHead(status, { 'content-type': 'application/xml', connection: 'close' });
  response.end(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
  return true;
}

await s3rver.configureBuckets();
createServer((request, response) => {
  count(request, response);
  if (!answer(request, response)) serve(request, response);
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
