const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const BINARY: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
const QUANTITY = /^([+-]?)(\d*)(?:\.(\d*))?(?:([numkMGTPE]?)|([KMGTPE]i)|[eE]([+-]?\d+))$/;
const LARGEST = 2n ** 63n - 1n;

/**
 * A resource.Quantity as Kubernetes writes it after reading it (apimachinery pkg/api/resource/quantity.go):
 * `1000m` becomes `1`, `0.5Gi` becomes `512Mi`, `1.50` stays.
 *
 * @returns undefined when it is no quantity
 */
export function canonicalQuantity(text: string): string | undefined {
  const match = text.length > 200 ? null : QUANTITY.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = '', decimalSuffix, binarySuffix, exponent] = match;
  if (whole === '' && fraction === '') return undefined;
  if (text === '0') return text;
  const integer = whole.replace(/^0+/, '') || '0';
  const digits = integer + fraction;
  if (binarySuffix !== undefined) return binary(text, sign === '-', integer, fraction, BINARY[binarySuffix] as number);
  const power = exponent === undefined ? (DECIMAL[decimalSuffix ?? ''] as number) : Number(exponent);
  if (Math.abs(power) > 1000) return undefined;
  const scale = power - fraction.length;
  if (reusable(digits, scale)) return text;
  return decimal(sign === '-', ...roundToNano(BigInt(digits), scale), exponent !== undefined);
}

/** Kubernetes keeps the text of a number it need not touch, even where another would be shorter. */
function reusable(digits: string, scale: number): boolean {
  return digits.length <= 18 && scale >= -9 && scale % 3 === 0 && !digits.endsWith('000') && digits[0] !== '0';
}

/** Rounds away from zero what is smaller than a billionth. */
function roundToNano(value: bigint, scale: number): [value: bigint, scale: number] {
  if (scale >= -9) return [value, scale];
  const unit = 10n ** BigInt(-9 - scale);
  return [(value + unit - 1n) / unit, -9];
}

function decimal(negative: boolean, value: bigint, scale: number, exponential: boolean): string {
  if (value === 0n) return '0';
  let [mantissa, power] = [value, scale];
  while (mantissa % 10n === 0n) [mantissa, power] = [mantissa / 10n, power + 1];
  while (power % 3 !== 0) [mantissa, power] = [mantissa * 10n, power - 1];
  const suffix = Object.keys(DECIMAL).find((name) => DECIMAL[name] === power);
  const tail = exponential || suffix === undefined ? (power === 0 ? '' : `e${power}`) : suffix;
  return `${negative ? '-' : ''}${mantissa}${tail}`;
}

function binary(text: string, negative: boolean, integer: string, fraction: string, power: number): string {
  const value = BigInt(integer);
  if (
    fraction === '' &&
    value * 2n ** BigInt(power) <= LARGEST &&
    (value & 7n) !== 0n &&
    integer.length <= 15 - Math.trunc(power * 0.3) - 1
  )
    return text;
  const [unscaled, scale] = roundToNano(BigInt(integer + fraction) * 2n ** BigInt(power), -fraction.length);
  const unit = 10n ** BigInt(-scale);
  const capped = unscaled > LARGEST * unit ? LARGEST * unit : unscaled;
  // Small ones and such as are not whole are written as decimals, so as not to be rounded.
  if (capped < 1024n * unit || capped % unit !== 0n) return decimal(negative, capped, scale, false);
  let mantissa = capped / unit;
  let rest = 0;
  while (mantissa % 1024n === 0n && rest < 60) [mantissa, rest] = [mantissa / 1024n, rest + 10];
  const suffix = Object.keys(BINARY).find((name) => BINARY[name] === rest) ?? '';
  return `${negative ? '-' : ''}${mantissa}${suffix}`;
}
