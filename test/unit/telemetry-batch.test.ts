import { expect } from 'chai';
import { Packr } from 'msgpackr';
import { EncodingInvalid, EncodingNewer, LoamError } from '../../core/errors.ts';
import { placeId, placeOf } from '../../telemetry/account/batch-place.ts';
import { BatchRun } from '../../telemetry/account/batch-run.ts';
import type { AccountNote } from '../../telemetry/account/notes.ts';
import {
  type Batch,
  batchId,
  changedBy,
  type DeadLetter,
  decodeBatch,
  decodeDead,
  decodeLive,
  encodeBatch,
  encodeDead,
  encodeLive,
  type LiveEntry,
  type Publish,
  withAccount,
} from '../../telemetry/batch.ts';
import { instant } from '../../telemetry/instant.ts';

const { pack, unpack } = new Packr({ useRecords: false });
const received = 1_764_000_000_500;

const publish: Publish = {
  farm: 'north',
  field: 'f1',
  sensor: 's1',
  topic: 'farms/north/sensors/s1/telemetry',
  payload: new TextEncoder().encode('{"soil_moisture": 31.2}'),
  received,
};
const binary: Publish = { ...publish, sensor: 's2', payload: Uint8Array.from({ length: 256 }, (_, i) => i) };
const empty: Publish = { ...publish, field: '', payload: new Uint8Array() };
const row = ['north', 'f1', 's1', 'farms/north/sensors/s1/telemetry', publish.payload, received];

const batch: Batch = { id: 'b1', publishes: [publish, binary, empty] };
const live: LiveEntry = {
  id: 'b1',
  readings: [
    {
      farm: 'north',
      sensor: 's1',
      ts: received - 500,
      received,
      values: { soil_moisture: 31.2, open: 1, deep: -1e-9 },
    },
    { farm: 'north', sensor: 's2', ts: 946_684_800_000, received, values: { constructor: Number.MAX_VALUE } },
    { farm: 'north', sensor: 's3', ts: received, received, values: { ec: 1 }, deviceTs: received + 3_600_000 },
    { farm: 'north', sensor: 's3', ts: received - 1, received, values: { ec: 1 }, backfill: true },
    { farm: 'north', sensor: 's3', ts: received - 2, received, values: { ec: 1 }, deviceTs: 0, backfill: true },
  ],
};
const dead: DeadLetter = { publish: binary, reason: 'not_utf8', explanation: 'über', at: received + 1 };

/** The payloads come back as views of another class; only their bytes matter. */
const plain = (p: Publish) => ({ ...p, payload: [...p.payload] });

