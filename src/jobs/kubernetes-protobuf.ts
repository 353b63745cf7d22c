import { showKey } from '../convert/key-text.js';
import { toProtobufStorage } from '../kubernetes/to-protobuf.js';
import type { Source } from '../model/source.js';
import { replaceValues } from './replace-values.js';

/**
 * The same source with the JSON that Kubernetes 1.5 and older stored turned into the protobuf that an
 * API server of 1.6 or newer would have stored for the same API version. What stays JSON is noted.
 */
export function asProtobuf(source: Source): Source {
  return replaceValues(source, (key, value) => {
    const converted = toProtobufStorage(value);
    const example = showKey(key);
    switch (converted.outcome) {
      case 'converted':
        source.notes.add('kubernetes-protobuf', 'values turned from JSON into protobuf', { example });
        for (const member of converted.dropped) {
          source.notes.add('member-dropped', 'members that no protobuf message has, left out', {
            lossy: true,
            example: `${example}: ${member}`,
          });
        }
        return converted.value;
      case 'no-message':
        source.notes.add('kubernetes-json-kept', 'objects that stay JSON: their kind has no protobuf message', {
          example: `${example}: ${converted.kind}`,
        });
        return undefined;
      case 'not-convertible':
        source.notes.add('kubernetes-not-converted', 'objects that stay JSON: a member is not what its field takes', {
          example: `${example}: ${converted.reason}`,
        });
        return undefined;
      default:
        return undefined;
    }
  });
}
