import { expect } from 'chai';
import { encodeBatch, encodeDead, encodeLive, type Publish } from '../../telemetry/batch.ts';
import { encodeCommandEntry } from '../../telemetry/command.ts';
import { encodeEvent } from '../../telemetry/event.ts';
import { sensorsIn } from '../../telemetry/salvage.ts';

const publish = (sensor: string): Publish => ({
  farm: 'north',
  field: 'orchard',
  sensor,
  topic: `farms/north/sensors/${sensor}/telemetry`,
  payload: Buffer.from('{"soil_moisture": 31.2}'),
  received: 1_760_000_000_000,
});
const reading = (sensor: string) => ({
  farm: 'north',
  sensor,
  ts: 1.76e12,
  received: 1.76e12,
  values: { battery: 3.4 },
});
const command = {
  id: 'c1',
  farm: 'north',
  sensor: 'valve',
  payload: Buffer.from('{}'),
  at: 1,
  expires: 2,
  by: 'anna',
};
const event = {
  kind: 'overwritten',
  id: 'e:1:0:m',
  farm: 'north',
  sensor: 'p1',
  metric: 'm',
  ts: 1,
  old: 1,
  new: 2,
  newBatch: 'b',
  at: 3,
  origin: 'live',
} as const;
const namesIn = (bytes: Uint8Array) => sensorsIn(bytes, 100).map(({ farm, sensor }) => `${farm}/${sensor}`);

describe('sensors in damaged bytes', () => {
  it('are found in each kind of message and entry, whatever else of it is damaged', () => {
    const of: readonly (readonly [bytes: Uint8Array, names: readonly string[]])[] = [
      [encodeBatch({ id: 'b', publishes: [publish('p1'), publish('p2')] }), ['north/p1', 'north/p2']],
      [encodeLive({ id: 'b', readings: [reading('p1'), reading('p2')] }), ['north/p1', 'north/p2']],
      [encodeDead({ publish: publish('p1'), reason: 'bad_json', explanation: '', at: 1 }), ['north/p1']],
      [encodeCommandEntry({ kind: 'queued', command }), ['north/valve']],
      [encodeCommandEntry({ kind: 'delivered', id: 'c1', farm: 'north', sensor: 'valve', at: 3 }), ['north/valve']],
      [encodeEvent(event), ['north/p1']],
    ];
    for (const [whole, names] of of) {
      expect(namesIn(whole)).to.deep.equal(names);
      const cut = Buffer.concat([Buffer.alloc(7, 0xff), whole.subarray(0, whole.length - 1), Buffer.alloc(5)]);
      expect(namesIn(cut)).to.deep.equal(names);
    }
  });

  it('are those that are left when one name is damaged', () => {
    const bytes = Buffer.from(encodeBatch({ id: 'b', publishes: [publish('p1'), publish('p2')] }));
    bytes[bytes.indexOf('orchard') - 1] = 0x00;
    expect(namesIn(bytes)).to.deep.equal(['north/p2']);
  });

  it('are at most as many as are asked for, and none in bytes that are no names', () => {
    const bytes = encodeBatch({ id: 'b', publishes: [publish('p1'), publish('p2'), publish('p3')] });
    expect(sensorsIn(bytes, 2)).to.have.length(2);
    expect(namesIn(Buffer.alloc(10_000, 0x97))).to.deep.equal([]);
    expect(namesIn(Buffer.alloc(10_000, 0xa1))).to.deep.equal([]);
  });
});
