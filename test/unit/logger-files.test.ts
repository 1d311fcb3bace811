import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { type FileWishes, openImportFile, recordsOf } from '../../cli/import-file.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { AutumnHour, type LineAt } from '../../telemetry/logger-files/autumn-hour.ts';
import { columnsNamed, columnsOf, quantityOf, unitIn } from '../../telemetry/logger-files/columns.ts';
import { MOST_LINE } from '../../telemetry/logger-files/lines.ts';
import { decimalMarkOf, numberReader, numbersReader } from '../../telemetry/logger-files/number-cells.ts';
import { timeCell } from '../../telemetry/logger-files/table.ts';
import { formatReader, ordersOf, timesReader } from '../../telemetry/logger-files/time-cells.ts';
import { DAVIS_TEXT, DAVIS_WEB, EM50, HOBO, METER, TOA5 } from '../services/logger-files.ts';
import { temporaryFolder } from '../services/wait.ts';

async function opened(bytes: string | Uint8Array, wishes: Partial<FileWishes> = {}) {
  const path = join(await temporaryFolder(), 'file.csv');
  await writeFile(path, bytes);
  const file = await openImportFile(path, { time: [], ...wishes });
  const reader = timesReader('UTC', 'iso');
  const isData = (cells: readonly string[]) =>
    cells.length === file.table.columns.length && reader(timeCell(cells, file.table.time)).length > 0;
  const lines: { number: number; cells: readonly string[] | undefined; why: string; part: number }[] = [];
  for await (const { number, cells, why, part } of recordsOf(file, isData)) lines.push({ number, cells, why, part });
  return { ...file, lines, names: file.table.columns.map(({ name }) => name) };
}

