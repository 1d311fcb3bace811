import { expect } from 'chai';
import { DeadLetters, type DeadLettersOptions, OVER_QUOTA } from '../../backbone/dead-letters.ts';
import { openLmdbLog } from '../../backbone/log/lmdb.ts';
import { DEAD_LOG_LIMITS, type Log } from '../../backbone/log/port.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { type DeadLetter, decodeDead } from '../../telemetry/batch.ts';
import { temporaryFolder } from '../services/wait.ts';

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

  beforeEach(async () => {
    log = await openLmdbLog(await temporaryFolder(), 'dead', DEAD_LOG_LIMITS);
    metrics = new Metrics();
    now = 1_764_000_000_000;
  });
  afterEach(() => log.close());

  const writer = (over: Partial<DeadLettersOptions> = {}) =>
    new DeadLetters(log, { logger: silent, metrics, quota: QUOTA, now: () => now, ...over });
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

  it('counts a letter that nobody was promised as not kept when the log is away', async () => {
    const letters = writer();
    await log.close();
    const failed = await letters.keep(letter('s1')).catch(() => 'rejected');
    expect(failed).to.equal('rejected');
    expect(await metrics.text()).to.match(/^loam_dead_letters_total\{reason="not_json",kept="no"\} 1$/m);
    expect(await metrics.text()).not.to.match(/kept="yes"/);
  });
});
