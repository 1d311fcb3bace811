import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { silent } from '../../core/logger.ts';
import { encodeBatch, type Publish } from '../../telemetry/batch.ts';
import { DecodeThread } from '../../workers/decoding/decode-thread.ts';
import { TimeBudget } from '../../workers/decoding/time-budget.ts';
import { itIfLong } from '../services/length.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { TOPICS } from '../unit/telemetry-payloads.ts';
import { announced, consumedBy, FARM, listening, numberedPublish, storedSeqs, T0, Workbench } from './bench.ts';

/** A builtin over a list as long as a list can be: no step is counted while it runs. */
const HANGS =
  'function decodeUplink() { return { data: { n: Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1) } }; }';
const COUNTS = 'function decodeUplink(input) { return { data: { seq: input.bytes[0] } }; }';

const REGISTRY = `
farms: [{ id: ${FARM}, name: North, timezone: UTC }]
sensors:
  - { id: hangs, farm: ${FARM}, codec: hangs.js }
  - { id: counts, farm: ${FARM}, codec: counts.js }
`;

let received = T0;

/** An uplink of one byte, which nobody decoded. */
function uplink(sensor: string, byte: number): Publish {
  const topic = TOPICS.chirpstack.replace('s1', sensor);
  const payload = { deviceInfo: { devEui: sensor }, fPort: 2, data: Buffer.from([byte]).toString('base64') };
  received += 1;
  return { farm: FARM, field: 'f1', sensor, topic, payload: Buffer.from(JSON.stringify(payload)), received };
}

/** A publish of one reading, `seq`, that takes some hundred milliseconds: most of it are spaces. */
function large(sensor: string, seq: number): Publish {
  const publish = numberedPublish(sensor, seq);
  const filling = `[${'[0],'.repeat(1_500_000)}0]`;
  const payload = Buffer.from(JSON.stringify({ ts: T0 + seq, seq }).replace('}', `,"filling":${filling}}`));
  return { ...publish, payload };
}