describe('a file of a logger', () => {
  it('may have a byte order mark, semicolons, quoted names and lines in its cells', async () => {
    const { lines, names, table } = await opened('\uFEFFZeit;"Boden; oben";N\r\n1;"2,5";"a\r\nb"\r\n3;4;c\r\n', {
      time: ['Zeit'],
    });
    expect([table.delimiter, ...names]).to.deep.equal([';', 'Zeit', 'Boden; oben', 'N']);
    expect(lines.map(({ number, cells }) => [number, cells])).to.deep.equal([
      [2, ['1', '2,5', 'a\nb']],
      [4, ['3', '4', 'c']],
    ]);
  });

  it('may be in Latin-1 or UTF-16, with a mark or without, and with one damaged byte', async () => {
    const text = 'Zeit;Bodenfeuchte (%);Temp °C\r\n2026-03-01 10:00;31,5;12,4\r\n';
    const forms: [string, Uint8Array][] = [
      ['utf-8', Buffer.from(text)],
      ['utf-8', Buffer.concat([Buffer.from(text), Buffer.from([0xff]), Buffer.from('°\r\n')])],
      ['windows-1252', Buffer.from(text, 'latin1')],
      ['utf-16le', Buffer.from(`\uFEFF${text}`, 'utf16le')],
      ['utf-16le', Buffer.from(text, 'utf16le')],
      ['utf-16be', Buffer.from(text, 'utf16le').swap16()],
    ];
    for (const [encoding, bytes] of forms) {
      const file = await opened(bytes);
      expect([file.encoding, ...file.names]).to.deep.equal([encoding, 'Zeit', 'Bodenfeuchte (%)', 'Temp °C']);
      expect(file.table.columns.map(({ unit }) => unit)).to.deep.equal([undefined, '%', '°C']);
      expect(file.lines[0]?.cells).to.deep.equal(['2026-03-01 10:00', '31,5', '12,4']);
    }
  });

  it('may begin with a sep line and with lines before its header, which it may have again where files were joined', async () => {
    const head = 'sep=;\nHOBO logger, serial 1234\n\n"Time";"M"\n;%\n';
    const { lines, names, table } = await opened(`${head}2026-03-01 10:00;31\n"Time";"M"\n2026-03-01 11:00;32\n`);
    expect(names).to.deep.equal(['Time', 'M']);
    expect(table.headLines).to.equal(5);
    expect(table.columns[1]?.unit).to.equal('%');
    expect(lines.map(({ number, cells, part }) => [number, cells?.[1], part])).to.deep.equal([
      [6, '31', 0],
      [8, '32', 1],
    ]);
    const second = await opened('a,b\nTime,M\n2026-03-01 10:00,1\n', { headerLine: 2 });
    expect(second.names).to.deep.equal(['Time', 'M']);
    const bare = await opened('2026-03-01 10:00,1\n2026-03-01 11:00,2\n');
    expect([...bare.names, ...bare.lines.map(({ number }) => number)]).to.deep.equal(['#1', '#2', 1, 2]);
    const named = await opened('x\ny,z\nWhen,M\nnever,1\n', { time: ['When'] });
    expect(named.lines.map(({ number }) => number)).to.deep.equal([4]);
  });

  it('costs one line for each quote that nobody closed, for columns too few or too many, and for an endless line', async () => {
    const rows = [
      '1,"x',
      '2,y',
      '3,a "b" c',
      '4,"z" z',
      '5',
      '6,a,b',
      '7,c,,',
      '8,"""q"""',
      `9,${'x'.repeat(MOST_LINE)}`,
    ];
    const times = [...rows, '10,"end'].map((row) => `2026-03-01 10:${row.split(',')[0]?.padStart(2, '0')},${row}`);
    const { lines } = await opened(`t,n,s\n${times.join('\n')}\n2026-03-01 11:00,11,l\n`, { time: ['t'] });
    expect(lines.map(({ number, cells, why }) => [number, cells?.[2] ?? why])).to.deep.equal([
      [2, 'a quote (") in it is not closed'],
      [3, 'y'],
      [4, 'a "b" c'],
      [5, 'column 3 goes on behind its closing quote'],
      [6, 'it has 2 columns instead of 3'],
      [7, 'it has 4 columns instead of 3'],
      [8, 'c'],
      [9, '"q"'],
      [10, `it is longer than ${MOST_LINE} characters`],
      [11, 'a quote (") in it is not closed'],
      [12, 'l'],
    ]);
  });

  it('may have two columns of one name, which are told apart by number or place', () => {
    const columns = columnsOf({ headers: ['time', 'm', 't', 'm'] });
    expect(columns.map(({ name }) => name)).to.deep.equal(['time', 'm (1)', 't', 'm (2)']);
    const places = (name: string) => columnsNamed(name, columns).map(({ place }) => place);
    expect(['m', 'm (2)', '#2', 'T', 'x', '#9'].map(places)).to.deep.equal([[1, 3], [3], [1], [2], [], []]);
  });

  it('says units in its headers in many ways, and words are none', () => {
    const headers = [
      'Temp (°C)',
      'Temp, °F (LGR S/N: 1, SEN S/N: 2)',
      'Temp - °C',
      'm³/m³ VWC',
      'Temp °C',
      'P [kPa]',
      'mm Rain',
    ];
    expect(headers.map(unitIn)).to.deep.equal(['°C', '°F', '°C', 'm³/m³', '°C', 'kPa', 'mm']);
    expect(['Time in', 'Port A', 'Moisture', 'h', '(x)', 'Temp (C)'].map(unitIn)).to.deep.equal([
      ...Array(5).fill(undefined),
      'C',
    ]);
    const quantity = (header: string) => quantityOf(columnsOf({ headers: [header] })[0] ?? expect.fail());
    expect(headers.map(quantity)).to.deep.equal(['temp', 'temp', 'temp', 'vwc', 'temp', 'p', 'rain']);
  });

  it('that is not there, or of another form than was said, is named', async () => {
    const failure = (made: Promise<unknown>) =>
      made.then(
        () => expect.fail(),
        (error: unknown) => error,
      );
    expect(await failure(openImportFile('/nowhere/file.csv', { time: [] }))).to.be.instanceOf(ConfigInvalid);
    expect(String(await failure(opened('a,b\n1,2\n'))))
      .to.include('--time')
      .and.to.include('a, b');
    expect(String(await failure(opened(HOBO, { preset: 'toa5' })))).to.include('Campbell');
    expect(String(await failure(opened(HOBO, { preset: 'x' })))).to.include('meter, em50, davis, hobo');
  });
});

