import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { unlessAborted } from '../model/run.js';
import { boundAnswers, type RequestHandler } from './s3-answers.js';
import type { S3Settings } from './s3-settings.js';
import { StopSignal } from './stop-signal.js';

/** Where there is none configured: what S3's look-alikes take, and Amazon's own first. */
const FALLBACK_REGION = 'us-east-1';
/** Milliseconds. */
const CONNECTION_TIMEOUT = 10_000;
/** The longest silence on a connection, in milliseconds. */
const SOCKET_TIMEOUT = 60_000;
const ATTEMPTS = 4;

/**
 * A client that finds credentials and region where the AWS SDK looks for them. With an endpoint of its own,
 * buckets are in the path, and checksum trailers are left away: since 3.729 the SDK sends them by default,
 * and many look-alikes refuse them or store them as data (SDK guide, "Data integrity protection"). What is
 * stored is read back and compared anyway.
 *
 * @param signal ends every request that is under way; those that begin later are for clearing up, and have two and a half
 */
export async function s3Client({ endpoint }: S3Settings, signal?: AbortSignal): Promise<S3Client> {
  const config: S3ClientConfig = {
    maxAttempts: ATTEMPTS,
    followRegionRedirects: true,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT,
      socketTimeout: SOCKET_TIMEOUT,
      // Said outright: else NODE_TLS_REJECT_UNAUTHORIZED switches the check of the certificate off.
      httpsAgent: { rejectUnauthorized: true },
    },
    ...(endpoint === undefined
      ? {}
      : { endpoint, forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED' }),
  };
  return stoppable(await clientOf(config), signal);
}

async function clientOf(config: S3ClientConfig): Promise<S3Client> {
  const client = new S3Client(config);
  try {
    await client.config.region();
    return client;
  } catch {
    client.destroy();
    return new S3Client({ ...config, region: FALLBACK_REGION });
  }
}

/** The same client, but what it waits for ends with the signal: credentials, connections, answers, pauses between tries. */
function stoppable(client: S3Client, signal: AbortSignal | undefined): S3Client {
  const stop = new StopSignal(signal);
  boundAnswers(client.config.requestHandler as unknown as RequestHandler, () => stop.now);
  const send = client.send.bind(client) as (command: unknown, options: object) => Promise<unknown>;
  const stopped = async (command: unknown, options: { readonly abortSignal?: AbortSignal } = {}): Promise<unknown> => {
    const { now } = stop;
    const signals = [now, options.abortSignal].filter((one) => one !== undefined);
    const [first] = signals;
    if (first === undefined) return send(command, options);
    const abortSignal = signals.length === 1 ? first : AbortSignal.any(signals);
    return unlessAborted(send(command, { ...options, abortSignal }), now);
  };
  client.send = stopped as unknown as S3Client['send'];
  return client;
}
