import { expect } from 'chai';
import type { Publish } from '../../telemetry/batch.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { CODEC_LIMITS } from '../../workers/codecs/codec.ts';
import { RegistryCodecs } from '../../workers/codecs/registry-codecs.ts';
import { Sandbox } from '../../workers/codecs/sandbox.ts';
import { createValidate } from '../../workers/validate.ts';

const RECEIVED = Date.UTC(2026, 4, 1, 12);
const REGISTRY = `
farms: [{ id: north, name: North, timezone: UTC }]
mappings:
  - { id: raw, farm: north, topic: "logger/{sensor}/raw", codec: logger.js }
  - { id: old, farm: north, topic: "old/{sensor}", codec: old.js }
codecs:
  - id: logger.js
    text: |
      function decode({ topic, bytes, received }) {
        if (bytes.length === 0 || bytes[0] === 255) throw new Error(topic);
        return [{ ts: received.getTime() - 1000, values: { ec: bytes[0] / 10 } }, { level: topic.length }];
      }
  - { id: old.js, text: "function decodeUplink({ bytes }) { return { data: { ec: bytes[0] } }; }" }
`;

describe('a codec that a mapping names', () => {
  const registry = parseRegistry(REGISTRY);
  const publish = (topic: string, byte: number): Publish => ({
    ...{ farm: 'north', field: 'f', sensor: 'n7', topic, payload: Uint8Array.of(byte), received: RECEIVED },
    via: { kind: 'source', id: 'old' },
  });

  it('is given topic, bytes and receipt, and gives values with or without a time; a LoRaWAN one does too', async () => {
    const sandbox = await Sandbox.open(CODEC_LIMITS);
    const missing = { decode: () => ({ why: 'there is none' }) };
    const codecs = new RegistryCodecs(() => registry.codecs, sandbox, missing);
    const validate = createValidate({ registry: { current: () => registry }, codecs });
    const publishes = [publish('logger/n7/raw', 12), publish('old/n7', 3), publish('logger/n7/raw', 255)];
    const { readings, dead } = validate({ id: 'b', publishes }, RECEIVED);
    expect(readings.map(({ sensor, ts, values }) => [sensor, ts - RECEIVED, values])).to.deep.equal([
      ['n7', -1_000, { ec: 1.2 }],
      ['n7', 0, { level: 13 }],
      ['n7', 0, { ec: 3 }],
    ]);
    expect(dead.map(({ reason }) => reason)).to.deep.equal(['codec_failed']);
    expect(dead[0]?.explanation).to.include('logger/n7/raw');
  });

  it('is left to the slow queue by who runs none', () => {
    const validate = createValidate({ registry: { current: () => registry } });
    expect(validate({ id: 'b', publishes: [publish('logger/n7/raw', 12)] }, RECEIVED).apart.length).to.equal(1);
  });
});
