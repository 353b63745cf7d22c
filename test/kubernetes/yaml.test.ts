import { expect, test } from 'vitest';
import { parseEncryptionConfiguration } from '../../src/kubernetes/encryption/config.js';
import { readDocuments } from '../../src/kubernetes/yaml.js';

test('a message has the beginning of what is no YAML, and not all of it', () => {
  const junk = 'x'.repeat(5_000);
  for (const read of [() => readDocuments(`a: b\n"${junk}" "${junk}"`), () => parseEncryptionConfiguration(`kind: "${junk}"`)]) {
    expect(read).toThrow(expect.objectContaining({ code: 'usage', message: expect.stringMatching(/^.{20,400}$/) }));
  }
});
