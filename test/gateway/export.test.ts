import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { ExportQuery, LatestValue, Store } from '../../backbone/ports/store.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { influx } from '../services/influx.ts';
import { until } from '../services/wait.ts';
import { call, overlay, Place, problemCode } from './harness.ts';

const begin = Date.parse('2026-03-29T00:00:00+01:00');
const MINUTE = 60_000;
const HEAD = ['sensor', 'name', 'field', 'metric', 'unit', 'value', 'measured', 'received'];

describe('the CSV export', () => {
  let place: Place;
  let cookie: string;

  before(async () => {
    place = await Place.open();
    await place.edit((text) =>
      text.replace(
        'metrics:',
        `  - { id: h1, farm: north, field: f1, name: '=HYPERLINK("http://evil.example")' }
  - { id: h2, farm: north, field: f1, name: "\\"Hill\\", \\nsecond" }
  - { id: h3, farm: north, field: f2, name: "x;=1+1" }
  - { id: h4, farm: north, field: f2, name: "x\\t=1+1" }
  - { id: h5, farm: north, field: f2, name: "\\u00a0\\u200b=1+1" }
metrics:
  - { id: soil_temperature, label: Soil temperature, unit: °C }`,
      ),
    );
  });

  after(() => place.close());

  const signedIn = async (gateway: Gateway) => {
    cookie = await place.signIn(gateway, 'vera');
    return (query: string) => call(gateway.port, `/api/farms/north/export.csv?${query}`, { headers: { cookie } });
  };

  const stores: [string, () => Promise<Store>][] = [
    ['DuckDB', async () => place.store],
    [
      'InfluxDB',
      async () => {
        const server = await influx();
        const database = `export_${process.pid}_${Date.now()}`;
        await server.createDatabase(database);
        return openInfluxStore(server.storeUrl(database));
      },
    ],
  ];
  for (const [name, open] of stores) {
    it(`has every value with its unit and both times, from ${name}`, async () => {
      const store = await open();
      try {
        const one = (minute: number, sensor: string, values: Reading['values']) => {
          const ts = begin + minute * MINUTE;
          return { farm: 'north', sensor, ts, received: ts + 90 * MINUTE, values };
        };
        await store.write([
          one(0, 'h1', { moisture: -3.5, soil_temperature: 18.25 }),
          one(60, 'h1', { moisture: 1e-7 }),
          one(119, 'h2', { moisture: 30 }),
          one(120, 'h2', { moisture: 31 }),
          { ...one(120, 't1', { moisture: 99 }), farm: 'south' },
        ]);
        const ask = await signedIn(await place.gateway({ store }));
        const answer = await ask(`field=f1&from=${begin}&to=${begin + 3 * 60 * MINUTE}`);
        expect(answer.status).to.equal(200);
        expect(answer.headers['content-disposition']).to.equal('attachment; filename="north-f1-2026-03-28.csv"');
        expect(answer.text.startsWith('\uFEFF')).to.equal(true);
        const rows: string[][] = parse(answer.text, { bom: true });
        const formula = `'=HYPERLINK("http://evil.example")`;
        const hill = '"Hill", \nsecond';
        expect(rows[0]).to.deep.equal(HEAD);
        expect(rows.slice(1)).to.have.deep.members([
          [
            'h1',
            formula,
            'f1',
            'moisture',
            '%',
            '-3.5',
            '2026-03-29T00:00:00.000+01:00',
            '2026-03-29T01:30:00.000+01:00',
          ],
          [
            'h1',
            formula,
            'f1',
            'soil_temperature',
            '°C',
            '18.25',
            '2026-03-29T00:00:00.000+01:00',
            '2026-03-29T01:30:00.000+01:00',
          ],
          [
            'h1',
            formula,
            'f1',
            'moisture',
            '%',
            '1e-7',
            '2026-03-29T01:00:00.000+01:00',
            '2026-03-29T03:30:00.000+02:00',
          ],
          ['h2', hill, 'f1', 'moisture', '%', '30', '2026-03-29T01:59:00.000+01:00', '2026-03-29T04:29:00.000+02:00'],
          ['h2', hill, 'f1', 'moisture', '%', '31', '2026-03-29T03:00:00.000+02:00', '2026-03-29T04:30:00.000+02:00'],
        ]);
        const part = await ask(`sensor=h1&metric=soil_temperature&from=${begin}&to=${begin + MINUTE}`);
        expect(parse(part.text, { bom: true })).to.have.length(2);
        const whole = await ask(`from=${begin}&to=${begin + 3 * 60 * MINUTE}`);
        expect(parse(whole.text, { bom: true })).to.have.length(6);
        const none = await ask(`sensor=nobody&from=${begin}&to=${begin + MINUTE}`);
        expect(parse(none.text, { bom: true })).to.deep.equal([HEAD]);
      } finally {
        if (store !== place.store) await store.close();
      }
    });
  }

  it('has six digits behind the second where a time of measurement is not a whole millisecond', async () => {
    const late = begin + 24 * 60 * MINUTE;
    const one = (ts: number, moisture: number) => ({
      farm: 'north',
      sensor: 'h1',
      ts,
      received: ts,
      values: { moisture },
    });
    await place.store.write([one(late + 0.123, 1), one(late, 2), one(late + 0.999, 3), one(late + 1, 4)]);
    const ask = await signedIn(await place.gateway());
    const answer = await ask(`sensor=h1&from=${late}&to=${late + 2}`);
    const rows: string[][] = parse(answer.text, { bom: true, from_line: 2 });
    expect(rows.map(([, , , , , value, ...times]) => [value, ...times])).to.deep.equal([
      ['2', '2026-03-30T01:00:00.000+02:00', '2026-03-30T01:00:00.000+02:00'],
      ['1', '2026-03-30T01:00:00.000123+02:00', '2026-03-30T01:00:00.000+02:00'],
      ['3', '2026-03-30T01:00:00.000999+02:00', '2026-03-30T01:00:00.000+02:00'],
      ['4', '2026-03-30T01:00:00.001+02:00', '2026-03-30T01:00:00.001+02:00'],
    ]);

    const gateway = await place.gateway();
    const path = `/api/farms/north/history?sensor=h1&metric=moisture&from=${late}&to=${late + 60_000}&points=60`;
    const history = await call(gateway.port, path, { headers: { cookie: await place.signIn(gateway, 'vera') } });
    expect(JSON.parse(history.text).rows, 'each is counted').to.deep.equal([[late, 4, 1, 4, 2.5, 4]]);
  });

  it('has no text that a spreadsheet would run, also not behind a separator or behind what nobody sees', async () => {
    const late = begin + 48 * 60 * MINUTE;
    const of = (sensor: string) => ({ farm: 'north', sensor, ts: late, received: late, values: { moisture: 1 } });
    await place.store.write(['h3', 'h4', 'h5'].map(of));
    const ask = await signedIn(await place.gateway());
    const { text } = await ask(`from=${late}&to=${late + 1}`);
    const names = text.split('\r\n').flatMap((line) => /^h\d,(.*),f2,/.exec(line)?.[1] ?? []);
    expect(names.sort()).to.deep.equal(['"x\t=1+1"', '"x;=1+1"', "'\u00a0\u200b=1+1"].sort());
  });

  it('is refused to who may not see the farm, and for what is no question', async () => {
    const gateway = await place.gateway();
    const ask = await signedIn(gateway);
    for (const query of ['sensor=h1&field=f1', 'metric=X', 'from=2&to=1', 'points=5', 'from=soon']) {
      expect(problemCode(await ask(query)), query).to.equal('invalid-request');
    }
    const sam = await place.signIn(gateway, 'sam');
    const answer = await call(gateway.port, '/api/farms/north/export.csv', { headers: { cookie: sam } });
    expect(problemCode(answer)).to.equal('forbidden');
    expect(problemCode(await call(gateway.port, '/api/farms/north/export.csv'))).to.equal('not-signed-in');
  });

  /** A store whose exports never end, and what becomes of them. */
  const endless = (over: { failAfter?: number } = {}) => {
    const seen = { begun: 0, given: 0, ended: 0, left: 0 };
    async function* values(_: ExportQuery, signal?: AbortSignal): AsyncGenerator<LatestValue> {
      seen.begun++;
      signal?.addEventListener('abort', () => seen.left++);
      try {
        for (; seen.given !== over.failAfter; seen.given++) {
          yield { sensor: 'h1', metric: 'moisture', ts: begin + seen.given, value: 1, received: begin };
          if (seen.given % 1_000 === 0) await new Promise((done) => setImmediate(done));
        }
        throw new StoreUnavailable('gone');
      } finally {
        seen.ended++;
      }
    }
    return { seen, store: overlay(place.store, { export: values }) };
  };

  const download = (gateway: Gateway, farm = 'north', as = cookie) => {
    const socket = connect(gateway.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`GET /api/farms/${farm}/export.csv HTTP/1.1\r\nhost: x\r\ncookie: ${as}\r\n\r\n`);
    return socket;
  };

  it('waits for a client that takes nothing, and ends the query of one that leaves', async () => {
    const { seen, store } = endless();
    const gateway = await place.gateway({ store });
    await signedIn(gateway);
    const socket = download(gateway);
    await until('the export has begun', () => seen.given > 0);
    let before = -1;
    await until(
      'the export stands still',
      () => {
        const still = before === seen.given;
        before = seen.given;
        return still;
      },
      { everyMs: 200 },
    );
    expect(seen.ended).to.equal(0);
    socket.resume();
    await until('it goes on', () => seen.given > before + 10_000);
    socket.destroy();
    await until('the query has ended', () => seen.ended === 1);
    expect(seen.left).to.equal(1);
  });

  it('is not whole when the store fails on the way, and says so when it fails at once', async () => {
    const broken = endless({ failAfter: 50_000 });
    const gateway = await place.gateway({ store: broken.store });
    const ask = await signedIn(gateway);
    expect(
      await ask('').then(
        () => 'whole',
        () => 'cut',
      ),
    ).to.equal('cut');
    const away = await place.gateway({ store: endless({ failAfter: 0 }).store });
    expect(problemCode(await (await signedIn(away))(''))).to.equal('store-unavailable');
  });

  it('ends when its user is removed', async () => {
    const { seen, store } = endless();
    const gateway = await place.gateway({ store });
    await signedIn(gateway);
    const socket = download(gateway);
    socket.resume();
    await until('the export has begun', () => seen.given > 10_000);
    const closed = once(socket, 'close');
    await place.edit((text) => text.replace('name: vera', 'name: vera2'));
    await closed;
    await until('the query has ended', () => seen.ended === 1);
    await place.edit((text) => text.replace('name: vera2', 'name: vera'));
  });

  it('lets three of a user be under way of fifty that are asked for at once, and as many again when they have ended', async () => {
    const { seen, store } = endless();
    const gateway = await place.gateway({ store });
    const ask = await signedIn(gateway);
    for (const round of [1, 2]) {
      const answers: string[] = [];
      const sockets = Array.from({ length: 50 }, () => download(gateway));
      for (const socket of sockets) socket.once('data', (head: Buffer) => answers.push(head.toString().slice(9, 12)));
      await until('all are answered', () => answers.length === 50);
      expect(answers.filter((status) => status === '200')).to.have.length(3);
      expect(answers.filter((status) => status === '503')).to.have.length(47);
      expect(seen.begun).to.equal(3 * round);
      expect(problemCode(await ask(''))).to.equal('busy');
      for (const socket of sockets) socket.destroy();
      await until('they have ended', () => seen.ended === 3 * round);
    }
  });

  it('of one user, or of one farm, leave room for others', async () => {
    const { seen, store } = endless();
    const gateway = await place.gateway({ store });
    await signedIn(gateway);
    const sockets = Array.from({ length: 8 }, () => download(gateway));
    await until('three have begun', () => seen.begun === 3);
    const other = await place.signIn(gateway, 'sam');
    for (const socket of Array.from({ length: 8 }, () => download(gateway, 'south', other))) sockets.push(socket);
    await until('three of another one on another farm have begun too', () => seen.begun === 6);
    for (const socket of sockets) socket.destroy();
    await until('they have ended', () => seen.ended === 6);
  });

  it('does not hold up the end of the gateway', async () => {
    const { seen, store } = endless();
    const gateway = await place.gateway({ store });
    await signedIn(gateway);
    const socket = download(gateway);
    await until('the export has begun', () => seen.given > 0);
    socket.resume();
    const closed = once(socket, 'close');
    await gateway.stop(5_000);
    await closed;
    expect(seen.ended).to.equal(1);
  });
});