describe('the form of a logger’s files', () => {
  const form = async (text: string) => {
    const { table, lines } = await opened(text);
    const units = table.columns.map(({ unit }) => unit ?? '');
    return {
      name: table.preset?.name,
      units,
      columns: table.columns,
      table,
      lines: lines.filter(({ cells }) => cells),
    };
  };

  it('of METER is found, with the ports in the names', async () => {
    const { name, columns, units, lines } = await form(METER);
    expect([name, lines.length]).to.deep.equal(['meter', 4]);
    expect(columns[4]?.name).to.equal('Port2 TEROS 21 kPa Matric Potential');
    expect(units).to.deep.equal(['', 'm³/m³', '°C', 'mS/cm', 'kPa', '°C', 'mV']);
    expect(columnsNamed('°C Soil Temperature (2)', columns).map(({ place }) => place)).to.deep.equal([5]);
  });

  it('of the EM50 is found', async () => {
    const { name, columns, units, lines } = await form(EM50);
    expect([name, lines.length, columns[4]?.name]).to.deep.equal(['em50', 3, 'Port 2 5TE m³/m³ VWC']);
    expect(units.slice(1, 4)).to.deep.equal(['m³/m³', '°C', 'mS/cm']);
    const bare = await form('Measurement Time,m3/m3 VWC,C Temp,m3/m3 VWC\n8/31/2019 11:40 PM,0.1,2,0.2\n');
    expect([bare.name, ...bare.units]).to.deep.equal(['em50', '', 'm3/m3', 'C', 'm3/m3']);
  });

  it('of Davis is found, from either program', async () => {
    const text = await form(DAVIS_TEXT);
    expect([text.name, text.table.time, text.lines.length]).to.deep.equal(['davis', [0, 1], 2]);
    expect(text.columns.slice(2, 6).map(({ name }) => name)).to.deep.equal([
      'Temp Out',
      'Hi Temp',
      'Low Temp',
      'Out Hum',
    ]);
    const web = await form(DAVIS_WEB);
    expect([web.name, ...web.units, web.lines.length]).to.deep.equal(['davis', '', 'hPa', '°F', '%', 'mm', '', 2]);
  });

  it('of HOBO is found, with the offset of its times', async () => {
    const { name, units, table, lines } = await form(HOBO);
    expect([name, table.zone, ...units.slice(0, 4)]).to.deep.equal(['hobo', '+02:00', '', '', '°C', '%']);
    expect([table.time, lines.length]).to.deep.equal([[1], 4]);
  });

  it('of Campbell is found, with the units of its third line', async () => {
    const { name, units, lines } = await form(TOA5);
    expect([name, ...units, lines.length]).to.deep.equal(['toa5', '', '', 'Deg C', 'm^3/m^3', 'Volts', 'mm', 2]);
  });
});

