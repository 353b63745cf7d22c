import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';

const FOLDER = join(import.meta.dirname, '../../docs/schemas');
let ajv: Ajv2020 | undefined;

/** Every schema of `docs/schemas`, strict: an undocumented field fails. */
function schemas(): Ajv2020 {
  if (ajv !== undefined) return ajv;
  ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: true, allowUnionTypes: true });
  ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  for (const name of readdirSync(FOLDER)) ajv.addSchema(JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as object);
  return ajv;
}

/** Names of the outputs that `docs/schemas` describes: `verify/v1`. */
export function documentedOutputs(): string[] {
  return readdirSync(FOLDER)
    .filter((name) => name !== 'common.v1.json')
    .map((name) => name.replace(/\.v(\d+)\.json$/, '/v$1'));
}

/**
 * What is wrong with a document by the schema it names itself; nothing where it names none of ours.
 *
 * @param document as `JSON.parse` gave it
 */
export function schemaErrors(document: unknown): string[] {
  const name = (document as { schema?: unknown } | null)?.schema;
  if (typeof name !== 'string' || !name.startsWith('etcdferry.')) return [];
  const file = `${name.slice('etcdferry.'.length).replace('/', '.')}.json`;
  const validate = schemas().getSchema(file);
  if (validate === undefined) return [`docs/schemas/${file} is missing: every --json output has a schema there`];
  if (validate(document)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `docs/schemas/${file}: ${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
