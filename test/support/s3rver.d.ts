declare module 's3rver' {
  import type { RequestListener } from 'node:http';

  /** s3rver 3.7, as far as it is used here. */
  class S3rver {
    constructor(options: { directory: string; silent: boolean; address: string; port: number; configureBuckets: { name: string }[] });
    configureBuckets(): Promise<unknown>;
    callback(): RequestListener;
  }
  export = S3rver;
}