describe('a time in a file', () => {
  const utc = (...parts: [number, number, number, number?, number?, number?]) => {
    const [year, month, day, hour = 0, minute = 0, second = 0] = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second);
  };

  it('may be of twelve hours, with two digits for the year, and in the zone that is said', () => {
    const us = timesReader('Europe/Berlin', 'month-first');
    expect(us('7/1/2024 2:00 AM')).to.deep.equal([utc(2024, 7, 1)]);
    expect(us('07/01/24 12:30:05 pm')).to.deep.equal([utc(2024, 7, 1, 10, 30, 5)]);
    expect(us('7/1/24 12:00a')).to.deep.equal([utc(2024, 6, 30, 22)]);
    expect(us('7/1/24 12:00 p.m.')).to.deep.equal([utc(2024, 7, 1, 10)]);
    expect(['7/1/24 13:00 PM', '13/1/24', '7/32/24', '7/1/124', '24:00'].map(us)).to.deep.equal(Array(5).fill([]));
    const de = timesReader('+02:00', 'day-first');
    expect(de('01.07.2024 02:00')).to.deep.equal([utc(2024, 7, 1)]);
    expect(de('01.07.68')).to.deep.equal([utc(2068, 6, 30, 22)]);
    expect(de('01.07.69')).to.deep.equal([utc(1969, 6, 30, 22)]);
    expect(de('2024-07-01 02:00')).to.deep.equal([utc(2024, 7, 1)]);
    expect(de('2024-07-01T02:00Z')).to.deep.equal([utc(2024, 7, 1, 2)]);
    expect(timesReader('UTC', 'iso')('2024/7/1 2:00 PM')).to.deep.equal([utc(2024, 7, 1, 14)]);
  });

  it('may be ISO 8601 or a number, to the microsecond', () => {
    const iso = timesReader('UTC', 'iso');
    const micros = utc(2024, 7, 1) + 0.001;
    expect(iso('2024-07-01T00:00:00Z')).to.deep.equal([utc(2024, 7, 1)]);
    expect(iso('1719792000')).to.deep.equal([utc(2024, 7, 1)]);
    expect(iso('yesterday')).to.deep.equal([]);
    for (const text of [
      '2024-07-01T02:00:00.000001+02:00',
      '2024-07-01T00:00:00.0000019Z',
      '1719792000000.001',
      '1719792000.000001',
    ]) {
      expect(iso(text), text).to.deep.equal([micros]);
    }
  });

  it('may have the form that is said, also with a.m. or seconds that it does not say', () => {
    const berlin = formatReader('Europe/Berlin', 'DD.MM.YYYY HH:mm');
    expect(['01.07.2024 02:00', '1.7.2024 2:00', '1.7.2024 2:00:00', '1.7.2024 2:00 AM'].map(berlin)).to.deep.equal(
      Array(4).fill([utc(2024, 7, 1)]),
    );
    expect(['31.02.2024 02:00', '2024-07-01 02:00', '1.7.2024 13:00 AM'].map(berlin)).to.deep.equal(Array(3).fill([]));
    expect(() => formatReader('UTC', 'HH:mm')).to.throw('YYYY');
    expect(() => formatReader('UTC', 'DD.MM.YYYY DD')).to.throw('DD is in it twice');
    expect(formatReader('UTC', 'DD-MMM-YY hh:mm A')('01-Jul-24 12:05 am')).to.deep.equal([utc(2024, 7, 1, 0, 5)]);
    const glued = formatReader('UTC', 'DDMMYYYY');
    expect(['01072024', '172024', '1172024', '1122024'].map(glued)).to.deep.equal([
      [utc(2024, 7, 1)],
      [utc(2024, 7, 1)],
      [utc(2024, 7, 11)],
      [utc(2024, 2, 11)],
    ]);
    const odd = formatReader('UTC', '[DD] MM*(YYYY)?.ss');
    expect(odd('[1] 7*(2024)?.59')).to.deep.equal([utc(2024, 7, 1, 0, 0, 59)]);
    for (const other of ['1 7*(2024)?.59', '[1] 7(2024).59', '[1] 7*(2024)?x59', '[1] 7*(2024)?.59 ']) {
      expect(odd(other), other).to.deep.equal([]);
    }
  });

  it('says whether day or month is first, or does not', () => {
    expect(
      ['13/1/26', '1/13/26', '1/2/26 1:00 PM', '1.2.2026', '2026-01-02', '22-08-16', '12'].map(ordersOf),
    ).to.deep.equal([['day-first'], ['month-first'], ['day-first', 'month-first'], ['day-first'], [], [], []]);
  });

  it('is none where the clocks skipped it, unless it is a day', () => {
    const berlin = timesReader('Europe/Berlin', 'iso');
    const hours = ['01:59', '02:00', '02:59', '03:00'].map((time) => berlin(`2026-03-29 ${time}`).length);
    expect(hours).to.deep.equal([1, 0, 0, 1]);
    expect(berlin('2026-03-29T02:30+01:00')).to.deep.equal([utc(2026, 3, 29, 1, 30)]);
    expect(timesReader('America/Sao_Paulo', 'day-first')('4.11.2018')).to.have.length(1);
  });

  it('is two where the clocks showed it twice', () => {
    const count = (zone: string, cell: string) => timesReader(zone, 'iso')(cell).length;
    const hours = ['01:59', '02:00', '02:59', '03:00'].map((time) => count('Europe/Berlin', `2026-10-25 ${time}`));
    expect(hours).to.deep.equal([1, 2, 2, 1]);
    expect(formatReader('Europe/Berlin', 'DD.MM.YYYY HH:mm')('25.10.2026 02:30')).to.have.length(2);
    expect(count('Europe/Berlin', '2026-10-25T02:30+02:00')).to.equal(1);
    expect(count('Europe/Berlin', String(utc(2026, 10, 25, 0, 30)))).to.equal(1);
    expect(count('+02:00', '2026-10-25 02:30')).to.equal(1);
    expect(count('Australia/Lord_Howe', '2026-04-05 01:45')).to.equal(2);
  });
});

