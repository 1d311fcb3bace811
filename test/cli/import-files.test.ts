import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { importCommand } from '../../cli/import.ts';
import { loadConfig } from '../../core/config.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { adminToken } from '../../roles/data-folder.ts';
import { decodeBatch } from '../../telemetry/batch.ts';
import { decodeImported } from '../../telemetry/imported.ts';
import { Valve } from '../broker/harness.ts';
import { LoamProcess } from '../e2e/loam-process.ts';
import { Place } from '../gateway/harness.ts';
import { DAVIS_TEXT, DAVIS_WEB, EM50, HOBO, METER, TOA5 } from '../services/logger-files.ts';
import { until } from '../services/wait.ts';

type Stored = readonly [sensor: string, at: string, values: Readonly<Record<string, number>>];

/** A Loam with farm `north` in Berlin and its sensors s1 and s2, for one import after the other. */
class Imports {
  readonly place: Place;
  readonly queue: Valve;
  readonly token: string;
  url = '';

  private constructor(place: Place, token: string) {
    this.place = place;
    this.queue = new Valve(place.queue);
    this.token = token;
  }

  static async open(): Promise<Imports> {
    const place = await Place.open();
    const imports = new Imports(place, await adminToken(loadConfig({ data: place.folder }, {})));
    imports.url = (await place.gateway({ queue: imports.queue, adminToken: imports.token })).url;
    return imports;
  }

  get file(): string {
    return join(this.place.folder, 'file.csv');
  }

  /** Imports a file: how it ended, what came into the queue, in order of time, and what was refused. */
  async of(content: string | Uint8Array, options: Record<string, unknown> = {}) {
    const report = join(this.place.folder, 'refused.csv');
    await writeFile(this.file, content);
    const where = { data: this.place.folder, url: this.url, farm: 'north', report };
    const sensor = 'sensorColumn' in options ? {} : { sensor: 's1' };
    const ended = await importCommand(this.file, { ...where, ...sensor, ...options });
    const refused = (await readFile(report, 'utf8')).trim().split('\n').slice(1);
    return { ended, stored: await this.taken(), refused };
  }

  /** Why an import was not begun. */
  async refusal(content: string, options: Record<string, unknown>): Promise<string> {
    const error: unknown = await this.of(content, options).then(
      () => 'begun',
      (caught: unknown) => caught,
    );
    expect(error).to.be.instanceOf(ConfigInvalid);
    return String(error);
  }

  async taken(): Promise<Stored[]> {
    const stored: (Stored & { 1: string })[] = [];
    const consumer = await this.place.queue.consume(
      async ({ body }) => {
        for (const { sensor, ts, values } of decodeBatch(body).publishes.flatMap(
          (one) => decodeImported(one).readings,
        )) {
          stored.push([sensor, new Date(ts).toISOString().slice(0, 19), values]);
        }
      },
      { prefetch: 1 },
    );
    await until('the queue is empty', async () => (await this.place.queue.depth()) === 0);
    await consumer.stop();
    return stored.sort((a, b) => a[1].localeCompare(b[1]) || a[0].localeCompare(b[0]));
  }

  start(...more: string[]): LoamProcess {
    const env = { LOAM_DATA: this.place.folder, LOAM_URL: this.url };
    return new LoamProcess(['import', this.file, '--farm', 'north', '--sensor', 's1', ...more], env, 'pipe');
  }
}