describe('batch encoding', () => {
  it('gives back every publish of a batch, whatever its bytes', () => {
    const back = decodeBatch(encodeBatch(batch));
    expect(back.id).to.equal('b1');
    expect(back.publishes.map(plain)).to.deep.equal(batch.publishes.map(plain));
  });

  it('reads live entries that were written before readings had a deviceTs', () => {
    const old = pack([1, 'b0', [['north', 's1', received, received, { ec: 1 }]]]);
    expect(decodeLive(old).readings).to.deep.equal([
      { farm: 'north', sensor: 's1', ts: received, received, values: { ec: 1 } },
    ]);
  });

  it('gives back instants, and the whole milliseconds that hold what an import changed', () => {
    const of = (ts: number) => ({ farm: 'north', sensor: 's1', ts, received: ts, values: { ec: 1 } });
    const readings = [of(received + 0.999), of(received - 7 + 0.001)];
    expect(decodeLive(encodeLive({ id: 'b', readings })).readings).to.deep.equal(readings);
    const changed = [{ farm: 'north', sensor: 's1', from: received - 7, to: received + 1 }];
    expect(changedBy(readings)).to.deep.equal(changed);
    expect(changedBy([...readings].reverse())).to.deep.equal(changed);
  });

  it('gives back a live entry', () => {
    expect(decodeLive(encodeLive(live))).to.deep.equal(live);
  });

  it('gives back a dead letter, and who wrote it', () => {
    const clock = { aheadMs: 10_920_000, correctedMs: -3_600_000 };
    const brought = { ...dead, publish: { ...binary, via: { kind: 'bridge', id: 'b:1' } } } as const;
    for (const letter of [dead, { ...dead, writer: 'worker/1' }, { ...dead, clock }, { ...brought, clock }, brought]) {
      const back = decodeDead(encodeDead(letter));
      expect({ ...back, publish: plain(back.publish) }).to.deep.equal({ ...letter, publish: plain(letter.publish) });
    }
  });

  it('gives back empty lists', () => {
    expect(decodeBatch(encodeBatch({ id: 'b', publishes: [] }))).to.deep.equal({ id: 'b', publishes: [] });
    expect(decodeLive(encodeLive({ id: 'b', readings: [] }))).to.deep.equal({ id: 'b', readings: [] });
  });

  it('gives back a batch of a thousand publishes from a view into a larger buffer', () => {
    const publishes = Array.from({ length: 1_000 }, (_, i) => ({ ...publish, received: received + i }));
    const bytes = encodeBatch({ id: 'b', publishes });
    const around = new Uint8Array(bytes.length + 20);
    around.set(bytes, 10);
    const back = decodeBatch(around.subarray(10, -10));
    expect(back.publishes.map((p) => p.received)).to.deep.equal(publishes.map((p) => p.received));
    expect(back.publishes.map(plain)[999]).to.deep.equal(plain({ ...publish, received: received + 999 }));
  });

  it('is not disturbed by what is encoded after it', () => {
    const first = encodeBatch(batch);
    const copy = Uint8Array.from(first);
    for (let i = 0; i < 2_000; i++) encodeBatch({ id: `b${i}`, publishes: [binary] });
    expect([...first]).to.deep.equal([...copy]);
  });

  it('makes every batch id a new one', () => {
    expect(new Set(Array.from({ length: 1_000 }, batchId)).size).to.equal(1_000);
  });
});

