import { expect } from 'chai';
import pino from 'pino';
import { RefusalBook, type RefusalNote } from '../../backbone/events/refusal-book.ts';
import { type Log, REFUSALS_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { LogUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { decodeEvent } from '../../telemetry/event.ts';
import type { Noted } from '../../telemetry/noted.ts';
import { temporaryFolder, until } from '../services/wait.ts';

/** So long that no minute ends by itself in a test. */
const LONG_MS = 3_600_000;

describe('the log of refusals', () => {
  let log: Log;

  beforeEach(async () => {
    log = await openFileLog(await temporaryFolder(), 'refusals', REFUSALS_LOG_LIMITS);
  });

  afterEach(() => log.close());

  async function recorded(): Promise<Noted[]> {
    const entries = await log.read('first', 10_000);
    return entries.flatMap(({ body }) => {
      const event = decodeEvent(body);
      return event === undefined || event.kind === 'overwritten' || event.kind === 'registry_changed' ? [] : [event];
    });
  }

  function refusal(over: Partial<RefusalNote> = {}): RefusalNote {
    return { kind: 'mqtt_refused', from: '10.0.0.7', why: 'wrong_password', who: 'p7', ...over };
  }

  function book(over: Partial<ConstructorParameters<typeof RefusalBook>[0]> = {}): RefusalBook {
    return new RefusalBook({ refusals: log, logger: silent, minuteMs: LONG_MS, ...over });
  }

  it('has the first of an address, name and reason at once, and the others of the minute in one entry', async () => {
    const refusals = book();
    for (let i = 0; i < 1_000; i++) refusals.note(refusal());
    refusals.note(refusal({ who: 'p8' }));
    await until('two are written', async () => (await recorded()).length === 2);
    await refusals.stop();
    const found = await recorded();
    expect(found.map(({ who, count }) => [who, count])).to.deep.equal([
      ['p7', 1],
      ['p8', 1],
      ['p7', 999],
    ]);
    expect(found[0]).to.include({ kind: 'mqtt_refused', from: '10.0.0.7', why: 'wrong_password', farm: '' });
  });

  it('has one entry a minute of what goes on, and none of what has ended', async () => {
    const refusals = book({ minuteMs: 50 });
    const timer = setInterval(() => {
      for (let i = 0; i < 5; i++) refusals.note(refusal());
    }, 1);
    try {
      await until('three minutes are told', async () => (await recorded()).length >= 4);
    } finally {
      clearInterval(timer);
    }
    await refusals.stop();
    const [first, ...others] = await recorded();
    expect(first?.count).to.equal(1);
    // Only the very first was told at once: all that came together are in one entry.
    for (const { count } of others) expect(count).to.be.at.least(4);
    const sum = others.reduce((so, { count }) => so + count, 1);
    expect(sum).to.equal(refusals.counters.refused);
  });

  it('has few of one address, however many names it tries, and still those of others', async () => {
    const refusals = book();
    for (let i = 0; i < 5_000; i++) refusals.note(refusal({ from: `2001:db8::${(i % 9) + 1}`, who: `x${i}` }));
    refusals.note(refusal({ from: '10.0.0.9', who: 'north/p1', farm: 'north', sensor: 'p1', isKnown: true }));
    await refusals.stop();
    const found = await recorded();
    expect(found.filter(({ who }) => who.startsWith('x'))).to.have.length(10);
    expect(found.find(({ sensor }) => sensor === 'p1')).to.include({ from: '10.0.0.9', farm: 'north' });
    expect(found.find(({ why }) => why === 'many')).to.include({ count: 4_990, from: '2001:db8::2' });
  });

  it('has room for sensors of the registry when strangers come from everywhere', async () => {
    const refusals = book();
    for (let i = 0; i < 5_000; i++) refusals.note(refusal({ from: `10.${i >> 8}.${i & 255}.1`, who: `x${i}` }));
    for (let i = 0; i < 50; i++) refusals.note(refusal({ from: '192.0.2.1', who: `p${i}`, isKnown: true }));
    await refusals.stop();
    const found = await recorded();
    expect(found.filter(({ who }) => who.startsWith('x'))).to.have.length(60);
    expect(found.filter(({ who }) => who.startsWith('p'))).to.have.length(50);
    expect(found.find(({ why }) => why === 'many')).to.include({ count: 4_940, from: '' });
  });

  it('has room for other farms when all sensors of one are refused, from wherever they come', async () => {
    const refusals = book();
    const known = (farm: string, i: number) =>
      refusal({ from: `10.0.${i}.1`, who: `${farm}/p${i}`, farm, isKnown: true });
    for (let i = 0; i < 200; i++) refusals.note(known('north', i));
    for (let i = 0; i < 50; i++) refusals.note(known('south', i));
    await refusals.stop();
    const found = await recorded();
    const of = (farm: string) => found.filter((one) => one.farm === farm && one.why !== 'many');
    expect([of('north').length, of('south').length]).to.deep.equal([60, 50]);
    expect(found.filter(({ why }) => why === 'many').map(({ farm, count, from }) => [farm, count, from])).to.deep.equal(
      [['north', 140, '']],
    );
  });

  it('writes a line each, with event, address and reason before all that is foreign', async () => {
    const lines: string[] = [];
    const refusals = book({ logger: pino({ level: 'info' }, { write: (line) => void lines.push(line) }) });
    refusals.note(refusal({ from: '::ffff:10.0.0.7', who: 'a","from":"1.2.3.4","why":"x' }));
    for (let i = 0; i < 100; i++) refusals.note(refusal());
    await refusals.stop();
    expect(lines).to.have.length(3);
    expect(lines[0]).to.include('"event":"mqtt_refused","from":"10.0.0.7","why":"wrong_password","count":1,');
    expect(lines[0]).to.not.include('"from":"1.2.3.4"');
    expect(lines[2]).to.include('"count":99,"who":"p7"');
  });

  it('holds nobody up while its log is away, and counts what finds no room', async () => {
    const metrics = new Metrics();
    const away: Log = new Proxy(log, {
      get: (target, key) =>
        key === 'append' ? () => Promise.reject(new LogUnavailable('away')) : Reflect.get(target, key),
    });
    const refusals = book({ refusals: away, metrics });
    for (let i = 0; i < 100; i++) refusals.note(refusal({ from: `10.0.1.${i}` }));
    await refusals.stop();
    const text = await metrics.text();
    expect(text).to.match(/^loam_refusals_total\{event="refused"\} 100$/m);
    expect(text).to.match(/^loam_refusals_total\{event="lost"\} 61$/m);
    expect(text).to.match(/^loam_refusals_total\{event="written"\} 0$/m);
  });
});
