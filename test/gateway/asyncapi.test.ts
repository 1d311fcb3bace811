import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { expect } from 'chai';
import { parseMessage } from '../../dashboard-gateway/live/sockets/protocol.ts';
import { asyncApi, complaint } from './asyncapi.ts';

// What the gateway really says is held against it in every test of the live part: see LiveClient in harness.ts.
describe('docs/asyncapi.yaml', () => {
  it('is an AsyncAPI 3 document', () => {
    const schema: object = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0-without-$id.json');
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats.default(ajv);
    const validate = ajv.compile(schema);
    expect(validate(asyncApi), ajv.errorsText(validate.errors)).to.equal(true);
  });

  it('gives examples that are as it says, and those of the client are understood', () => {
    for (const [type, { examples }] of Object.entries(asyncApi.components.messages)) {
      expect(examples, type).to.not.have.length(0);
      for (const { payload } of examples) {
        expect(payload.type).to.equal(type);
        expect(complaint({ ...payload, type }), type).to.equal(undefined);
        const understood = 'message' in parseMessage(JSON.stringify(payload));
        expect(understood, type).to.equal(type === 'subscribe' || type === 'unsubscribe');
      }
    }
  });

  it('does not take what is another way', () => {
    for (const wrong of [
      { type: 'tick', farm: 'north' },
      { type: 'tick', farm: 'north', seq: 1, more: true },
      { type: 'readings', farm: 'north', field: 'f1', rows: [['s1', 'm', 1]] },
      { type: 'readings', farm: 'north', field: 'f1', rows: [['s1', 'm', 1, 2, 3, 4, 5, 1]] },
      { type: 'error', id: 1, code: 'strange', message: '' },
      { type: 'dance' },
    ]) {
      expect(complaint(wrong), JSON.stringify(wrong)).to.be.a('string');
    }
  });
});
