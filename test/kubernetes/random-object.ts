import fc from 'fast-check';
import { type FieldPlan, FieldType, type MessagePlan } from '../../src/kubernetes/schema/plan.js';
import { GENERATIONS, kindOf, knownKinds } from '../../src/kubernetes/schema/schema.js';

/** Makes numbers out of one seed, so that a failing object can be made again. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** A whole number from 0 to `below` - 1. */
  roll(below: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) | 0;
    return (this.#state >>> 8) % below;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.roll(list.length)] as T;
  }
}

const STRINGS = ['', 'a', 'ünïcödé ☃ 🚢', '<&>"\\\n\t\u0001\u2028', 'x'.repeat(200), 'yes', '0777'];
const INT64 = ['0', '1', '-1', '9223372036854775807', '-9223372036854775808', '9007199254740993'];
const QUANTITIES = ['0', '1', '100m', '1Gi', '1500m', '2Ti', '-3', '12e6', '1n'];
const TIMES = ['2026-11-22T21:59:27Z', '1970-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '1601-02-03T04:05:06Z'];
const DURATIONS = ['0s', '1h0m0s', '1.5s', '-2m0.000000001s', '100ms', '15µs', '7ns'];
const RAW = ['{}', '{"b":1,"a":[null,true,"x<y"],"10":{"2":1.50}}', '[1,2]', '"text"', 'false'];

/** An object of any kind of any release, its fields filled at random: JSON as Kubernetes writes it, and the release. */
export const randomObject: fc.Arbitrary<{ json: string; release: string }> = fc.integer().map((seed) => {
  const dice = new Dice(seed);
  const { apiVersion, kind, generations } = dice.pick(KINDS);
  const generation = dice.pick(generations);
  const plan = kindOf(apiVersion, kind).plans[generation] as MessagePlan;
  const members = membersOf(plan, dice, 0);
  const names = kind === 'WatchEvent' ? [] : [`"kind":${JSON.stringify(kind)}`, `"apiVersion":${JSON.stringify(apiVersion)}`];
  return { json: `{${[...names, ...members].join(',')}}`, release: GENERATIONS[generation] as string };
});

const KINDS = knownKinds().filter(({ kind }) => kind !== 'WatchEvent');

function membersOf(plan: MessagePlan, dice: Dice, depth: number): string[] {
  return plan.fields.flatMap((field) => {
    if (field.json === '') return membersOf(field.message as MessagePlan, dice, depth);
    if (depth > 6 || dice.roll(depth > 2 ? 5 : 2) > 0) return [];
    return [`${JSON.stringify(field.json)}:${valueOfField(field, dice, depth)}`];
  });
}

function valueOfField(field: FieldPlan, dice: Dice, depth: number): string {
  const count = 1 + dice.roll(3);
  if (field.cardinality === 'list') return `[${Array.from({ length: count }, () => value(field, dice, depth)).join(',')}]`;
  if (field.cardinality === 'one') return value(field, dice, depth);
  return `{${Array.from({ length: count }, (_, i) => `"k${i}":${value(field, dice, depth)}`).join(',')}}`;
}

function value(field: FieldPlan, dice: Dice, depth: number): string {
  const object = (): string => `{${membersOf(field.message as MessagePlan, dice, depth + 1).join(',')}}`;
  switch (field.type) {
    case FieldType.string:
      return JSON.stringify(dice.pick(STRINGS));
    case FieldType.bool:
      return String(dice.roll(2) === 1);
    case FieldType.int32:
      return String(dice.pick([0, 1, -1, 2_147_483_647, -2_147_483_648]));
    case FieldType.int64:
      return dice.pick(INT64);
    case FieldType.double:
      return dice.pick(['0.5', '-1e+21', '3', '1e-7', '123456789.125']);
    case FieldType.bytes:
      return JSON.stringify(dice.pick(['AA==', '/+8=', 'eHl6']));
    case FieldType.message:
      return object();
    case FieldType.time:
      return JSON.stringify(dice.pick(TIMES));
    case FieldType.microTime:
      return JSON.stringify(dice.pick(TIMES).replace('Z', dice.pick(['.000000Z', '.123456Z'])));
    case FieldType.duration:
      return JSON.stringify(dice.pick(DURATIONS));
    case FieldType.quantity:
      return JSON.stringify(dice.pick(QUANTITIES));
    case FieldType.intOrString:
      return dice.pick(['8080', '-1', '"http"', '"50%"', '0']);
    case FieldType.raw:
      return dice.pick(RAW);
    case FieldType.strings:
      return '["a",""]';
    case FieldType.schemaOrBool:
      return dice.pick([object, () => 'true', () => 'false'])();
    case FieldType.schemaOrArray:
      return dice.pick([object, () => `[${object()},${object()}]`])();
    case FieldType.schemaOrStrings:
      return dice.pick([object, () => '["p","q"]'])();
    default:
      throw new Error('a type without a random value');
  }
}
