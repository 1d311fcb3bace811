import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHistogram } from 'node:perf_hooks';
import { expect } from 'chai';
import fc from 'fast-check';
import { type Promised, PromiseLines, readPromises } from '../../simulators/load/acknowledged-readings.ts';
import { Numbering, Payloads } from '../../simulators/load/messages.ts';
import { completePlan, type LoadPlan, partOf } from '../../simulators/load/plan.ts';
import { generatorOf } from '../../simulators/load/report.ts';
import { Schedule } from '../../simulators/load/schedule.ts';
import { decodePublish } from '../../telemetry/formats/formats.ts';
import { plainRules } from '../../telemetry/sensor-rules.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { temporaryFolder } from '../services/wait.ts';

describe('a load’s schedule', () => {
  it('makes a publish due exactly when its time has come, through ramps and changes of rate', () => {
    const rate = fc.integer({ min: 1, max: 50_000 });
    const changes = fc.array(fc.tuple(fc.integer({ min: 1, max: 5_000 }), rate), { maxLength: 4 });
    fc.assert(
      fc.property(rate, fc.integer({ min: 0, max: 5_000 }), changes, (first, ramp, later) => {
        const schedule = new Schedule(first, ramp);
        let at = ramp;
        for (const [after, next] of later) {
          at += after;
          schedule.change(at, next);
        }
        const all = schedule.dueBy(at + 1_000);
        let last = 0;
        for (let k = 0; k < all; k += Math.max(1, Math.floor(all / 200))) {
          const due = schedule.dueAt(k);
          expect(due).to.be.at.least(last);
          expect(schedule.dueBy(due + 0.001)).to.be.at.least(k + 1);
          expect(schedule.dueBy(due - 0.01)).to.be.at.most(k);
          last = due;
        }
      }),
      { numRuns: 50 },
    );
  });

  it('has as many due in a second as its rate, and half of that over a ramp', () => {
    const schedule = new Schedule(1_000, 2_000);
    expect(schedule.dueBy(2_000)).to.equal(1_000);
    expect(schedule.dueBy(3_000)).to.equal(2_000);
    schedule.change(3_000, 50);
    expect(schedule.dueBy(5_000)).to.equal(2_100);
    expect(schedule.dueAt(1_999)).to.be.closeTo(3_000, 0.001);
    expect(schedule.dueAt(2_099)).to.be.closeTo(5_000, 0.001);
    expect(schedule.dueBy(-1)).to.equal(0);
  });
});

describe('a load’s readings', () => {
  const sensors = ['a', 'b'].map((sensor) => ({ farm: 'north', sensor, topic: sensor }));

  it('are numbered for each sensor, with the times that were planned', () => {
    const numbering = new Numbering(sensors, 5);
    const taken = Array.from({ length: 4 }, () => numbering.take(0, { first: 1_000, step: 10 }));
    expect(taken.map(({ sensor, seq, ts }) => [sensor, seq, ts])).to.deep.equal([
      [0, 5, 1_040],
      [1, 5, 1_040],
      [0, 6, 1_050],
      [1, 6, 1_050],
    ]);
  });

  it('never repeat a time of a sensor when they take the time at which they were due', () => {
    const numbering = new Numbering(sensors.slice(0, 1), 1);
    const due = performance.now();
    const times = Array.from({ length: 3 }, () => numbering.take(due, 'due').ts);
    expect(times[0]).to.equal(Math.round(performance.timeOrigin + due));
    expect(times).to.deep.equal([0, 1, 2].map((more) => (times[0] ?? 0) + more));
  });

  it('are native payloads', () => {
    const payload = Buffer.from(new Payloads(12).of(42, 1_764_000_000_000));
    const publish = { farm: 'north', field: 'f', sensor: 'a', topic: telemetryTopic('north', 'a'), payload };
    const { readings, refused } = decodePublish({ ...publish, received: 1_764_000_000_001 }, plainRules());
    expect(refused).to.deep.equal([]);
    expect(readings).to.have.length(1);
    expect(Object.keys(readings[0]?.values ?? {})).to.have.length(13);
    expect(readings[0]).to.deep.include({ sensor: 'a', ts: 1_764_000_000_000 });
    expect(readings[0]?.values.seq).to.equal(42);
  });
});

