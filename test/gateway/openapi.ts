import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';
import { z } from 'zod';
import { projectFile } from '../unit/house-table.ts';
import type { Answer } from './harness.ts';

const ref = z.object({ $ref: z.string() });
const response = z.object({ content: z.record(z.string(), z.unknown()).default({}) });
const operation = z.looseObject({ operationId: z.string(), responses: z.record(z.string(), z.unknown()) });
const methods = ['get', 'post', 'put', 'delete'] as const;
const pathItem = z.looseObject(Object.fromEntries(methods.map((method) => [method, operation.optional()])));
const document = z.looseObject({ paths: z.record(z.string(), pathItem) });
export type OpenApi = z.infer<typeof document>;

let loaded: Promise<{ api: OpenApi; ajv: Ajv2020 }> | undefined;

/** docs/openapi.yaml, and a validator that knows its schemas. */
export function openApi(): Promise<{ api: OpenApi; ajv: Ajv2020 }> {
  loaded ??= load();
  return loaded;
}

async function load() {
  const text = await projectFile('docs/openapi.yaml');
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  const plain: unknown = parse(text);
  const api = document.parse(plain);
  ajv.addSchema(api, 'openapi');
  return { api, ajv };
}

/** Every operation of the document, as `GET /api/me`. */
export function operationsOf({ paths }: OpenApi): string[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    methods.filter((method) => item[method] !== undefined).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

/** Throws unless the answer to `method path` is one that docs/openapi.yaml describes. What is no part of the interface, the app's files, passes. */
export async function checkAnswer(method: string, address: string, answer: Answer): Promise<void> {
  const { api } = await openApi();
  const path = address.split('?', 1)[0] ?? '';
  const found = Object.keys(api.paths).find((pattern) => matches(pattern, path));
  const type = String(answer.headers['content-type'] ?? '').split(';', 1)[0] ?? '';
  const what = `${method} ${path}: ${answer.status} ${type}`;
  const wanted = api.paths[found ?? '']?.[method === 'HEAD' ? 'get' : method.toLowerCase()];
  if (found === undefined || wanted === undefined) {
    if (type === 'application/problem+json') await validate('/components/schemas/Problem', answer, what);
    else if (found !== undefined || path.startsWith('/api')) throw new Error(`${what} is not in docs/openapi.yaml`);
    return;
  }
  const status = Object.hasOwn(wanted.responses, answer.status) ? String(answer.status) : 'default';
  if (status === 'default' && answer.status < 400) throw new Error(`${what}: its status is not in docs/openapi.yaml`);
  const place = await resolved(
    `/paths/${escaped(found)}/${method === 'HEAD' ? 'get' : method.toLowerCase()}/responses/${status}`,
  );
  const { content } = response.parse(await at(place));
  if (Object.keys(content).length === 0) {
    if (answer.text !== '') throw new Error(`${what}: it has a body`);
    return;
  }
  if (!Object.hasOwn(content, type)) throw new Error(`${what}: its type is not in docs/openapi.yaml`);
  if (method !== 'HEAD' && type.endsWith('json'))
    await validate(`${place}/content/${escaped(type)}/schema`, answer, what);
}

const compiled = new Map<string, ValidateFunction>();

async function validate(pointer: string, answer: Answer, what: string): Promise<void> {
  const { ajv } = await openApi();
  const known = compiled.get(pointer) ?? ajv.compile({ $ref: `openapi#${pointer}` });
  compiled.set(pointer, known);
  if (!known(JSON.parse(answer.text))) {
    throw new Error(`${what} is not as docs/openapi.yaml says: ${ajv.errorsText(known.errors)}: ${answer.text}`);
  }
}

/** Where a pointer leads to, through a `$ref`. */
async function resolved(pointer: string): Promise<string> {
  const here = ref.safeParse(await at(pointer));
  return here.success ? here.data.$ref.slice(1) : pointer;
}

async function at(pointer: string): Promise<unknown> {
  let here: unknown = (await openApi()).api;
  for (const part of pointer.slice(1).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    here = typeof here === 'object' && here !== null ? Reflect.get(here, key) : undefined;
  }
  return here;
}

function escaped(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const given = path.split('/');
  return wanted.length === given.length && wanted.every((part, i) => part.startsWith('{') || part === given[i]);
}
