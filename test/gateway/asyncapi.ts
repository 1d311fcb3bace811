import { Ajv, type ValidateFunction } from 'ajv';
import { parse } from 'yaml';
import { z } from 'zod';
import { projectFile } from '../unit/house-table.ts';

const described = z.looseObject({ examples: z.array(z.object({ payload: z.record(z.string(), z.unknown()) })) });
const document = z.looseObject({
  components: z.looseObject({ messages: z.record(z.string(), described) }),
});
export type AsyncApi = z.infer<typeof document>;

/** docs/asyncapi.yaml. Its schemas are of JSON Schema draft 7, as AsyncAPI 3 has it. */
export const asyncApi: AsyncApi = document.parse(parse(await projectFile('docs/asyncapi.yaml')));

const ajv = new Ajv({ strict: false });
ajv.addSchema(asyncApi, 'asyncapi');
const compiled = new Map<string, ValidateFunction>();

/** What docs/asyncapi.yaml has against a message, by its type; undefined when it is as described. */
export function complaint(message: { readonly type: string }): string | undefined {
  const { type } = message;
  if (!Object.hasOwn(asyncApi.components.messages, type)) return `there is no message "${type}"`;
  const validate = compiled.get(type) ?? ajv.compile({ $ref: `asyncapi#/components/messages/${type}/payload` });
  compiled.set(type, validate);
  return validate(message) ? undefined : ajv.errorsText(validate.errors);
}
