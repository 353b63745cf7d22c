/** How a field's value is stored, and how it stands in JSON. Numbers, so that a switch on them is quick. */
export const FieldType = {
  string: 1,
  bool: 2,
  int32: 3,
  int64: 4,
  double: 5,
  /** base64 in JSON. */
  bytes: 6,
  message: 7,
  /** meta/v1.Time: seconds. */
  time: 8,
  /** meta/v1.MicroTime. */
  microTime: 9,
  /** meta/v1.Duration: nanoseconds, written as Go writes them (`1h0m0s`). */
  duration: 10,
  quantity: 11,
  intOrString: 12,
  /** RawExtension, FieldsV1, apiextensions' JSON: JSON text in a message of one bytes field. */
  raw: 13,
  /** A message of repeated strings that is a plain array in JSON (ExtraValue, Verbs). */
  strings: 14,
  /** JSONSchemaPropsOrBool, …OrArray, …OrStringArray. */
  schemaOrBool: 15,
  schemaOrArray: 16,
  schemaOrStrings: 17,
} as const;
export type FieldType = (typeof FieldType)[keyof typeof FieldType];

export type Cardinality = 'one' | 'list' | 'map';

/** One field of a message, ready to be read and written. */
export interface FieldPlan {
  /** Protobuf field number. */
  readonly number: number;
  readonly type: FieldType;
  readonly cardinality: Cardinality;
  /** Protobuf wire type of one element: 0 varint, 1 fixed64, 2 length-delimited. */
  readonly wire: 0 | 1 | 2;
  /** The member's name in JSON; empty when the message's members stand among the owner's. */
  readonly json: string;
  /** `"name":` in UTF-8. */
  readonly key: Uint8Array;
  /** True when Kubernetes always writes the field, zero or not: neither pointer, list, map nor bytes. */
  readonly always: boolean;
  readonly omitEmpty: boolean;
  /** Left out of JSON when its value is null (a zero Time). */
  readonly omitZero: boolean;
  /** Some other generation's message does not have the field. */
  readonly isYoung: boolean;
  /** The message of `message` and the schema types. */
  readonly message: MessagePlan | undefined;
}

/** Whether a field is one value that may not be there. */
export function isPointer({ cardinality, always }: FieldPlan): boolean {
  return cardinality === 'one' && !always;
}

/** One message of one generation. */
export interface MessagePlan {
  /** `core/v1.Pod`. */
  readonly name: string;
  /** True when its objects have kind and apiVersion of their own, which protobuf does not carry. */
  readonly isKind: boolean;
  /** Bit n: generation n declares the very same message; 0 in the union. */
  readonly generations: number;
  /** In the order of JSON members. */
  readonly fields: readonly FieldPlan[];
  /** By field number: index into `fields` plus 1; 0 for an unknown number. */
  readonly slots: Uint8Array;
  /** Indices into `fields` of those that Kubernetes always writes. */
  readonly always: readonly number[];
}

/** Field number under which a plan of the union keeps what it does not know (protobuf's largest). */
export const UNKNOWN_NUMBER: number = 2 ** 29 - 1;
/** The JSON member that holds it: the fields' bytes, tags included, in base64. */
export const UNKNOWN_MEMBER = '@unknown';
