import { expect } from 'chai';
import { EncodingInvalid } from '../../core/errors.ts';
import { packr } from '../../telemetry/batch.ts';
import {
  decodeEvent,
  encodeEvent,
  importEventId,
  liveEventId,
  type Overwritten,
  offsetOfEvent,
  type RegistryChanged,
} from '../../telemetry/event.ts';

const EVENT: Overwritten = {
  kind: 'overwritten',
  id: 'e:1:0:moisture',
  farm: 'north',
  sensor: 's1',
  metric: 'moisture',
  ts: 1_764_000_000_000.001,
  old: 30.5,
  new: -0.1,
  oldBatch: 'a',
  newBatch: 'b',
  at: 1_764_000_000_100,
  origin: 'live',
};

describe('an event', () => {
  it('comes back from its bytes as it was, with an old batch and without', () => {
    const { oldBatch, ...imported } = { ...EVENT, origin: 'import' as const };
    expect(oldBatch).to.equal('a');
    for (const event of [EVENT, imported]) expect(decodeEvent(encodeEvent(event))).to.deep.equal(event);
  });

  it('of the registry comes back as it was, and is refused where a cell is wrong', () => {
    const event: RegistryChanged = {
      kind: 'registry_changed',
      id: 'registry:sensor:north/s1:a:b:1',
      at: 1_764_000_000_100,
      who: 'ada',
      thing: 'sensor',
      thingId: 'north/s1',
      what: '{"name":[null,"Gate"]}',
    };
    expect(decodeEvent(encodeEvent(event))).to.deep.equal(event);
    const row: unknown[] = packr.unpack(encodeEvent(event));
    for (const place of row.keys()) {
      if (place < 2) continue;
      const bytes = packr.pack(row.map((cell, i) => (i === place ? [] : cell)));
      expect(() => decodeEvent(bytes)).to.throw(EncodingInvalid);
    }
  });

  it('of a newer version, or of a kind that is not known yet, is skipped', () => {
    expect(decodeEvent(packr.pack([2, 'overwritten', 'anything']))).to.equal(undefined);
    expect(decodeEvent(packr.pack([1, 'lost', 'e:1:0', {}]))).to.equal(undefined);
  });

  it('that is none is refused', () => {
    const row: unknown[] = packr.unpack(encodeEvent(EVENT));
    const wrong = [Buffer.from('no'), packr.pack(1), packr.pack([0, 'overwritten']), packr.pack([1, 7])];
    for (const place of row.keys()) {
      if (place > 1) wrong.push(packr.pack(row.map((cell, i) => (i === place ? [] : cell))));
    }
    for (const bytes of wrong) expect(() => decodeEvent(bytes)).to.throw(EncodingInvalid);
  });

  it('has an id that tells which entry of the live log it is about', () => {
    expect(offsetOfEvent(liveEventId('e:p#', 12, 3, 'rain'), 'e:p#')).to.equal(12);
    expect(offsetOfEvent(liveEventId('e:p#', 12, 3, 'rain'), 'e')).to.equal(undefined);
    expect(offsetOfEvent(importEventId('e', 3, 'rain'), 'e')).to.equal(undefined);
  });
});