describe('a number in a file', () => {
  it('has a point or a comma, and what may be either is none', () => {
    const plain = ['1', '-2.5', '.5', '1e3', '1,031.5', '1,5', '0x10', '', 'NaN'];
    expect(plain.map(numberReader(false))).to.deep.equal([1, -2.5, 0.5, 1000, 1031.5, ...Array(4).fill(undefined)]);
    expect(['1,5', '1.031,5', '0.300', '2.5', '1.031', '1.2,5'].map(numberReader(true))).to.deep.equal([
      1.5,
      1031.5,
      0.3,
      2.5,
      undefined,
      undefined,
    ]);
    expect(['1,5', '0.300', '1.031', '1.031,5', '1,031.5', '5', '1.2.3', 'x,5'].map(decimalMarkOf)).to.deep.equal([
      ',',
      '.',
      undefined,
      ',',
      '.',
      undefined,
      ',',
      undefined,
    ]);
  });

  it('is missing where the file says so, and in the unit that it is written with', () => {
    const read = numbersReader({ comma: false, missing: ['-9999', 'bad'], unit: '%', compass: true });
    expect(['', '---', 'NaN', '#N/A', '-9999.0', 'BAD'].map(read)).to.deep.equal(Array(6).fill('missing'));
    expect(['31 %', '0.31 m³/m³', 'NNW', '31 °C', '31 apples'].map(read)).to.deep.equal([
      31,
      31,
      337.5,
      undefined,
      undefined,
    ]);
    expect(numbersReader({ comma: false })('-9999')).to.equal(-9999);
    expect(numbersReader({ comma: false, missing: ['', 'x'] })('0')).to.equal(0);
  });
});

describe('lines of the hour that clocks show twice', () => {
  const NIGHT = Date.UTC(2026, 9, 25);
  /** Minutes after midnight by Berlin's clocks, with the value; `n` begins another joined file. */
  function placed(...minutes: (number | readonly [number, number] | 'n')[]): (number | undefined)[] {
    const hour = new AutumnHour<LineAt>();
    let part = 0;
    const lines = minutes.flatMap((one, i) => {
      if (one === 'n') part++;
      if (one === 'n') return [];
      const [minute, value] = typeof one === 'number' ? [one, i] : one;
      const isTwice = minute >= 120 && minute < 180;
      const first = NIGHT + (minute - (minute < 180 ? 120 : 60)) * 60_000;
      return hour.add({
        sensor: 's1',
        part,
        first,
        second: isTwice ? first + 3_600_000 : undefined,
        values: { m: value },
      });
    });
    return [...lines, ...hour.end()].map(({ ts }) => (ts === undefined ? undefined : (ts - NIGHT) / 60_000));
  }

  it('are told apart by their order, from the oldest to the newest and the other way', () => {
    expect(placed(90, 120, 150, 120, 150, 180)).to.deep.equal([-30, 0, 30, 60, 90, 120]);
    expect(placed(180, 150, 120, 150, 120, 90)).to.deep.equal([120, 90, 60, 30, 0, -30]);
    expect(placed(105, 120, 165, 150, 195)).to.deep.equal([-15, 0, 45, 90, 135]);
    expect(placed(60, 120, 120, 180), 'one an hour').to.deep.equal([-60, 0, 60, 120]);
    expect(placed(90, 120, 150), 'the file ends in the first').to.deep.equal([-30, 0, 30]);
    expect(placed(160, 170, 180), 'the file begins in the second').to.deep.equal([100, 110, 120]);
  });

  it('are told apart in each of several joined files, and where those overlap', () => {
    expect(placed(90, 120, 150, 'n', 120, 150, 120, 150, 180)).to.deep.equal([-30, 0, 30, 0, 30, 60, 90, 120]);
    expect(placed(90, 120, 150, 120, 180, 90, 120, 150, 120, 180)).to.deep.equal([
      -30, 0, 30, 60, 120, -30, 0, 30, 60, 120,
    ]);
    const overlap = placed(90, [120, 1], [150, 2], [120, 1], [150, 2], [165, 3], [120, 4], 180);
    expect(overlap).to.deep.equal([-30, 0, 30, 0, 30, 45, 60, 120]);
  });

  it('are not told apart in no order', () => {
    expect(placed(90, 130, 120, 150, 125, 180)).to.deep.equal([-30, ...Array(4).fill(undefined), 120]);
    const swapped = placed(115, 120, 125, 130, 140, 135, 145, 150, 155, 185);
    expect(swapped).to.deep.equal([-5, ...Array(8).fill(undefined), 125]);
  });

  it('are not held without end: from 20,000 on their order is not looked at', () => {
    const hour = new AutumnHour<LineAt>();
    let out = 0;
    for (let i = 0; i < 50_000; i++) {
      const first = NIGHT + i;
      out += hour.add({ sensor: 's1', part: 0, first, second: first + 3_600_000, values: { m: i } }).length;
    }
    expect(out).to.equal(50_000);
    expect(hour.end()).to.deep.equal([]);
  });
});
