import { FerryError } from '../errors.js';
import { wrapInEnvelope } from './codec/envelope.js';
import { compactJson, type JsonNode, parseJsonTree } from './codec/json-tree.js';
import { bytesOf } from './codec/scalars.js';
import { MessageWriter } from './codec/write.js';
import type { MessagePlan } from './schema/plan.js';
import { GENERATIONS, kindOf } from './schema/schema.js';

export interface EncodeOptions {
  /** What to write: Kubernetes' protobuf (default), or JSON as `--storage-media-type=application/json` stores it. */
  readonly storage?: 'protobuf' | 'json';
  /** Write what this release (`1.24`) writes. Default: the newest that has all members given. */
  readonly release?: string;
  /** Try the oldest release that has all members first. Default false. */
  readonly oldestFirst?: boolean;
  /** Leave members out that no release has, instead of failing. Default false. */
  readonly dropUnknown?: boolean;
}

export interface EncodedValue {
  readonly bytes: Buffer;
  readonly apiVersion: string;
  readonly kind: string;
  /** Paths of members that were left out (`spec.replics`); only with `dropUnknown`. */
  readonly dropped: readonly string[];
}

type ObjectNode = JsonNode & { kind: 'object' };

/**
 * Makes stored bytes of an object's JSON. What `decodeStored` showed becomes the same bytes again,
 * given its `release`.
 *
 * @param json one object, as text or in UTF-8
 * @throws FerryError `usage` when it is no object, has no kind, or a member or value is wrong; `unknown-format` when its kind has no protobuf message
 */
export function encodeStored(json: string | Buffer, options: EncodeOptions = {}): EncodedValue {
  const text = json.toString();
  const root = parseJsonTree(text);
  if (root.kind !== 'object') throw new FerryError('usage', `expected an object, found ${root.kind}`);
  const [apiVersion, kind] = [textMember(root, 'apiVersion'), textMember(root, 'kind')];
  if ((apiVersion === '' || kind === '') && !isWatchEvent(root, apiVersion + kind))
    throw new FerryError('usage', 'the object has no apiVersion or no kind', { hint: 'Both are needed to know how it is stored.' });
  const found = kindOf(apiVersion, kind);
  if (options.storage === 'json') return { bytes: storedJson(text, root, options), apiVersion, kind, dropped: [] };
  const raw = root.members.get('@raw');
  if (raw !== undefined) return { bytes: envelop(root, bytesOf(raw)), apiVersion, kind, dropped: [] };
  if (found.union === undefined) {
    throw new FerryError('unknown-format', `${kind} of ${apiVersion} has no protobuf form: Kubernetes stores it as JSON`, {
      hint: 'Ask for JSON storage.',
    });
  }
  const { message, dropped } = writeMessage(text, root, options);
  return { bytes: envelop(root, message), apiVersion, kind, dropped };
}

interface Written {
  readonly message: Buffer;
  readonly plan: MessagePlan;
  readonly dropped: readonly string[];
  /** Number of fields written as zero that the release meant may not have had. */
  readonly doubts: number;
}

function writeMessage(text: string, root: ObjectNode, options: EncodeOptions): Written {
  const writer = new MessageWriter(text);
  let failure: unknown;
  let best: Written | undefined;
  let incomplete: Written | undefined;
  let alike = 0;
  for (const { plan, bit } of plansToTry(root, options)) {
    if ((alike & bit) !== 0) continue;
    if (best !== undefined && !LIKELY.has(bit)) break;
    try {
      const written = { message: writer.write(plan, root), plan, dropped: [...writer.dropped], doubts: writer.doubtful.size };
      if (written.dropped.length > 0) incomplete = written;
      else if (options.oldestFirst || written.doubts === 0) return written;
      else if (best === undefined || (bit !== 0 && written.doubts < best.doubts)) best = written;
      alike |= writer.alike;
    } catch (thrown) {
      // Another release may have another type there; what the newest says is for the user.
      failure ??= thrown;
    }
  }
  if (best !== undefined) return best;
  if (incomplete === undefined) throw failure;
  if (options.dropUnknown) return incomplete;
  throw new FerryError('usage', `no Kubernetes release has ${incomplete.dropped.slice(0, 5).join(', ')}`, {
    hint: 'Correct the name, or leave it out.',
  });
}

/**
 * The releases whose sources Debian has. JSON does not tell releases apart that differ only in zeros:
 * where one of these takes all members, those between them are not tried.
 */
const LIKELY: ReadonlySet<number> = new Set(['1.36', '1.32', '1.20'].map((name) => 1 << GENERATIONS.indexOf(name)));

/** Plans with their generations' bits, likely ones first. Last comes the union, with none. */
function plansToTry(root: ObjectNode, options: EncodeOptions): { plan: MessagePlan; bit: number }[] {
  const { plans, union } = kindOf(textMember(root, 'apiVersion'), textMember(root, 'kind'));
  const known = plans.flatMap((plan, generation) => (plan === undefined ? [] : [{ plan, bit: 1 << generation }]));
  if (options.release === undefined) {
    const likely = known.filter(({ bit }) => LIKELY.has(bit));
    const rest = known.filter(({ bit }) => !LIKELY.has(bit));
    return [...(options.oldestFirst ? known.reverse() : [...likely, ...rest]), { plan: union as MessagePlan, bit: 0 }];
  }
  const wanted = known.find(({ bit }) => bit === 1 << GENERATIONS.indexOf(options.release as string));
  if (wanted !== undefined) return [wanted];
  throw new FerryError('usage', `Kubernetes ${options.release} is not known, or does not have ${textMember(root, 'kind')}`, {
    hint: `Releases known: ${GENERATIONS.at(-1)} to ${GENERATIONS[0]}.`,
  });
}

function envelop(root: ObjectNode, raw: Buffer): Buffer {
  return wrapInEnvelope(
    {
      apiVersion: textMember(root, 'apiVersion'),
      kind: textMember(root, 'kind'),
      contentEncoding: textMember(root, '@contentEncoding'),
      contentType: textMember(root, '@contentType'),
    },
    raw,
  );
}

/** JSON as the API server stores it: what was given, on one line, and a line break last. Where the kind is known its members are proven. */
function storedJson(text: string, root: ObjectNode, options: EncodeOptions): Buffer {
  if (kindOf(textMember(root, 'apiVersion'), textMember(root, 'kind')).union !== undefined) writeMessage(text, root, options);
  return Buffer.concat([Buffer.from(compactJson(text.trim())), LINE_BREAK]);
}

const LINE_BREAK = Buffer.from('\n');

/** The one object without a name, in JSON as in its envelope. */
function isWatchEvent(root: ObjectNode, name: string): boolean {
  return name === '' && root.members.has('type') && root.members.has('object');
}

function textMember(root: ObjectNode, name: string): string {
  const node = root.members.get(name);
  return node?.kind === 'string' ? node.value : '';
}
