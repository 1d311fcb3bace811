import { expect } from 'chai';
import { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import { DEAD_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Metrics } from '../../core/metrics.ts';
import { DeadLetterService } from '../../dashboard-gateway/dead-letters/service.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { type DeadLetter, decodeBatch, encodeBatch, encodeDead } from '../../telemetry/batch.ts';
import { decodeMark } from '../../telemetry/dead-letter-mark.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { listening } from '../workers/bench.ts';
import { type Answer, call, Place, problemCode } from './harness.ts';

const RECEIVED = 1_764_000_000_000;
const AT = Date.now() - 5_000;

function letter(over: Partial<DeadLetter['publish']> = {}, reason = 'not_json'): DeadLetter {
  const publish = {
    farm: 'north',
    field: 'f1',
    sensor: 's1',
    topic: 'farms/north/sensors/s1/telemetry',
    payload: Buffer.from('{"soil'),
    received: RECEIVED,
    ...over,
  };
  return { publish, reason, explanation: 'payload: not JSON', at: AT };
}

describe('dead letters over HTTP', () => {
  let place: Place;
  let gateway: Gateway;
  let ada: { cookie: string } | undefined;
  let sam: { cookie: string } | undefined;

  beforeEach(async () => {
    place = await Place.open();
    await place.edit((text) => text.replace('farms: { south: viewer }', 'farms: { south: admin }'));
    gateway = await place.gateway();
    // Sessions are good on every gateway with the same key.
    ada ??= { cookie: await place.signIn(gateway, 'ada') };
    sam ??= { cookie: await place.signIn(gateway, 'sam') };
  });

  afterEach(() => place.close());

  const get = (path: string, headers = ada ?? {}) => call(gateway.port, path, { headers });
  const post = (path: string, headers = ada ?? {}) => call(gateway.port, path, { method: 'POST', headers, body: {} });
  const keep = (...letters: DeadLetter[]) => Promise.all(letters.map((one) => place.dead.append(encodeDead(one))));
  const body = (answer: Answer) => JSON.parse(answer.text);
  const north = '/api/farms/north/dead-letters';

  /** The list, once it has as many letters as are wanted. */
  const listed = (count: number, path = north, headers = ada ?? {}) =>
    until(`${count} letters`, async () => {
      const answer = await get(path, headers);
      return answer.status === 200 && body(answer).letters.length === count ? body(answer) : undefined;
    });

  /** The queue's messages, taken from it. */
  async function queued(count: number): Promise<Uint8Array[]> {
    const bodies: Uint8Array[] = [];
    const consumer = await place.queue.consume(async (delivery) => void bodies.push(delivery.body), { prefetch: 8 });
    await until('the queue’s messages', () => bodies.length >= count);
    await consumer.stop();
    return bodies;
  }

  it('are shown with everything that is known of them, newest first', async () => {
    const bytes = Uint8Array.of(0xff, 0x00, 0x10);
    await keep(letter(), letter({ sensor: 's2', payload: bytes, topic: 'v1/devices/me/telemetry' }, 'not_utf8'));
    const answer = await listed(2);
    const [second, first] = answer.letters;
    expect(first).to.include({
      sensor: 's1',
      topic: 'farms/north/sensors/s1/telemetry',
      received: RECEIVED,
      at: AT,
      reason: 'not_json',
      explanation: 'payload: not JSON',
      state: 'open',
      payload: '{"soil',
      encoding: 'text',
      size: 6,
      cut: false,
    });
    expect(second).to.include({ sensor: 's2', payload: 'ff0010', encoding: 'hex', reason: 'not_utf8' });
    expect(answer.counts).to.deep.equal({ open: 2, replayed: 0, discarded: 0 });
    expect(answer.reasons).to.deep.equal({ not_json: 1, not_utf8: 1 });
    expect(answer.log).to.include({ warning: null, maxBytes: DEAD_LOG_LIMITS.maxBytes });
    expect(answer.log.oldest).to.equal(AT);
  });

  it('come by pages, by sensor and by reason', async () => {
    await keep(...Array.from({ length: 25 }, (_, i) => letter({ sensor: i % 5 === 0 ? 's2' : 's1' }, `r${i % 2}`)));
    await listed(25);
    const seen: number[] = [];
    let path = `${north}?limit=10`;
    for (let pages = 0; path !== '' && pages < 10; pages++) {
      const { letters, next } = body(await get(path));
      seen.push(...letters.map((one: { offset: number }) => one.offset));
      path = next === null ? '' : `${north}?limit=10&before=${next}`;
    }
    expect(seen).to.deep.equal([...seen].sort((a, b) => b - a));
    expect(new Set(seen).size).to.equal(25);
    expect(body(await get(`${north}?sensor=s2`)).letters).to.have.length(5);
    expect(body(await get(`${north}?sensor=s2&reason=r0`)).letters).to.have.length(3);
    for (const wrong of ['limit=0', 'limit=201', 'state=gone', 'before=x', 'page=1']) {
      expect(problemCode(await get(`${north}?${wrong}`)), wrong).to.equal('invalid-request');
    }
  });

  it('show a long payload’s beginning in the list, and the whole when one is asked for', async () => {
    const long = `{"note":"${'ä'.repeat(3_000)}"}`;
    await keep(letter({ payload: Buffer.from(long) }));
    const [only] = (await listed(1)).letters;
    expect(only.cut).to.equal(true);
    expect(long.startsWith(only.payload), 'no half character').to.equal(true);
    expect(body(await get(`${north}/${only.offset}`))).to.include({ cut: false, payload: long });
  });

  it('are only for admins of their farm, whatever their topic says', async () => {
    await keep(letter(), letter({ topic: 'farms/south/sensors/t1/telemetry' }, 'not_authorised'));
    const { letters } = await listed(2);
    const vera = { cookie: await place.signIn(gateway, 'vera') };
    for (const path of [north, `${north}/${letters[0].offset}`, '/api/dead-letters']) {
      expect(problemCode(await get(path, sam)), path).to.equal('forbidden');
      expect(problemCode(await get(path, vera)), path).to.equal('forbidden');
    }
    expect(body(await get('/api/farms/south/dead-letters', sam)).letters).to.deep.equal([]);
    for (const act of ['replay', 'discard']) {
      const theirs = `/api/farms/south/dead-letters/${letters[0].offset}/${act}`;
      expect(problemCode(await post(theirs, sam)), act).to.equal('not-found');
      expect(problemCode(await post(`${north}/${letters[0].offset}/${act}`, vera)), act).to.equal('forbidden');
    }
    expect(await place.queue.depth()).to.equal(0);
  });

  it('go back into the queue with their topic and time of receipt, once', async () => {
    await keep(letter());
    const [{ offset }] = (await listed(1)).letters;
    const answer = await post(`${north}/${offset}/replay`);
    expect(body(answer)).to.include({ offset, state: 'replayed' });
    expect(body(answer).settled.by).to.equal('ada');
    expect(problemCode(await post(`${north}/${offset}/replay`))).to.equal('conflict');
    expect(problemCode(await post(`${north}/${offset}/discard`))).to.equal('conflict');
    const [message, ...more] = await queued(1);
    expect(more).to.have.length(0);
    const batch = decodeBatch(message ?? new Uint8Array());
    const [publish] = batch.publishes;
    expect(batch.origin).to.equal('replay');
    expect(publish).to.include({ farm: 'north', field: 'f1', sensor: 's1', received: RECEIVED });
    expect(publish?.topic).to.equal('farms/north/sensors/s1/telemetry');
    expect(Buffer.from(publish?.payload ?? []).toString()).to.equal('{"soil');
    expect(body(await get(north)).counts).to.deep.equal({ open: 0, replayed: 1, discarded: 0 });
    expect(body(await get(`${north}?state=all`)).letters[0]).to.include({ offset, state: 'replayed' });
  });

  it('asked for by two at once are put into the queue once', async () => {
    await keep(letter());
    const [{ offset }] = (await listed(1)).letters;
    const answers = await Promise.all(Array.from({ length: 5 }, () => post(`${north}/${offset}/replay`)));
    expect(answers.map(({ status }) => status).sort()).to.deep.equal([200, 409, 409, 409, 409]);
    expect(await place.queue.depth()).to.equal(1);
  });

  it('that were discarded are out of the list, and can still be replayed', async () => {
    await keep(letter());
    const [{ offset }] = (await listed(1)).letters;
    expect(body(await post(`${north}/${offset}/discard`))).to.include({ state: 'discarded' });
    expect(problemCode(await post(`${north}/${offset}/discard`))).to.equal('conflict');
    expect(body(await get(north)).letters).to.deep.equal([]);
    expect(body(await get(`${north}?state=discarded`)).letters).to.have.length(1);
    expect(body(await post(`${north}/${offset}/replay`))).to.include({ state: 'replayed' });
  });

  it('stay open when the queue cannot take them', async () => {
    await keep(letter());
    const [{ offset }] = (await listed(1)).letters;
    await place.queue.close();
    expect((await post(`${north}/${offset}/replay`)).status).to.be.at.least(500);
    expect(body(await get(north)).counts.open).to.equal(1);
  });

  it('have the same state on every gateway, and after a restart: it is in the log', async () => {
    await keep(letter(), letter());
    const [{ offset: newer }, { offset: older }] = (await listed(2)).letters;
    const other = await place.gateway();
    await post(`${north}/${newer}/replay`);
    await post(`${north}/${older}/discard`);
    const states = async (one: Gateway) => {
      const answer = await call(one.port, `${north}?state=all`, { headers: ada ?? {} });
      return answer.status === 200
        ? body(answer)
            .letters.map((l: { state: string }) => l.state)
            .join()
        : '';
    };
    await until('the other gateway knows', async () => (await states(other)) === 'replayed,discarded');
    const third = await place.gateway();
    await until('a new gateway knows', async () => (await states(third)) === 'replayed,discarded');
    const marks = (await place.dead.read('first', 10)).slice(2).map((entry) => decodeMark(entry.body));
    expect(marks.map(({ act, by, farm, offset }) => [act, by, farm, offset])).to.deep.equal([
      ['replayed', 'ada', 'north', newer],
      ['discarded', 'ada', 'north', older],
    ]);
  });

  it('of another farm’s topic, of none, or of another sensor’s are not replayed: that would let a sensor in by the back door', async () => {
    await keep(
      letter({ topic: 'farms/south/sensors/t1/telemetry' }, 'not_authorised'),
      letter({ topic: 'somewhere/else' }, 'not_authorised'),
      letter({ topic: 'farms/north/sensors/s2/telemetry' }, 'not_authorised'),
      letter({ topic: 'farms/north/sensors/s2/telemetry', via: { kind: 'source', id: 's1' } }, 'not_authorised'),
      letter({ sensor: 's2', topic: 'farms/north/sensors/s2/telemetry' }, 'too_large'),
      letter({ sensor: 's2', topic: 'farms/north/sensors/s2/telemetry' }, 'not_authorised'),
    );
    const [own, ...foreign] = (await listed(6)).letters;
    for (const { offset } of foreign) {
      expect(problemCode(await post(`${north}/${offset}/replay`))).to.equal('conflict');
    }
    const [shortened, , spoof] = foreign;
    expect(body(await post(`${north}/${shortened.offset}/replay`)).detail).to.include('only the beginning');
    expect(body(await post(`${north}/${spoof.offset}/replay`)).detail).to.include('no right to speak for s2');
    expect(await place.queue.depth()).to.equal(0);
    await post(`${north}/${own.offset}/replay`);
    const [message] = await queued(1);
    expect(decodeBatch(message ?? new Uint8Array()).publishes[0]).to.include({ sensor: 's2', field: 'f2' });
  });

  it('are replayed by the rights of today: who published them may be a bridge by now, or none any more, or a source', async () => {
    const source = 'sources:\n  - { id: s2, farm: north, url: "mqtt://127.0.0.1:1", topics: ["a/b"] }\n';
    const topic = 'farms/north/sensors/t9/telemetry';
    await keep(
      letter({ topic }, 'not_authorised'),
      letter({ sensor: 's2', topic, via: { kind: 'source', id: 's2' } }, 'not_authorised'),
      letter({ sensor: 's2', topic }, 'not_authorised'),
      letter({ sensor: 'gone', topic, via: { kind: 'bridge', id: 'gone' } }, 'not_authorised'),
    );
    const [gone, asSensor, ofSource, ofSensor] = (await listed(4)).letters;
    const replay = async ({ offset }: { offset: number }) => (await post(`${north}/${offset}/replay`)).status;
    expect(await replay(ofSensor)).to.equal(409);
    expect(await replay(ofSource)).to.equal(409);
    await place.edit(
      (text) => `${text.replace('id: s1, farm: north,', 'id: s1, farm: north, role: bridge,')}${source}`,
    );
    expect(await replay(ofSensor)).to.equal(200);
    expect(await replay(ofSource)).to.equal(200);
    expect(await replay(asSensor), 'a sensor that has the id of a source').to.equal(409);
    expect(await replay(gone)).to.equal(409);
  });

  it('of a bridge are replayed as its farm’s, also when another farm has a sensor of the same id', async () => {
    const device = '70b3d57ed0001234';
    const described = `sensors:\n  - { id: '${device}', farm: south, field: g1 }\n  - { id: nb, farm: north, role: bridge }\n`;
    await place.edit((text) => text.replace('sensors:\n', described));
    await keep(letter({ sensor: 'nb', topic: `farms/north/sensors/${device}/telemetry` }, 'not_authorised'));
    const [{ offset }] = (await listed(1)).letters;
    expect(body(await post(`${north}/${offset}/replay`))).to.include({ state: 'replayed' });
    const [message] = await queued(1);
    const [publish] = decodeBatch(message ?? new Uint8Array()).publishes;
    expect(publish).to.include({ farm: 'north', field: 'unassigned', sensor: device, received: RECEIVED });
  });

  it('that are nobody’s are for admins of every farm, and go back into the queue as they were', async () => {
    const message = encodeBatch({ id: 'b', publishes: [] });
    await keep(
      letter({ farm: '', field: '', sensor: '', topic: '', payload: Buffer.from(message) }, 'unreadable_batch'),
    );
    const [only] = (await listed(1, '/api/dead-letters')).letters;
    expect(only).to.include({ reason: 'unreadable_batch', encoding: 'hex' });
    expect(body(await get(north)).letters).to.deep.equal([]);
    expect(body(await get(`/api/dead-letters/${only.offset}`)).size).to.equal(message.length);
    await post(`/api/dead-letters/${only.offset}/replay`);
    expect(Buffer.from((await queued(1))[0] ?? [])).to.deep.equal(Buffer.from(message));
    expect(problemCode(await post(`/api/dead-letters/${only.offset}/discard`))).to.equal('conflict');
  });

  it('that are not there are not found', async () => {
    await keep(letter());
    await listed(1);
    for (const offset of ['7', 'x', '-1', '1.5', '99999999999999999999']) {
      expect(problemCode(await get(`${north}/${offset}`)), offset).to.equal('not-found');
      expect(problemCode(await post(`${north}/${offset}/replay`)), offset).to.equal('not-found');
    }
  });

  it('are counted in the metrics', async () => {
    await keep(letter(), letter());
    const { letters } = await listed(2);
    await post(`${north}/${letters[0].offset}/discard`);
    const text = await place.metrics.text();
    expect(text).to.match(/^loam_dead_letters_open 1$/m);
    expect(text).to.match(/^loam_dead_letter_warning 0$/m);
    expect(text).to.match(/^loam_dead_letter_log_bytes [1-9]\d*$/m);
  });

  it('of a sensor that is near the end of its quota are warned of, to its own farm, before any is left out', async () => {
    const big = { ...letter({ payload: Buffer.alloc(1024 ** 2, 'x') }), writer: 'worker/one' };
    await keep(...Array<DeadLetter>(20).fill(big));
    expect((await listed(20)).log.warning).to.equal(null);
    // Those of brokers count against quotas of their own.
    await keep(...Array<DeadLetter>(6).fill({ ...big, writer: 'broker/one' }));
    expect((await listed(26)).log.warning).to.equal(null);
    expect(await place.metrics.text()).to.match(/^loam_dead_letter_sensors_near_quota 0$/m);
    await keep(...Array<DeadLetter>(6).fill(big));
    expect((await listed(32)).log.warning).to.match(/\(s1 81 %\)/);
    expect(await place.metrics.text()).to.match(/^loam_dead_letter_sensors_near_quota 1$/m);
    const souths = await until('south’s list', async () => {
      const answer = await get('/api/farms/south/dead-letters', sam);
      return answer.status === 200 && body(answer);
    });
    expect(souths.log.warning).to.equal(null);
  });

  it('that will soon be trimmed are warned of in the metrics and in the answer', async () => {
    await keep(letter());
    const quiet = await listed(1);
    expect(quiet.log.warning).to.equal(null);
    // A gateway that lives 25 days before the letter's year is over.
    const later = AT + DEAD_LOG_LIMITS.maxAgeMs - 25 * 86_400_000;
    const metrics = new Metrics();
    const other = await place.gateway({ now: () => later, adminToken: 'a'.repeat(40), metrics });
    const headers = { authorization: `Bearer ${'a'.repeat(40)}` };
    const { warning, oldest } = await until('its list', async () => {
      const answer = await call(other.port, north, { headers });
      return answer.status === 200 && body(answer).letters.length === 1 && body(answer).log;
    });
    expect(oldest).to.equal(AT);
    expect(warning).to.match(/removed for good in 25 days/);
    expect(await metrics.text()).to.match(/^loam_dead_letter_warning 1$/m);
    expect(await metrics.text()).to.match(/^loam_dead_letter_trimming_put_off 0$/m);
  });

  it('that are kept although the clock says that their time is over are told of: the clock may be wrong', async () => {
    await keep(letter());
    const later = AT + DEAD_LOG_LIMITS.maxAgeMs + 20_000 * 86_400_000;
    const metrics = new Metrics();
    const other = await place.gateway({ now: () => later, adminToken: 'a'.repeat(40), metrics });
    const headers = { authorization: `Bearer ${'a'.repeat(40)}` };
    const { warning } = await until('its list', async () => {
      const answer = await call(other.port, north, { headers });
      return answer.status === 200 && body(answer).letters.length === 1 && body(answer).log;
    });
    expect(warning).to.match(/20000 days past their time; they are still kept/);
    expect(await metrics.text()).to.match(/^loam_dead_letter_trimming_put_off 1$/m);
  });
});

describe('the list of dead letters of a small log', () => {
  const limits = { maxBytes: 400_000, maxAgeMs: 3_600_000 };
  const big = () => letter({ payload: Buffer.alloc(2_000, 'x') });

  it('warns before anything is trimmed, and counts what was trimmed while it was open', async () => {
    const dead = await openFileLog(await temporaryFolder(), 'dead', limits);
    const queue = await openFileQueue(await temporaryFolder());
    const { log, lines } = listening();
    const metrics = new Metrics();
    const registry = { current: () => parseRegistry('farms: []'), watch: () => () => {} };
    const now = () => AT;
    const replays = new BatchEntrance({ name: 'replay' });
    const desk = new DeadLetterService({
      dead,
      limits,
      queue,
      replays,
      registry,
      logger: log,
      metrics,
      now,
      lookMs: 20,
    });
    const value = async (name: string) =>
      Number(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'm').exec(await metrics.text())?.[1]);
    const fill = async (count: number) =>
      void (await Promise.all(Array.from({ length: count }, () => dead.append(encodeDead(big())))));
    try {
      await desk.start();
      await fill(10);
      await until('ten are listed', async () => (await value('loam_dead_letters_open')) === 10);
      expect(desk.logNow().warning).to.equal(null);
      expect(await value('loam_dead_letter_warning')).to.equal(0);

      await fill(145);
      await until('the log warns', () => lines.find((line) => line.includes('dead_letters_near_trimming')));
      expect(desk.logNow().warning).to.match(/is [78]\d % full/);
      expect(await value('loam_dead_letter_warning')).to.equal(1);
      expect((await dead.head()).first, 'nothing is trimmed yet').to.equal(0);
      expect(await value('loam_dead_letters_trimmed_total')).to.equal(0);

      for (let i = 0; i < 10; i++) await fill(100);
      const { first } = await until('it was trimmed', async () => {
        const head = await dead.head();
        return head.first > 0 && head;
      });
      await until('that is counted', async () => (await value('loam_dead_letters_trimmed_total')) >= first);
      expect(lines.some((line) => line.includes('were trimmed that nobody had replayed or discarded'))).to.equal(true);
      const { letters } = await desk.list('north', { state: 'all', limit: 200 });
      expect(letters.every(({ listed }) => listed.offset >= first)).to.equal(true);
    } finally {
      await desk.stop();
      await dead.close();
      await queue.close();
    }
  });
});
