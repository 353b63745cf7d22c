import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Settings } from './s3-settings.js';

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
 */
export async function s3Client({ endpoint }: S3Settings): Promise<S3Client> {
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
  const client = new S3Client(config);
  try {
    await client.config.region();
    return client;
  } catch {
    client.destroy();
    return new S3Client({ ...config, region: FALLBACK_REGION });
  }
}
