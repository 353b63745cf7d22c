/** How a bucket is reached; whatever is not here the AWS SDK finds by its own rules. */
export interface S3Settings {
  /** URL of a server that is not Amazon's: buckets are then in the path, not in the host name. */
  readonly endpoint?: string;
}