describe('a load’s plan', () => {
  const plan: LoadPlan = {
    url: 'mqtt://127.0.0.1:1883',
    connections: ['a', 'b', 'c'].map((clientId) => ({
      clientId,
      sensors: [{ farm: 'f', sensor: clientId, topic: clientId }],
    })),
    pace: { loop: 'open', rate: 300 },
    total: 100,
    qos: 1,
    inFlight: 10,
    times: { are: 'due' },
  };

  it('is shared out over threads without a rest', () => {
    const full = completePlan({ ...plan, threads: 2 });
    const parts = [0, 1].map((i) => partOf(full, i, 2));
    expect(parts.flatMap(({ connections }) => connections.map(({ clientId }) => clientId)).sort()).to.deep.equal([
      'a',
      'b',
      'c',
    ]);
    expect(parts.map(({ total }) => total)).to.deep.equal([50, 50]);
    expect(parts.map(({ pace }) => (pace.loop === 'open' ? pace.rate : 0))).to.deep.equal([200, 100]);
  });

  it('has no more threads than connections', () => {
    expect(completePlan({ ...plan, threads: 8 }).threads).to.equal(3);
  });

  it('that cannot be run is refused with what is wrong', () => {
    const wrong: [Partial<LoadPlan>, RegExp][] = [
      [{ url: 'http://127.0.0.1' }, /mqtt:/],
      [{ connections: [] }, /at least one connection/],
      [{ connections: [{ clientId: 'x', sensors: [] }] }, /x has no sensor/],
      [{ inFlight: 0 }, /inFlight/],
      [{ inFlight: 70_000 }, /inFlight/],
      [{ threads: 1.5 }, /threads/],
      [{ pace: { loop: 'open', rate: 0 } }, /rate/],
      [{ pace: { loop: 'open', rate: Number.NaN } }, /rate/],
      [{ keepaliveS: 0 }, /keepalive/],
    ];
    for (const [change, message] of wrong) {
      expect(() => completePlan({ ...plan, ...change })).to.throw(RangeError, message);
    }
  });
});

describe('a promise file', () => {
  async function written(...rounds: Promised[][]): Promise<string> {
    const path = join(await temporaryFolder(), 'promises.ndjson');
    const lines = new PromiseLines();
    for (const round of rounds) {
      for (const promised of round) lines.add(promised);
      await appendFile(path, lines.take());
    }
    return path;
  }
  const sorted = (all: Promised[]) =>
    [...all].sort((a, b) => a.sensor.localeCompare(b.sensor) || a.seq - b.seq || a.ts - b.ts);

  it('gives back what was promised, whatever came in which order', async () => {
    const promised = fc.record({
      farm: fc.constant('north'),
      sensor: fc.constantFrom('a', 'b'),
      seq: fc.integer({ min: 1, max: 6 }),
      ts: fc.integer({ min: 1, max: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(promised, { maxLength: 30 }),
        fc.array(promised, { maxLength: 30 }),
        async (one, two) => {
          const read: Promised[] = [];
          for await (const entry of readPromises(await written(one, two))) read.push(entry);
          expect(sorted(read)).to.deep.equal(sorted([...one, ...two]));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('needs one line for readings that follow each other', async () => {
    const many = Array.from({ length: 1_000 }, (_, i) => ({ farm: 'north', sensor: 'a', seq: i + 1, ts: 50 + i * 7 }));
    const lines = new PromiseLines();
    for (const promised of many) lines.add(promised);
    expect(lines.take()).to.equal('{"farm":"north","sensor":"a","seq":1,"ts":50,"count":1000,"step":7}\n');
  });

  it('may end in the middle of a line, and nowhere else', async () => {
    const folder = await temporaryFolder();
    const good = '{"farm":"north","sensor":"a","seq":1,"ts":5,"count":1,"step":0}\n';
    await writeFile(join(folder, 'cut'), `${good}{"farm":"nor`);
    await writeFile(join(folder, 'bad'), `{"farm":"nor\n${good}`);
    const read: Promised[] = [];
    for await (const entry of readPromises(join(folder, 'cut'))) read.push(entry);
    expect(read).to.have.length(1);
    let message = '';
    try {
      for await (const _ of readPromises(join(folder, 'bad')));
    } catch (error) {
      message = String(error);
    }
    expect(message).to.include('bad:1 ');
  });
});

describe('what a generator says of itself', () => {
  const lateness = (ms: number) => {
    const histogram = createHistogram();
    for (let i = 0; i < 100; i++) histogram.record(ms * 1_000);
    return histogram;
  };

  it('is that it was the limit when it was busy all the time, late or not', () => {
    for (const ms of [1, 500]) {
      const told = generatorOf(2, 0.99, lateness(ms), 'open');
      expect(told.wasTheLimit).to.equal(true);
      expect(told.statement).to.match(/was the limit, not the receiver.*99 % of the time/);
    }
  });

  it('is that it was late when it had time and publishes left it late all the same', () => {
    const told = generatorOf(1, 0.2, lateness(100), 'open');
    expect(told.wasTheLimit).to.equal(true);
    expect(told.statement).to.match(/was late, .*20 % of the time, .*within 100\.\d ms/);
  });

  it('is that it was not the limit otherwise; with a closed loop nothing is due, and so nothing late', () => {
    for (const told of [generatorOf(1, 0.5, lateness(1), 'open'), generatorOf(1, 0.5, lateness(100), 'closed')]) {
      expect(told.wasTheLimit).to.equal(false);
      expect(told.statement).to.include('was not the limit');
    }
  });
});