describe('decoding', function () {
  this.timeout(240_000);
  let bench: Workbench;
  let store: Store;
  let registry: Book;
  let codecFolder: string;

  beforeEach(async () => {
    bench = await Workbench.open();
    codecFolder = await temporaryFolder();
    store = await openDuckdbStore(join(codecFolder, 'readings.duckdb'));
    registry = new Book(REGISTRY);
    await writeFile(join(codecFolder, 'hangs.js'), HANGS);
    await writeFile(join(codecFolder, 'counts.js'), COUNTS);
  });

  afterEach(async () => {
    await bench.close();
    await store.close();
  });

  const seqs = async (sensor: string) => [...(await storedSeqs(store, sensor)).keys()].sort((a, b) => a - b);
  const reasons = async () => (await bench.letters()).map(({ reason, publish }) => [publish.sensor, reason]);

  it('of an uplink that hangs its codec ends in a dead letter; the others of its message are stored', async () => {
    await bench.work(store, silent, { registry, decodeMs: 300 });
    await bench.workSlowly(store, silent, { registry, codecFolder, decodeMs: 300 });
    await bench.publish('mixed', [
      uplink('counts', 1),
      uplink('hangs', 1),
      uplink('counts', 2),
      numberedPublish('s1', 3),
    ]);
    await bench.emptied(200_000);
    expect(await seqs('s1')).to.deep.equal([3]);
    expect(await seqs('counts')).to.deep.equal([1, 2]);
    const letters = await bench.letters();
    expect(letters.map(({ reason, publish }) => [publish.sensor, reason])).to.deep.equal([
      ['hangs', 'decoding_failed'],
    ]);
    expect(letters[0]?.explanation).to.include('it took longer than 3000 ms');
    expect(await bench.metric('loam_decode_threads_lost_total')).to.equal(2);
    expect(await bench.metric(`loam_publishes_left_apart_total{farm="${FARM}"}`)).to.equal(3);
  });

  it('of an uplink is done by the registry’s codec before a file of that name, as each is when its turn comes', async () => {
    const withCodec = (plus: number) =>
      `${REGISTRY}codecs: [{ id: counts.js, text: ${JSON.stringify(COUNTS.replace('[0]', `[0] + ${plus}`))} }]\n`;
    await bench.work(store, silent, { registry });
    await bench.workSlowly(store, silent, { registry, codecFolder });
    for (const [i, yaml] of [REGISTRY, withCodec(100), withCodec(200)].entries()) {
      registry.change(yaml);
      await bench.publish(`m${i}`, [uplink('counts', i + 1)]);
      await bench.emptied(200_000);
    }
    expect(await seqs('counts')).to.deep.equal([1, 102, 203]);
    expect(await bench.letters()).to.deep.equal([]);
  });

  it('by the registry’s codec needs no file anywhere, also in a thread that is started after it came', async () => {
    const nowhere = join(codecFolder, 'nowhere');
    const only = new Book(`${REGISTRY}codecs: [{ id: counts.js, text: ${JSON.stringify(COUNTS)} }]\n`);
    await bench.work(store, silent, { registry: only });
    await bench.workSlowly(store, silent, { registry: only, codecFolder: nowhere });
    await bench.publish('alone', [uplink('counts', 7)]);
    await bench.emptied(200_000);
    expect(await seqs('counts')).to.deep.equal([7]);
  });

  it('that nobody finishes holds up nobody who needs no codec', async () => {
    // Nobody works on the slow queue.
    await bench.work(store, silent, { registry });
    for (let i = 0; i < 300; i++) await bench.publish(`m${i}`, [uplink('hangs', 1), numberedPublish('s1', i)]);
    await until('every reading of the other is stored', async () => (await seqs('s1')).length === 300);
    expect(await bench.slow.depth()).to.equal(300);
    expect(await bench.letters()).to.deep.equal([]);
  });

  itIfLong('of a sensor that used up its time is over for now; others of its farm go on', async () => {
    await bench.work(store, silent, { registry, decodeMs: 100 });
    await bench.workSlowly(store, silent, { registry, codecFolder, decodeMs: 100 });
    for (let i = 0; i < 40; i++) await bench.publish(`m${i}`, [uplink('hangs', i), uplink('counts', i)]);
    await bench.emptied(200_000);
    expect(await seqs('counts')).to.have.length(40);
    const found = await reasons();
    expect(found).to.have.length(40);
    expect(new Set(found.map(([sensor]) => sensor))).to.deep.equal(new Set(['hangs']));
    const kinds = found.map(([, reason]) => reason);
    // Ten limits at once: eleven or so are tried, and one of them a last time.
    expect(kinds.filter((reason) => reason === 'decoding_paused')).to.have.length.greaterThan(20);
    expect(kinds.filter((reason) => reason === 'decoding_failed')).to.have.length.within(1, 19);
  });

  it('without a codec that takes too long is left apart, and done there; the sensor is then left apart at once', async () => {
    const { log, lines } = listening();
    await bench.work(store, log, { registry, decodeMs: 10 });
    await bench.publish('large', [numberedPublish('s1', 1), large('s2', 2), numberedPublish('s1', 3)]);
    await until('the others are stored', async () => (await seqs('s1')).length === 2);
    await until('the large one is left apart', async () => (await bench.slow.depth()) === 1);
    expect(lines.join('')).to.include('left to the slow queue: it took longer than 10 ms');
    await bench.publish('next', [numberedPublish('s2', 4), numberedPublish('s1', 5)]);
    await until('the next one is left apart', async () => (await bench.slow.depth()) === 2);
    await until('the other is stored', async () => (await seqs('s1')).length === 3);
    await bench.workSlowly(store, silent, { registry, codecFolder, decodeMs: 20_000 });
    await bench.emptied(200_000);
    expect(await seqs('s2')).to.deep.equal([2, 4]);
  });

  it('of a message with very many readings is done in parts, each of which is bounded', async () => {
    const many = (from: number): Publish => {
      const items = Array.from({ length: 4_000 }, (_, i) => ({ ts: T0 + from + i, seq: from + i }));
      return { ...numberedPublish('s1', from), payload: Buffer.from(JSON.stringify(items)) };
    };
    await bench.work(store, silent, { registry });
    await bench.publish(
      'many',
      Array.from({ length: 12 }, (_, i) => many(i * 4_000)),
    );
    await bench.emptied(200_000);
    expect(await seqs('s1')).to.deep.equal(Array.from({ length: 48_000 }, (_, i) => i));
    const entries = await announced(bench.live);
    expect(entries.map(({ id, readings }) => [id, readings.length])).to.deep.equal([
      ['many#0-5', 20_000],
      ['many#5-10', 20_000],
      ['many#10-12', 8_000],
    ]);
  });

  it('is acknowledged only when the slow queue has what was left apart', async () => {
    const held: (() => void)[] = [];
    const publish = (body: Uint8Array): Promise<void> =>
      new Promise((resolve, reject) => held.push(() => bench.slow.publish(body).then(resolve, reject)));
    const slow = { ...consumedBy(bench.slow, (handler, options) => bench.slow.consume(handler, options)), publish };
    await bench.work(store, silent, { registry, slow });
    await bench.publish('mixed', [uplink('counts', 1), numberedPublish('s1', 1)]);
    await until('it is being left apart', () => held.length === 1);
    await until('the other is stored', async () => (await seqs('s1')).length === 1);
    expect(await bench.queue.depth()).to.equal(1);
    for (const go of held) go();
    await until('it is acknowledged', async () => (await bench.queue.depth()) === 0);
    expect(await bench.slow.depth()).to.equal(1);
  });

  it('sets aside what finds no room in the slow queue, and does not wait for it', async () => {
    const full = await openFileQueue(join(codecFolder, 'full'), { maxMessages: 1, maxBytes: 1e9 });
    try {
      await bench.work(store, silent, { registry, slow: full });
      for (const i of [1, 2, 3]) await bench.publish(`m${i}`, [uplink('counts', i), numberedPublish('s1', i)]);
      await bench.emptied();
      expect(await seqs('s1')).to.deep.equal([1, 2, 3]);
      expect(await reasons()).to.deep.equal([
        ['counts', 'slow_queue_full'],
        ['counts', 'slow_queue_full'],
      ]);
    } finally {
      await bench.close();
      await full.close();
    }
  });

  itIfLong('does not count time in which the process itself stood still', async () => {
    const message = encodeBatch({ id: 'large', publishes: [large('s1', 1)] });
    const thread = new DecodeThread({ limitMs: 20 });
    try {
      expect(await thread.run(message), 'while the process sees that it does not get on').to.have.property(
        'is',
        'failed',
      );
      await thread.run(encodeBatch({ id: 'small', publishes: [numberedPublish('s1', 0)] }));
      const outcome = thread.run(message);
      const end = performance.now() + 5_000;
      while (performance.now() < end);
      expect(await outcome).to.have.property('is', 'decoded');
    } finally {
      await thread.close();
    }
  });

  it('goes by the registry in force', async () => {
    await bench.work(store, silent, { registry });
    await bench.publish('before', [numberedPublish('s1', 1)]);
    await bench.emptied();
    registry.change(REGISTRY.replace('sensors:', `sensors:\n  - { id: s1, farm: ${FARM}, aliases: { seq: renamed } }`));
    await bench.publish('after', [numberedPublish('s1', 2)]);
    await bench.emptied();
    const latest = (await store.latest(FARM)).map(({ metric, value }) => [metric, value]);
    expect(latest).to.have.deep.members([
      ['seq', 1],
      ['renamed', 2],
    ]);
  });

  it('gives back what it was at when it is closed', async () => {
    const worker = await bench.work(store, silent, { registry });
    await bench.workSlowly(store, silent, { registry, codecFolder, decodeMs: 60_000 });
    await bench.publish('hangs', [uplink('hangs', 1)]);
    await until('it is left apart', async () => (await bench.slow.depth()) === 1);
    await worker.stop(1_000);
    await bench.close();
    expect(await bench.letters().catch(() => 'closed')).to.equal('closed');
  });
});

describe('the time for decoding', () => {
  it('is ten limits at once for a sensor, sixty for a farm, and comes back slowly', () => {
    let now = 0;
    const budget = new TimeBudget(1_000, () => now);
    const [a, b, c] = ['a', 'b', 'c'].map((sensor) => ({ farm: 'north', sensor }));
    if (!a || !b || !c) throw new Error('three sensors');
    for (let i = 0; i < 1_000; i++) budget.spend(c, -50);
    expect(budget.isSpent(c)).to.equal(false);
    budget.spend(a, 10_200);
    expect([budget.isSpent(a), budget.isSpent(b)]).to.deep.equal([true, false]);
    now += 10_000;
    expect(budget.isSpent(a)).to.equal(false);
    budget.spend(b, 60_000);
    expect(budget.isSpent(c), 'the farm').to.equal(true);
    expect(budget.isSpent({ farm: 'south', sensor: 'c' })).to.equal(false);
    now += 120_000;
    expect(budget.isSpent(c)).to.equal(false);
    expect(budget.isSpent(b)).to.equal(true);
  });
});
