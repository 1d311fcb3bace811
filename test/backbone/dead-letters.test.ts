import { expect } from 'chai';
import { DeadLetters, type DeadLettersOptions } from '../../backbone/dead-letters/dead-letters.ts';
import { OVER_QUOTA } from '../../backbone/dead-letters/quota.ts';
import { LateLog } from '../../backbone/ports/late-log.ts';
import { DEAD_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { type DeadLetter, decodeDead, encodeDead } from '../../telemetry/batch.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { listening } from '../workers/bench.ts';

const HOUR = 3_600_000;
/** Room for three of the letters below. */
const QUOTA = { bytes: 1_000, bytesADay: 1_000 };

function letter(sensor: string, reason = 'not_json'): DeadLetter {
  const topic = `farms/north/sensors/${sensor}/telemetry`;
  const publish = { farm: 'north', field: 'f1', sensor, topic, payload: Buffer.alloc(60, 'x'), received: 1 };
  return { publish, reason, explanation: 'payload: not JSON', at: 1 };
}

describe('the quota of dead letters, on a real log', () => {
  let log: Log;
  let metrics: Metrics;
  let now: number;
  const writers: DeadLetters[] = [];

  beforeEach(async () => {
    log = await openFileLog(await temporaryFolder(), 'dead', DEAD_LOG_LIMITS);
    metrics = new Metrics();
    now = 1_764_000_000_000;
  });
  afterEach(async () => {
    for (const letters of writers.splice(0)) await letters.stop();
    await log.close();
  });

  const writer = (over: Partial<DeadLettersOptions> = {}, on = log) => {
    const letters = new DeadLetters(on, { logger: silent, metrics, quota: QUOTA, now: () => now, ...over });
    writers.push(letters);
    return letters;
  };
  const kept = async () => (await log.read('first', 1_000)).map(({ body }) => decodeDead(body));
  const reasonsOf = async (sensor: string) =>
    (await kept()).filter(({ publish }) => publish.sensor === sensor).map(({ reason }) => reason);

  /** As a worker does. */
  async function setAside(letters: DeadLetters, one: DeadLetter, count = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      const admitted = letters.admit(one);
      if (admitted) await letters.append(admitted);
    }
  }

  it('keeps a sensor’s letters up to it, then one that stands for many, and goes on counting', async () => {
    const letters = writer();
    await setAside(letters, letter('s1'), 50);
    expect(await reasonsOf('s1')).to.deep.equal(['not_json', 'not_json', 'not_json', OVER_QUOTA]);
    const text = await metrics.text();
    expect(text).to.match(/^loam_dead_letters_total\{reason="not_json",kept="yes"\} 3$/m);
    expect(text).to.match(/^loam_dead_letters_total\{reason="not_json",kept="no"\} 47$/m);
  });

  it('is each sensor’s own: another’s letters are kept as if nothing were', async () => {
    const letters = writer();
    await setAside(letters, letter('s1'), 50);
    await setAside(letters, letter('s2'), 3);
    expect(await reasonsOf('s2')).to.deep.equal(['not_json', 'not_json', 'not_json']);
  });

  it('is not used up by readings that the store does not keep because of their age: those have one of their own', async () => {
    const letters = writer();
    await setAside(letters, letter('s1', 'beyond_retention'), 50);
    await setAside(letters, letter('s1'), 3);
    const reasons = await reasonsOf('s1');
    expect(reasons.filter((reason) => reason === 'not_json')).to.have.length(3);
    expect(reasons.filter((reason) => reason === 'over_quota')).to.have.length(1);
    expect(reasons.filter((reason) => reason === 'beyond_retention')).to.have.length.below(50);
  });

  it('says after some hours how many were left out, by reason, with the last one’s bytes', async () => {
    // Nothing is added in those hours, or one of them would be kept.
    const letters = writer({ quota: { ...QUOTA, bytesADay: 0 } });
    await setAside(letters, letter('s1'), 10);
    await setAside(letters, letter('s1', 'bad_time'), 5);
    now += 6 * HOUR;
    await setAside(letters, letter('s1', 'bad_time'));
    const [first, second, ...more] = (await kept()).filter(({ reason }) => reason === OVER_QUOTA);
    expect(more).to.deep.equal([]);
    expect(first?.explanation).to.match(/^the last of 1 messages \(1 not_json\)/);
    expect(second?.explanation).to.match(/^the last of 12 messages \(6 not_json, 6 bad_time\)/);
    expect(Buffer.from(second?.publish.payload ?? []).toString()).to.equal('x'.repeat(60));
  });

  it('grows by the day, up to what it was', async () => {
    const letters = writer();
    await setAside(letters, letter('s1'), 50);
    now += 30 * 24 * HOUR;
    await setAside(letters, letter('s1'), 2);
    expect((await reasonsOf('s1')).slice(4)).to.deep.equal(['not_json', 'not_json']);
    await setAside(letters, letter('s1'), 50);
    expect((await reasonsOf('s1')).slice(4).filter((reason) => reason === 'not_json')).to.have.length(3);
  });

  it('grows again from now on when a clock that was decades ahead is set right', async () => {
    const letters = writer();
    now += 20_000 * 24 * HOUR;
    await setAside(letters, letter('s1'), 50);
    now -= 20_000 * 24 * HOUR;
    await setAside(letters, letter('s1'), 1);
    expect((await reasonsOf('s1')).slice(3), 'it is said at once that they are left out').to.deep.equal([
      OVER_QUOTA,
      OVER_QUOTA,
    ]);
    now += 24 * HOUR;
    await setAside(letters, letter('s1'), 3);
    expect((await reasonsOf('s1')).slice(5)).to.deep.equal(['not_json', 'not_json', 'not_json']);
  });

  it('is shared by its writers: what one keeps is charged to the others, and to one that starts later', async () => {
    const [one, two, another] = [writer(), writer(), writer({ kind: 'broker' })];
    await Promise.all([one, two, another].map((each) => each.start()));
    const fresh = { ...letter('s1'), at: now };
    await setAside(one, fresh, 2);
    await until('the other knows', () => two.used(fresh) === one.used(fresh));
    expect(another.used(fresh), 'another kind has quotas of its own').to.equal(0);
    await setAside(two, fresh, 50);
    expect(await reasonsOf('s1')).to.deep.equal(['not_json', 'not_json', 'not_json', OVER_QUOTA]);
    await until('the first knows', () => one.used(fresh) === two.used(fresh));
    expect(one.admit(fresh)?.reason).to.equal(OVER_QUOTA);

    const late = writer();
    await late.start();
    expect(late.used(fresh)).to.equal(one.used(fresh));
    expect(late.admit(fresh)?.reason).to.equal(OVER_QUOTA);
  });

  it('holds for a writer that starts when a flood filled the log, as far as the log says when, with what days have given back', async () => {
    const first = writer();
    for (let day = 0; day < 10; day++) {
      await setAside(first, { ...letter('s1'), at: now }, 2);
      now += 24 * HOUR;
    }
    const late = writer();
    await late.start();
    expect(late.used(letter('s1'))).to.equal(first.used(letter('s1')));
  });

  it('goes on with a log that was away, from where it was', async () => {
    const folder = await temporaryFolder();
    const open = () => openFileLog(folder, 'dead', DEAD_LOG_LIMITS);
    // Before the tries begin: only one may have the folder open.
    const there = await open();
    await there.append(encodeDead({ ...letter('s1'), at: now, writer: 'worker/another' }));
    await there.close();
    let tries = 0;
    const late = new LateLog(async () => {
      tries += 1;
      if (tries < 3) throw new Error('not yet');
      return await open();
    });
    const letters = writer({}, late);
    await letters.start();
    expect(letters.used(letter('s1'))).to.be.within(0.3, 0.4);
    await letters.stop();
    await late.close();
  });

  it('warns when three quarters of it are used, once, and anew when days have given some back', async () => {
    const { log: logger, lines } = listening();
    const letters = writer({ logger, quota: { bytes: 3_000, bytesADay: 3_000 } });
    const warnings = () => lines.filter((line) => line.includes('dead_letters_near_quota'));
    await setAside(letters, letter('s1'), 7);
    expect(warnings()).to.deep.equal([]);
    await setAside(letters, letter('s1'), 2);
    expect(warnings()).to.have.length(1);
    expect(warnings()[0]).to.include('"sensor":"s1"');
    expect(await reasonsOf('s1'), 'before anything is left out').to.have.length(9);
    now += 24 * HOUR;
    await setAside(letters, letter('s1'), 9);
    expect(warnings()).to.have.length(2);
  });

  it('of all together holds many sensors that are each within their own, and is said once for all', async () => {
    const letters = writer({ allQuota: { bytes: 2_000, bytesADay: 0 } });
    const results: boolean[] = [];
    for (let i = 0; i < 100; i++) results.push(await letters.keep(letter(`s${i}`, 'not_authorised')));
    const reasons = (await kept()).map(({ reason }) => reason);
    const within = results.filter((isKept) => isKept).length;
    expect(within).to.be.within(5, 7);
    expect(reasons).to.deep.equal([...Array(within).fill('not_authorised'), OVER_QUOTA]);
    const text = await metrics.text();
    expect(text).to.contain(`loam_dead_letters_total{reason="not_authorised",kept="yes"} ${within}`);
    expect(text).to.contain(`loam_dead_letters_total{reason="not_authorised",kept="no"} ${100 - within}`);
  });

  it('of a farm holds all its sensors together, those that other workers write too, and no other farm’s; another one holds at once', async () => {
    let bytes = 2_000;
    const farmQuota = (farm: string) => (farm === 'north' ? bytes : undefined);
    const [letters, other] = [writer({ farmQuota }), writer({ farmQuota })];
    await letters.start();
    for (let i = 0; i < 5; i++) await setAside(other, { ...letter(`o${i}`), at: now });
    await until('the other’s are counted', () => letters.used(letter('o4')) > 0);
    for (let i = 0; i < 5; i++) await setAside(letters, letter(`x${i}`));
    const reasons = (await kept()).map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason === 'not_json')).to.have.length.within(6, 7);
    expect(reasons.filter((reason) => reason === OVER_QUOTA)).to.have.length(1);
    expect((await kept()).at(-1)?.explanation).to.include('quota of dead letters of the farm was used up');
    const before = (await kept()).length;
    for (let i = 0; i < 20; i++) await setAside(letters, letter(`s${i}`));
    expect(await kept(), 'said once for all of them').to.have.length(before);
    const south = letter('s1');
    await setAside(letters, { ...south, publish: { ...south.publish, farm: 'south' } });
    expect(await kept()).to.have.length(before + 1);
    bytes = 20_000;
    now += 24 * HOUR;
    await setAside(letters, letter('s99'));
    expect((await kept()).at(-1)).to.include({ reason: 'not_json' });
  });

  it('of a farm whose quotas say nothing holds, too, and leaves room for the letters of others', async () => {
    const letters = writer({ usualFarmQuota: { bytes: 2_000, bytesADay: 500 } });
    for (let i = 0; i < 40; i++) await setAside(letters, letter(`x${i}`));
    const reasons = (await kept()).map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason === 'not_json')).to.have.length.within(6, 7);
    expect(reasons.filter((reason) => reason === OVER_QUOTA)).to.have.length(1);
    const south = letter('s1');
    await setAside(letters, { ...south, publish: { ...south.publish, farm: 'south' } });
    await setAside(letters, { ...south, publish: { ...south.publish, farm: '', sensor: '' } });
    expect((await kept()).slice(-2).map(({ publish, reason }) => [publish.farm, reason])).to.deep.equal([
      ['south', 'not_json'],
      ['', 'not_json'],
    ]);
  });

  it('counts a letter that nobody was promised as not kept when the log is away', async () => {
    const letters = writer();
    await log.close();
    const failed = await letters.keep(letter('s1')).catch(() => 'rejected');
    expect(failed).to.equal('rejected');
    expect(await metrics.text()).to.match(/^loam_dead_letters_total\{reason="not_json",kept="no"\} 1$/m);
    expect(await metrics.text()).not.to.match(/kept="yes"/);
  });
});
