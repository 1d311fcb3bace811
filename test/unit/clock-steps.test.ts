import { expect } from 'chai';
import fc from 'fast-check';
import { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import { ClockHistory } from '../../backbone/clocks/clock-history.ts';
import { Commands } from '../../backbone/commands/commands.ts';
import { DeadLetters } from '../../backbone/dead-letters/dead-letters.ts';
import { LogFile } from '../../backbone/segments/log-file.ts';
import { LONGEST_DOUBT_MS, ReceiptClock } from '../../broker/ingest/receipt-clock.ts';
import { Receipts } from '../../broker/ingest/receipts.ts';
import { steadyFrom } from '../../core/clock.ts';
import { silent } from '../../core/logger.ts';
import { replayMessage } from '../../dashboard-gateway/dead-letters/replay-message.ts';
import { Door } from '../../dashboard-gateway/http/door.ts';
import { FarmLatest } from '../../dashboard-gateway/live/state/latest.ts';
import { SessionList } from '../../dashboard-gateway/sign-in/session-list.ts';
import { SESSION_MS, SignInSessions } from '../../dashboard-gateway/sign-in/sessions.ts';
import { Throttle } from '../../dashboard-gateway/sign-in/throttle.ts';
import { bareRun, isDoubted, placeId } from '../../telemetry/account/batch-place.ts';
import { type Batch, encodeLive, type Publish } from '../../telemetry/batch.ts';
import { CLOCK_FLOOR } from '../../telemetry/clock.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { createValidate } from '../../workers/validate.ts';
import { MemoryDisk } from '../backbone/memory-disk.ts';
import { placeOn } from '../backbone/segments-place.ts';
import { MemoryLog } from '../services/memory-log.ts';
import { SetClock } from '../services/set-clock.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const BEGIN = Date.UTC(2026, 5, 1);
/** What clocks do: from a minute to decades, both ways. */
const step = fc
  .tuple(fc.constantFrom(MINUTE, 7 * MINUTE, HOUR, 5 * HOUR, 2 * DAY, 30 * DAY, 20_000 * DAY), fc.constantFrom(-1, 1))
  .map(([ms, sign]) => ms * sign)
  // A reading is of the years 2000 to 2199.
  .map((ms) => Math.max(ms, -9_000 * DAY));
const passing = fc.integer({ min: 20 * SECOND, max: 30 * HOUR });

type Move = { readonly is: 'pass' | 'step'; readonly ms: number } | { readonly is: 'restart' };
const pass = passing.map((ms): Move => ({ is: 'pass', ms }));
const moves = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: pass },
    { weight: 2, arbitrary: step.map((ms): Move => ({ is: 'step', ms })) },
    { weight: 1, arbitrary: fc.constant<Move>({ is: 'restart' }) },
  ),
  { minLength: 1, maxLength: 14 },
);
/** The clock is wrong for less than an hour, and is put right. */
const excursion = fc.tuple(passing, step, fc.integer({ min: SECOND, max: 59 * MINUTE }));
const excursions = fc.array(excursion, { minLength: 1, maxLength: 6 });

function apply(clock: SetClock, move: Move): void {
  if (move.is === 'pass') clock.pass(move.ms);
  if (move.is === 'step') clock.step(move.ms);
}

/** A broker on one machine, from start to start of its process; what it writes down outlives it. */
class SteppedBroker {
  readonly clock = new SetClock(BEGIN);
  readonly clocks = new MemoryLog();
  readonly live = new MemoryLog();
  entrance = new BatchEntrance({ name: 'broker' });
  private receipts = new Receipts({ log: silent, now: this.clock.now });
  watch: ReceiptClock | undefined;
  isSynchronised = false;
  readonly built: number;

  constructor(built = Date.UTC(2026, 4, 1)) {
    this.built = built;
  }

  async start(): Promise<void> {
    await this.watch?.stop();
    const history = await this.history();
    this.entrance = new BatchEntrance({ name: 'broker' });
    this.receipts = new Receipts({ log: silent, now: this.clock.now });
    const { clock, clocks, live, receipts, entrance, built } = this;
    this.watch = new ReceiptClock({
      ...{ clock, clocks, live, receipts, history, built, log: silent },
      entrances: [entrance],
      machine: 'this start of the machine',
      isSynchronised: async () => this.isSynchronised,
      lookMs: 2 ** 30,
    });
    await this.watch.start();
  }