describe('loam import of what loggers write', function () {
  this.timeout(60_000);
  let imports: Imports;
  before(async () => {
    imports = await Imports.open();
  });
  after(() => imports.place.close());

  it('takes METER’s and the EM50’s files, each port for its sensor', async () => {
    const meter = await imports.of(METER, {
      map: ['m³/m³ Water Content=soil_moisture', '#3=soil_temperature', '#5=s2/soil_water_potential'],
    });
    expect(meter.refused).to.deep.equal([]);
    expect(meter.stored.slice(0, 3)).to.deep.equal([
      ['s1', '2026-04-03T21:45:00', { soil_moisture: 25.4, soil_temperature: 12.1 }],
      ['s2', '2026-04-03T21:45:00', { soil_water_potential: -33.2 }],
      ['s1', '2026-04-03T22:00:00', { soil_moisture: 25.3, soil_temperature: 12 }],
    ]);
    expect(meter.stored.map(([sensor]) => sensor).join(' ')).to.equal('s1 s2 s1 s2 s2 s1 s2');
    const em50 = await imports.of(EM50, { map: ['m³/m³ VWC (2)=soil_moisture', '°C Temp (2)=soil_temperature'] });
    expect(em50.stored).to.deep.equal([
      ['s1', '2019-08-31T21:40:00', { soil_moisture: 9.7, soil_temperature: 15.2 }],
      ['s1', '2019-08-31T22:00:00', { soil_moisture: 9.8, soil_temperature: 15 }],
    ]);
    expect(await imports.refusal(EM50, {})).to.include('both mapped to soil_moisture');
  });

  it('takes Davis’, HOBO’s and Campbell’s files by what their headers say', async () => {
    const text = await imports.of(DAVIS_TEXT);
    expect(text.stored).to.deep.equal([
      [
        's1',
        '2026-03-29T21:45:00',
        {
          air_temperature: 9.4,
          air_humidity: 81,
          dew_point: 6.3,
          wind_speed: 1.8,
          wind_direction: 337.5,
          wind_gust: 4.5,
          air_pressure: 1013.2,
          rain: 0.2,
          solar_radiation: 0,
        },
      ],
      [
        's1',
        '2026-03-29T22:00:00',
        {
          air_temperature: 9.3,
          air_humidity: 82,
          dew_point: 6.4,
          wind_speed: 0,
          wind_gust: 3.1,
          air_pressure: 1013,
          rain: 0,
        },
      ],
    ]);
    const web = await imports.of(DAVIS_WEB);
    expect(web.stored.map(([, at, values]) => [at, values.air_temperature, values.wind_direction])).to.deep.equal([
      ['2026-04-12T22:00:00', 10, 270],
      ['2026-04-12T22:15:00', 11, undefined],
    ]);
    const hobo = await imports.of(HOBO, {
      map: ['Temp, °C (LGR S/N: 10755220, SEN S/N: 10755220, LBL: soil)=soil_temperature'],
    });
    expect(hobo.stored).to.deep.equal([
      ['s1', '2026-03-31T22:30:00', { soil_temperature: 11.053 }],
      ['s1', '2026-04-01T11:00:00', { soil_temperature: 12.304 }],
    ]);
    const campbell = await imports.of(TOA5, { zone: 'UTC', map: ['VW=soil_moisture', 'AirTC_Avg=air_temperature'] });
    expect(campbell.stored).to.deep.equal([
      ['s1', '2026-04-01T00:00:00', { soil_moisture: 25.1, air_temperature: 11.2 }],
      ['s1', '2026-04-01T00:30:00', { soil_moisture: 25 }],
    ]);
    const ended = [text, web, hobo, campbell].map((one) => [one.ended, ...one.refused]);
    expect(ended).to.deep.equal(Array(4).fill([0]));
  });

  it('tells two columns of one name apart, and says how', async () => {
    const file =
      'Measurement Time,m3/m3 VWC,C Temp,m3/m3 VWC,C Temp\n2026-01-01T00:00:00Z,0.300,20.0,0.100,5.0\n2026-01-01T01:00:00Z,0.310,21.0,0.110,6.0\n';
    const options = { time: 'Measurement Time', map: ['m3/m3 VWC=soil_moisture'], unit: ['soil_moisture=m3/m3'] };
    expect(await imports.refusal(file, options)).to.include('"m3/m3 VWC (1)" or #2, "m3/m3 VWC (2)" or #4');
    for (const name of ['m3/m3 VWC (2)', '#4']) {
      const { stored } = await imports.of(file, { ...options, map: [`${name}=soil_moisture`] });
      expect(stored.map(([, , values]) => values)).to.deep.equal([{ soil_moisture: 10 }, { soil_moisture: 11 }]);
    }
  });

  it('takes Latin-1, UTF-16, a sep line, decimal commas, lines above the header, AM and PM, and a date with its time beside it', async () => {
    const german = 'Zeit;Bodenfeuchte (%);Temp °C\r\n01.03.2026 10:00;31,5;12,4\r\n01.03.2026 10:10;"1.031,5";12,5\r\n';
    const named = {
      time: 'Zeit',
      timeFormat: 'DD.MM.YYYY HH:mm',
      map: ['Bodenfeuchte (%)=note', 'Temp °C=air_temperature'],
    };
    const forms = [
      `\uFEFF${german}`,
      Buffer.from(german, 'latin1'),
      Buffer.from(`\uFEFF${german}`, 'utf16le'),
      `sep=;\r\n${german}`,
    ];
    for (const form of forms) {
      expect((await imports.of(form, named)).stored).to.deep.equal([
        ['s1', '2026-03-01T09:00:00', { note: 31.5, air_temperature: 12.4 }],
        ['s1', '2026-03-01T09:10:00', { note: 1031.5, air_temperature: 12.5 }],
      ]);
    }
    const times = async (file: string, options: Record<string, unknown>) =>
      (await imports.of(file, options)).stored.map(([, at]) => at.slice(5, 16)).join(' ');
    const us = 'Time,M\r\n3/1/2026 1:05 PM,31\r\n3/1/2026 10:05:30 AM,32\r\n';
    const map = ['M=moisture'];
    expect(await times(us, { time: 'Time', timeFormat: 'MM/DD/YYYY HH:mm', map })).to.equal('03-01T09:05 03-01T12:05');
    expect(await imports.refusal(us, { time: 'Time', map })).to.include(
      'whether day or month is first in "3/1/2026 1:05 PM"',
    );
    const above = 'HOBO logger, serial 1234\nTitle: x\n"Time","M"\n2026-03-01 10:00,31\n';
    expect(await times(above, { time: 'Time', map })).to.equal('03-01T09:00');
    expect(await times('Date,Clock,M\n2026-03-01,10:00,31\n', { time: 'Date', map })).to.equal('03-01T09:00');
    expect(await times('M,Clock,Date\n31,1:05 PM,13/3/26\n', { time: 'Date', clock: 'Clock', map })).to.equal(
      '03-13T12:05',
    );
  });

  it('passes over what says that there is no value, and a line with a stray quote costs itself', async () => {
    const rows = [
      '11:00,NaN,12',
      '11:10,---,12',
      '11:20,-9999,12',
      '11:30,"31 %",12',
      '11:40,#N/A,12',
      '11:50,"30,12',
      '12:00,30,12',
    ];
    const file = `Time,M,T\n${rows.map((row) => `2026-03-01 ${row}`).join('\n')}\n`;
    const map = ['M=moisture', 'T=air_temperature'];
    const { stored, refused } = await imports.of(file, { time: 'Time', map, missing: ['-9999'] });
    expect(stored.map(([, , { moisture, air_temperature }]) => [moisture, air_temperature])).to.deep.equal([
      ...Array(3).fill([undefined, 12]),
      [31, 12],
      [undefined, 12],
      [30, 12],
    ]);
    expect(refused).to.have.length(1);
    expect(refused[0]).to.match(/^7,line,not_csv,.*not closed/);
  });

  it('reads the sensor of each line from a column, and names those that nobody registered', async () => {
    const nodes = ['Row 1', 's2', 'Row 9', 's2'];
    const file = `node;time;m\n${nodes.map((node, i) => `${node};2026-03-01 1${i}:00;2${i}`).join('\n')}\n`;
    const options = { sensorColumn: 'node', sensorName: ['Row 1=s1'], map: ['m=moisture'] };
    const { stored, refused, ended } = await imports.of(file, options);
    expect(ended).to.equal(1);
    expect(stored.map(([sensor, , { moisture }]) => [sensor, moisture])).to.deep.equal([
      ['s1', 20],
      ['s2', 21],
      ['s2', 23],
    ]);
    expect(refused[0])
      .to.match(/^4,node,unknown_sensor,/)
      .and.to.include('Row 9');
  });

  it('says when the unit of a header is none of the metric', async () => {
    const file = 'time,M (mV)\n2026-03-01 10:00,31\n';
    expect(await imports.refusal(file, { map: ['M (mV)=moisture'] })).to.include('is in mV by its header');
    expect((await imports.of(file, { map: ['M (mV)=moisture'], unit: ['moisture=%'] })).ended).to.equal(0);
  });

  it('shows before it stores: the columns, the first rows, and what would be overwritten', async () => {
    const at = (minute: number) => Date.UTC(2026, 2, 1, 9, minute);
    const stored = [0, 1].map((minute) => ({
      farm: 'north',
      sensor: 's1',
      ts: at(minute),
      received: at(minute),
      values: { air_temperature: 10 },
    }));
    await imports.place.store.write(stored);
    await writeFile(
      imports.file,
      'time;T (°F);T (°F)\n2026-03-01 10:00;50,0;1\n2026-03-01 10:01;51,8;1\n2026-03-01 10:02;never;1\n',
    );
    const running = imports.start('--preview', '--map', 'T (°F) (1)=air_temperature');
    expect(await running.ended).to.equal(1);
    expect(running.stdout.split('\n').slice(0, 9)).to.deep.equal([
      'utf-8, ";" between columns, data from line 2 on',
      'decimals follow ",", a time such as 2026-03-31 14:05 or Unix seconds or ms; for others, --time-format, in Europe/Berlin',
      '#1\ttime\ttime of measurement',
      '#2\tT (°F) (1)\tair_temperature of s1, from °F to °C',
      '#3\tT (°F) (2)\tleft out',
      'line 2\t2026-03-01T10:00:00.000+01:00\ts1\tair_temperature 10 °C',
      'line 3\t2026-03-01T10:01:00.000+01:00\ts1\tair_temperature 11 °C',
      '2 lines would be imported for s1, 1 refusals',
      '1 values would overwrite others, 1 are stored already as they are',
    ]);
    expect(running.stderr).to.include('line 4: T (°F) (1): "never" is no number');
    expect(await imports.place.queue.depth()).to.equal(0);
  });

  it('goes on where it was broken off, with the report that it had', async () => {
    const rows = Array.from({ length: 5_000 }, (_, i) => `${Date.UTC(2026, 0, 1) + i * 60_000},${i === 10 ? 'x' : 30}`);
    await writeFile(imports.file, `time,moisture\n${rows.join('\n')}\n`);
    const report = join(imports.place.folder, 'refused.csv');
    imports.queue.hold();
    const first = imports.start('--report', report);
    const held = () => until('a piece is on its way', () => imports.queue.heldNow === 1, { timeoutMs: 30_000 });
    await held();
    imports.queue.letGoOldest();
    await held();
    await first.stop('SIGKILL');
    imports.queue.letGo();
    const before = (await imports.taken()).length;
    expect(before).to.be.within(2_000, 4_000);
    expect(existsSync(`${imports.file}.loam-import`)).to.equal(true);
    const second = imports.start('--report', report);
    expect(await second.ended).to.equal(1);
    expect(second.stderr).to.include('goes on where it was broken off: 2000 lines');
    expect(second.stdout).to.include('4999 lines imported for s1, 1 refusals');
    // The piece that was under way when the command was killed may have come in since: then its lines come twice, as the same readings.
    expect(before + (await imports.taken()).length).to.be.oneOf([4_999, 6_999]);
    expect((await readFile(report, 'utf8')).match(/not_a_number/g)).to.have.length(1);
    expect(existsSync(`${imports.file}.loam-import`)).to.equal(false);
  });

  it('goes on when the gateway has started anew', async () => {
    const [gateway] = imports.place.gateways.splice(0);
    let port = gateway?.port ?? 0;
    // Its address stays the same: something that passes connections on to whichever gateway there is.
    let refused = 0;
    const address = createServer((socket) => {
      if (port === 0) {
        refused++;
        socket.destroy();
      } else
        socket
          .pipe(connect(port, '127.0.0.1'))
          .on('error', () => socket.destroy())
          .pipe(socket)
          .on('error', () => {});
    }).listen(0, '127.0.0.1');
    await once(address, 'listening');
    const at = address.address();
    imports.url = `http://127.0.0.1:${typeof at === 'object' && at !== null ? at.port : 0}`;
    imports.queue.refuse('full');
    const tried = imports.queue.tried;
    const running = imports.of('time,moisture\n2026-03-01 10:00,30\n', { map: ['moisture=moisture'] });
    await until('a piece was refused', () => imports.queue.tried > tried, { timeoutMs: 30_000 });
    port = 0;
    await gateway?.stop(5_000);
    await until('it has asked in vain', () => refused > 0, { timeoutMs: 30_000 });
    imports.queue.accept();
    port = (await imports.place.gateway({ queue: imports.queue, adminToken: imports.token })).port;
    const { ended, stored } = await running;
    address.close();
    expect([ended, stored]).to.deep.equal([0, [['s1', '2026-03-01T09:00:00', { moisture: 30 }]]]);
  });
});
