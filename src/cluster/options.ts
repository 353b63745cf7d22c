/** How to reach a live cluster. Secrets are already read from wherever they were kept. */
export interface ClusterOptions {
  /** `http://` or `https://` URLs, tried in order; all of one scheme, no credentials in them. */
  readonly endpoints: readonly string[];
  readonly tls?: TlsOptions;
  readonly user?: string;
  readonly password?: string;
  /** Longest time to wait for a connection, in milliseconds. */
  readonly dialTimeout: number;
  /** Longest time to wait for one answer, in milliseconds. */
  readonly commandTimeout: number;
  /** Use a member also that may be behind its cluster, or is corrupt, where no other can be reached. */
  readonly allowStale?: boolean;
}

export interface TlsOptions {
  /** PEM of the authorities to trust; the system's when left out. */
  readonly ca?: Buffer;
  /** PEM of the client's certificate, and of its key, for mTLS. */
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly insecureSkipVerify?: boolean;
}