  async history(): Promise<ClockHistory> {
    const history = new ClockHistory(this.clocks, silent);
    await history.start();
    return history;
  }

  /** A publish as a batch of its own, and the time of the machine at which it came, ms since its start. */
  publish(payload: object): { batch: Batch; sinceBoot: number } {
    const received = this.receipts.next();
    const publish: Publish = {
      ...{ farm: 'demo', field: '', sensor: 's1', topic: 'farms/demo/sensors/s1/telemetry', received },
      payload: Buffer.from(JSON.stringify(payload)),
    };
    return {
      batch: { id: placeId(this.entrance.current.place(this.entrance.current.next())), publishes: [publish] },
      sinceBoot: this.clock.sinceBoot(),
    };
  }

  async store(received: number): Promise<void> {
    const reading = { farm: 'demo', sensor: 's1', ts: received, received, values: { a: 1 } };
    await this.live.append(encodeLive({ id: 'x', readings: [reading] }));
  }
}

describe('the clock of the machine, set both ways at every moment', function () {
  this.timeout(120_000);

  it('every receipt is known by the clock as it was set last, over restarts of the broker', async () => {
    await fc.assert(
      fc.asyncProperty(moves, async (all) => {
        const broker = new SteppedBroker(0);
        await broker.start();
        const given: ReturnType<SteppedBroker['publish']>[] = [];
        for (const move of all) {
          apply(broker.clock, move);
          if (move.is === 'restart') await broker.start();
          given.push(broker.publish({ values: { a: 1 } }));
          await broker.store(broker.clock.now());
        }
        await broker.watch?.stop();
        const history = await broker.history();
        const right = broker.clock.now() - broker.clock.sinceBoot();
        for (const { batch, sinceBoot } of given) {
          const run = bareRun(batch.id.split(':')[0] ?? '');
          const { received } = history.corrected(run, batch.publishes[0]?.received ?? 0);
          // Receipts go on rising while the clock was set back by less than a minute.
          expect(Math.abs(received - (sinceBoot + right))).to.be.at.most(MINUTE + 20 * SECOND);
        }
        await history.stop();
      }),
      { numRuns: 150 },
    );
  });

  it('a letter of a wrong clock is stored rightly by replay, however that clock was wrong', async () => {
    const registry = parseRegistry('farms: [{ id: demo, name: Demo, timezone: UTC }]');
    const validate = createValidate();
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(moves, async (all) => {
        const broker = new SteppedBroker(0);
        await broker.start();
        const given: { batch: Batch; sinceBoot: number }[] = [];
        // The sensor's clock is right: it is known what that is when the machine's clock was set for the last time.
        const right = all.reduce((sum, move) => sum + (move.is === 'step' ? move.ms : 0), BEGIN - 1_000);
        for (const move of all) {
          apply(broker.clock, move);
          if (move.is === 'restart') await broker.start();
          given.push(broker.publish({ ts: broker.clock.sinceBoot() + right, values: { a: 1 } }));
        }
        await broker.watch?.stop();
        const history = await broker.history();
        for (const [offset, { batch, sinceBoot }] of given.entries()) {
          const [letter] = validate(batch, 0).dead;
          if (letter?.reason !== 'future_time') continue;
          refused += 1;
          const message = replayMessage(letter, offset, 'epoch', registry, history);
          if (message instanceof Uint8Array || 'why' in message) throw new Error('it cannot be replayed');
          const { readings, dead } = validate(message, 0);
          expect(dead).to.deep.equal([]);
          expect(readings[0]?.ts).to.equal(sinceBoot + right);
          expect(Math.abs((readings[0]?.received ?? 0) - sinceBoot - right)).to.be.at.most(MINUTE + 20 * SECOND);
        }
        await history.stop();
      }),
      { numRuns: 150 },
    );
    expect(refused, 'the clocks were wrong').to.be.greaterThan(20);
  });

  it('what needs a receipt waits while the clock is doubted, for ten minutes at most, and nothing else does', async () => {
    const validate = createValidate({ waits: true });
    let doubted = 0;
    await fc.assert(
      fc.asyncProperty(moves, fc.boolean(), async (all, isSynchronised) => {
        const broker = new SteppedBroker();
        await broker.start();
        let since: number | undefined;
        for (const move of all) {
          apply(broker.clock, move);
          if (move.is === 'restart') {
            broker.isSynchronised = isSynchronised;
            await broker.start();
          }
          broker.watch?.look();
          const { batch } = broker.publish({ values: { a: 1 } });
          const now = broker.clock.sinceBoot();
          if (isDoubted(batch.id)) {
            doubted += 1;
            since ??= now;
            expect(now - since).to.be.lessThan(LONGEST_DOUBT_MS + 1);
            expect(validate(batch, 0)).to.deep.include({ readings: [], dead: [], undated: batch.publishes });
            // A time that is believed, and not ahead of the receipt.
            const ts = broker.clock.now() - HOUR;
            if (ts < CLOCK_FLOOR) continue;
            const timed = broker.publish({ ts, values: { a: 1 } }).batch;
            expect(validate(timed, 0)).to.deep.include({ dead: [], undated: [] });
          } else {
            since = undefined;
            expect(validate(batch, 0).undated).to.deep.equal([]);
          }
          if (broker.watch?.health().ok === true) await broker.store(broker.clock.now());
        }
        await broker.watch?.stop();
      }),
      { numRuns: 150 },
    );
    expect(doubted, 'the clocks were doubted').to.be.greaterThan(20);
  });

  it('a session is good for twelve hours of time that passes', async () => {
    const registry = parseRegistry('users: [{ name: ada, farms: { "*": admin } }]');
    await fc.assert(
      fc.asyncProperty(moves, async (all) => {
        const clock = new SetClock(BEGIN);
        const sessions = new SignInSessions({
          ...{
            key: 'k'.repeat(32),
            adminToken: undefined,
            registry: { current: () => registry, watch: () => () => {} },
            list: new SessionList({ log: new MemoryLog(), logger: silent, now: steadyFrom(clock) }),
          },
          now: clock.now,
          passed: clock.passed,
        });
        const ada = registry.users.get('ada');
        if (!ada) throw new Error('no user');
        let issued = clock.passed();
        const from = { remoteAddress: '127.0.0.1', secure: false, headers: { userAgent: '' } };
        let { token } = await sessions.begin(ada, from, 'program');
        for (const [i, move] of all.entries()) {
          apply(clock, move);
          const isGood =
            (await sessions.caller({ secure: false, headers: { authorization: `Bearer ${token}`, cookie: '' } })) !==
            undefined;
          const age = clock.passed() - issued;
          if (age < SESSION_MS - SECOND) expect(isGood, `after ${age} ms`).to.equal(true);
          if (age > SESSION_MS + SECOND) expect(isGood, `after ${age} ms`).to.equal(false);
          if (i % 3 !== 2) continue;
          issued = clock.passed();
          token = (await sessions.begin(ada, from, 'program')).token;
        }
      }),
      { numRuns: 60 },
    );
  });

  it('a flood of dead letters gets its quota, no more and no less', async () => {
    const quota = { bytes: 100_000, bytesADay: 50_000 };
    await fc.assert(
      fc.asyncProperty(moves, async (all) => {
        const clock = new SetClock(BEGIN);
        const letters = new DeadLetters(new MemoryLog(), { logger: silent, quota, clock });
        const publish: Publish = {
          ...{ farm: 'demo', field: '', sensor: 's1', topic: 't', received: BEGIN },
          payload: new Uint8Array(1_000),
        };
        let kept = 0;
        const flood = () => {
          for (let i = 0; i < 300; i++) {
            const letter = { publish, reason: 'bad_json', explanation: '', at: clock.now() };
            if (letters.admit(letter)?.reason === 'bad_json') kept += 1_201;
          }
        };
        flood();
        let most = quota.bytes;
        for (const move of all) {
          const before = clock.passed();
          apply(clock, move);
          most += ((clock.passed() - before) / DAY) * quota.bytesADay;
          flood();
          expect(kept).to.be.at.most(most);
          // What says that there were more takes some of it.
          expect(kept).to.be.at.least(most - 6 * 1_300);
          most = kept + Math.min(most - kept, quota.bytes);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('a command waits as long as it may, and no other command ends it, while the clock is wrong for less than an hour', async () => {
    await fc.assert(
      fc.asyncProperty(excursions, async (all) => {
        const clock = new SetClock(BEGIN);
        const commands = await Commands.open(new MemoryLog(), silent, undefined, clock);
        try {
          const of = { farm: 'demo', sensor: 's1', payload: Buffer.from('{}'), by: 'ada', lifeMs: 12 * HOUR };
          const sent = new Map<string, number>();
          const send = async () => sent.set((await commands.send(of)).id, clock.passed());
          const check = () => {
            commands.look();
            const waiting = new Set(commands.waitingFor('demo', 's1').map(({ id }) => id));
            for (const [id, at] of sent) {
              const age = clock.passed() - at;
              if (age < 12 * HOUR) expect(waiting.has(id), `after ${age} ms`).to.equal(true);
            }
          };
          for (const [first, ms, wrongFor] of all) {
            await send();
            // In two parts: for an hour after a step everything is kept.
            clock.pass(first);
            check();
            clock.pass(HOUR);
            check();
            clock.step(ms);
            check();
            await send();
            clock.pass(wrongFor);
            check();
            clock.step(-ms);
            check();
          }
          clock.pass(2 * HOUR);
          check();
          clock.pass(13 * HOUR);
          commands.look();
          expect(commands.waitingFor('demo', 's1'), 'after 15 hours').to.deep.equal([]);
        } finally {
          await commands.close();
        }
      }),
      { numRuns: 40 },
    );
  });

  it('rates and waits are those of time that passes', () => {
    fc.assert(
      fc.property(moves, (all) => {
        const clock = new SetClock(BEGIN);
        const door = new Door({ userOf: async () => undefined, onTurnedAway: () => {}, passed: clock.passed });
        const throttle = new Throttle(clock.passed);
        for (let i = 0; i < 6; i++) throttle.begin('ada', '10.0.0.1');
        const blocked = clock.passed();
        for (const move of all) {
          apply(clock, move);
          door
            .enter(
              { remoteAddress: '10.0.0.1', secure: false, headers: { cookie: '', authorization: '' } },
              0,
              () => {},
            )
            .leave();
          if (clock.passed() === blocked) expect(throttle.begin('ada', '10.0.0.1')).to.be.greaterThan(0);
        }
      }),
    );
  });

  it('a log keeps what is young by the time that passes; what is the only copy also over a restart', async () => {
    await fc.assert(
      fc.asyncProperty(moves, fc.boolean(), async (all, onlyCopy) => {
        const limits = { maxAgeMs: 10 * HOUR, maxBytes: 2 ** 30, onlyCopy };
        const clock = new SetClock(BEGIN);
        const place = { ...placeOn(new MemoryDisk()), clock };
        let log = await LogFile.open(place, limits);
        const written: { offset: number; at: number }[] = [];
        for (const move of all) {
          apply(clock, move);
          if (move.is === 'restart' && onlyCopy) {
            await log.look();
            log.close();
            log = await LogFile.open(place, limits);
          }
          written.push({ offset: log.next, at: clock.passed() });
          await log.commit([Buffer.from('entry')]);
          await log.look();
          const young = written.filter(({ at }) => clock.passed() - at < limits.maxAgeMs);
          expect(log.first).to.be.at.most(young[0]?.offset ?? 0);
          const old = written.filter(({ at }) => clock.passed() - at > 2 * limits.maxAgeMs);
          if (old.length > 2) expect(log.first).to.be.greaterThan(old[0]?.offset ?? 0);
        }
        log.close();
      }),
      { numRuns: 60 },
    );
  });

  it('the newest value is one of now when the clock is right, whatever it dated before', () => {
    fc.assert(
      fc.property(moves, fc.array(fc.boolean(), { minLength: 14, maxLength: 14 }), (all, timed) => {
        const clock = new SetClock(BEGIN);
        const latest = new FarmLatest({ left: 10 }, clock.now);
        const right = all.reduce((sum, move) => sum + (move.is === 'step' ? move.ms : 0), BEGIN - 1_000);
        const take = (ts: number, value: number) =>
          latest.take({ farm: 'demo', sensor: 's1', ts, received: clock.now(), values: { a: value } });
        for (const [i, move] of all.entries()) {
          apply(clock, move);
          take(timed[i] ? clock.sinceBoot() + right : clock.now(), i);
        }
        clock.pass(SECOND);
        take(clock.now(), 1_000);
        const newest = latest.sensors.get('s1')?.values.get('a');
        // One that is ahead by less than five minutes may be of a clock that is allowed to be.
        expect(newest?.ts).to.be.within(clock.now(), clock.now() + 5 * MINUTE);
      }),
    );
  });
});
