const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;
const LATEST = 2n ** 63n - 1n;

/**
 * Nanoseconds since the Unix epoch of a time as Go writes it (RFC 3339 with up to nine digits of a
 * second); undefined when it is none, or not within an int64.
 */
export function parseTime(text: string): bigint | undefined {
  const parts = RFC3339.exec(text);
  if (parts === null) return undefined;
  const seconds = Date.parse(`${parts[1]}${parts[3]}`);
  if (Number.isNaN(seconds)) return undefined;
  const time = BigInt(seconds) * 1_000_000n + BigInt((parts[2] ?? '').padEnd(9, '0'));
  return time > LATEST || time < -LATEST ? undefined : time;
}