describe('batch decoding', () => {
  const decoders = { decodeBatch, decodeLive, decodeDead };
  const garbage: Record<string, Uint8Array> = {
    'no bytes': new Uint8Array(),
    'a byte that MessagePack never uses': Uint8Array.of(0xc1),
    text: new TextEncoder().encode('{"id": "b1"}'),
    'a number': pack(1),
    null: pack(null),
    'an empty list': pack([]),
    'a map': pack({ id: 'b1', publishes: [] }),
    'a list that ends too early': Uint8Array.of(0x93, 1),
    'a length of 4 GB': Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    'a version that no later one will have': pack([99, 'b1', []]),
    'no version': pack(['b1', []]),
  };
  for (const [name, decode] of Object.entries(decoders)) {
    for (const [what, bytes] of Object.entries(garbage)) {
      it(`${name} refuses ${what}`, () => {
        expect(() => decode(bytes)).to.throw(EncodingInvalid);
      });
    }
  }

  it('tells a batch of a newer version from one that nobody can read', () => {
    const [, ...rest] = unpack(encodeBatch(batch));
    expect(() => decodeBatch(pack([4, ...rest, 'and more']))).to.throw(EncodingNewer);
    expect(() => decodeLive(pack([3, 'b1', []]))).to.throw(EncodingInvalid);
    expect(() => decodeDead(pack([3, 'b1', []]))).to.throw(EncodingInvalid);
  });

  it('says the place of a batch in its first bytes, and an id only where it is another one', () => {
    for (const number of [1, 127, 128, 255, 256, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 40]) {
      const place = { run: new BatchRun().id, number, confirmed: number - 1 };
      const bytes = encodeBatch({ id: placeId(place), publishes: [publish], place });
      expect(placeOf(bytes)).to.deep.equal(place);
      expect(placeOf(Uint8Array.from([bytes[0] ?? 0, 4, ...bytes.subarray(2)])), 'a newer version').to.deep.equal(
        place,
      );
      expect(decodeBatch(bytes)).to.deep.include({ id: `${place.run}:${number}`, place });
      expect(decodeBatch(encodeBatch({ id: 'own', publishes: [], place, origin: 'replay' }))).to.deep.equal({
        id: 'own',
        publishes: [],
        place,
        origin: 'replay',
      });
      for (let end = 0; end < 18; end++) expect(placeOf(bytes.subarray(0, end)), `cut at ${end}`).to.equal(undefined);
    }
    expect(placeOf(encodeBatch(batch))).to.equal(undefined);
    expect(placeOf(pack([2, 'run:1', []]))).to.equal(undefined);
    expect(() => decodeBatch(pack([3, null, null, []]))).to.throw(EncodingInvalid);
  });

  it('puts notes into a live entry without unpacking it', () => {
    const notes: AccountNote[] = [
      { is: 'done', worker: 'w', run: 'r', done: [{ from: 1, to: 4 }], confirmed: 3 },
      { is: 'held', worker: 'w', held: [{ run: 'r', numbers: [{ from: 5, to: 5 }] }], left: false },
    ];
    for (const entry of [live, { ...live, changed: changedBy(live.readings) }]) {
      const noted = { ...entry, account: notes };
      expect(decodeLive(withAccount(encodeLive(entry), notes))).to.deep.equal(noted);
      expect(decodeLive(encodeLive(noted))).to.deep.equal(noted);
    }
    const [, , , , ...rest] = unpack(encodeLive({ ...live, account: notes }));
    const ofNewer = pack([1, 'b', [], null, [...rest[0], { is: 'of a newer version', more: 1 }]]);
    expect(decodeLive(ofNewer).account).to.deep.equal(notes);
    expect(() => decodeLive(pack([1, 'b', [], null, [{ is: 'done', worker: 'w' }]]))).to.throw(EncodingInvalid);
  });

  it('gives back who handed a publish over, and refuses it from one that is none of these', () => {
    for (const via of [
      { kind: 'bridge', id: 'lora' },
      { kind: 'source', id: 'a:b' },
    ] as const) {
      const [back] = decodeBatch(encodeBatch({ id: 'b1', publishes: [{ ...publish, via }] })).publishes;
      expect(back?.via).to.deep.equal(via);
    }
    for (const via of ['', 'bridge', 'bridge:', 'user:ada', 7, null]) {
      expect(() => decodeBatch(pack([3, null, 'b1', [[...row, 0, via]]])), String(via)).to.throw(EncodingInvalid);
    }
    // Nor is it in messages of a version that did not have it.
    expect(() => decodeBatch(pack([2, 'b1', [[...row, 0, 'bridge:b']]]))).to.throw(EncodingInvalid);
    expect(() => decodeDead(pack([2, [...row, 0, 'bridge:b'], 'not_utf8', '', received]))).to.throw(EncodingInvalid);
  });

  it('reads dead letters of version 2, which said nothing of bridges and clocks', () => {
    const letter = decodeDead(pack([2, [...row, 7], 'future_time', 'late', received + 1, 'worker/1']));
    expect(letter).to.include({ reason: 'future_time', writer: 'worker/1' });
    expect(letter.publish.received).to.equal(instant(received, 7));
  });

  it('reads batches of version 2, which had no place', () => {
    const row = ['north', 'f1', 's1', 'topic', publish.payload, received, 7];
    expect(decodeBatch(pack([2, 'b1', [row], 'import']))).to.deep.include({ id: 'b1', origin: 'import' });
  });

  it('reads batches and dead letters of version 1, whose receipts had no count', () => {
    const row = ['north', 'f1', 's1', 'topic', publish.payload, received];
    const [back] = decodeBatch(pack([1, 'b1', [row], 'replay'])).publishes;
    expect(back && plain(back)).to.deep.equal(plain({ ...publish, field: 'f1', topic: 'topic', received }));
    expect(decodeDead(pack([1, row, 'not_utf8', 'über', received + 1])).publish.received).to.equal(received);
  });

  it('keeps the count of a receipt, and its millisecond whole on the wire', () => {
    const counted = { ...publish, received: instant(received, 7) };
    const bytes = encodeBatch({ id: 'b1', publishes: [counted] });
    expect(decodeBatch(bytes).publishes[0]?.received).to.equal(instant(received, 7));
    expect(unpack(bytes)[3][0].slice(5)).to.deep.equal([received, 7]);
    for (const sub of [-1, 1000, 1.5, '1', null]) {
      const row = ['north', 'f1', 's1', 'topic', publish.payload, received, sub];
      expect(() => decodeBatch(pack([2, 'b1', [row]])), String(sub)).to.throw(EncodingInvalid);
    }
  });

  it('refuses a message that is cut at any place, or has more after its end', () => {
    const bytes = encodeBatch({ id: 'b1', publishes: [publish, binary] });
    for (let end = 0; end < bytes.length; end++) {
      expect(() => decodeBatch(bytes.subarray(0, end)), `cut at ${end}`).to.throw(EncodingInvalid);
    }
    expect(() => decodeBatch(Uint8Array.from([...bytes, 0]))).to.throw(EncodingInvalid);
  });

  it('refuses a batch whose rows are not publishes', () => {
    for (const wrong of [
      ['north', 'f1', 's1', 'topic', 'text', received],
      ['north', 'f1', 's1', 'topic', publish.payload],
      ['north', 'f1', 's1', 'topic', publish.payload, received, 0],
      ['north', 'f1', 's1', 'topic', publish.payload, String(received)],
      ['north', 'f1', 1, 'topic', publish.payload, received],
      ['north', null, 's1', 'topic', publish.payload, received],
      ['x'.repeat(1025), 'f1', 's1', 'topic', publish.payload, received],
      ['north', 'f1', 's1', 'topic', publish.payload, Number.NaN],
      { farm: 'north' },
      'row',
    ]) {
      expect(() => decodeBatch(pack([1, 'b1', [row, wrong]])), JSON.stringify(wrong)).to.throw(EncodingInvalid);
    }
  });

  it('refuses readings whose values are not numbers', () => {
    for (const values of [{ ec: '1' }, { ec: null }, { ec: Number.NaN }, [1], 'x']) {
      expect(() => decodeLive(pack([1, 'b1', [['north', 's1', received, received, values]]]))).to.throw(
        EncodingInvalid,
      );
    }
  });

  it('refuses one kind of message as another', () => {
    expect(() => decodeBatch(encodeLive(live))).to.throw(EncodingInvalid);
    expect(() => decodeLive(encodeBatch(batch))).to.throw(EncodingInvalid);
    expect(() => decodeBatch(encodeDead(dead))).to.throw(EncodingInvalid);
    expect(() => decodeDead(encodeBatch(batch))).to.throw(EncodingInvalid);
  });

  it('answers every message with one wrong byte by a batch or by EncodingInvalid', () => {
    const bytes = encodeBatch({ id: 'b1', publishes: [publish] });
    for (let at = 0; at < bytes.length; at++) {
      for (const wrong of [0x00, 0x7f, 0x80, 0xc0, 0xc1, 0xc4, 0xd4, 0xd9, 0xdc, 0xdf, 0xff]) {
        const broken = Uint8Array.from(bytes);
        broken[at] = wrong;
        try {
          decodeBatch(broken);
        } catch (error) {
          // The second byte is the version.
          expect(error).to.be.instanceOf(at === 1 ? LoamError : EncodingInvalid);
        }
      }
    }
  });
});
