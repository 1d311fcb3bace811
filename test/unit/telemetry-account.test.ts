import { expect } from 'chai';
import { BatchAccount, type BatchAccountOptions } from '../../telemetry/account/batch-account.ts';
import { BatchRun } from '../../telemetry/account/batch-run.ts';
import type { AccountNote, BeatNote } from '../../telemetry/account/notes.ts';
import { NumberRanges } from '../../telemetry/account/number-ranges.ts';
import { Draw } from '../fuzz/draw.ts';
import { shortOrLong } from '../services/length.ts';
import { AccountWorld, each, type Hazards } from './account-world.ts';

const WORLDS = shortOrLong(20, 500);
const EVERYTHING: Hazards = {
  workers: 0.01,
  idle: 0.002,
  failures: 0.02,
  spool: 0.003,
  entrances: 0.005,
  store: 0.003,
  log: 0.003,
  follower: 0.005,
  publishes: 0.2,
};

describe('a set of numbers as ranges', () => {
  it('has what was added and not removed, in as few ranges as there are', () => {
    for (let seed = 0; seed < shortOrLong(20, 200); seed++) {
      const draw = new Draw(seed);
      const ranges = new NumberRanges();
      const numbers = new Set<number>();
      for (let i = 0; i < 40; i++) {
        const from = draw.whole(0, 60);
        const to = from + draw.whole(-2, 10);
        const isIn = (number: number) => numbers.has(number);
        const these = from <= to ? each({ from, to }) : [];
        expect(ranges.overlaps(from, to)).to.equal(these.some(isIn));
        expect(ranges.missing(from, to).flatMap(each)).to.deep.equal(these.filter((number) => !isIn(number)));
        if (draw.chance(0.6)) {
          ranges.add(from, to);
          for (const number of these) numbers.add(number);
        } else {
          expect(ranges.remove(from, to)).to.equal(these.filter(isIn).length);
          for (const number of these) numbers.delete(number);
        }
        const sorted = [...numbers].sort((a, b) => a - b);
        expect(ranges.list().flatMap(each)).to.deep.equal(sorted);
        expect(ranges.size).to.equal(sorted.filter((number) => !numbers.has(number - 1)).length);
        expect({ count: ranges.count, highest: ranges.highest }).to.deep.equal({
          count: sorted.length,
          highest: sorted.at(-1),
        });
        for (let number = 0; number < 75; number++) {
          expect(ranges.has(number)).to.equal(numbers.has(number));
          let end: number | undefined;
          for (let next = number; numbers.has(next); next++) end = next;
          expect(ranges.endOf(number)).to.equal(end);
        }
      }
    }
  });
});

describe('a run', () => {
  it('says "confirmed up to n" past a number that was given up only when a beat has said that', () => {
    const run = new BatchRun();
    const numbers = Array.from({ length: 5 }, () => run.next());
    for (const number of numbers) {
      if (number === 2) run.gaveUp(number);
      else run.confirmed(number);
    }
    expect(run.place(6).confirmed).to.equal(1);
    const beat = run.beat();
    expect(beat).to.deep.include({ given: 5, confirmed: 1, gaveUp: [{ from: 2, to: 2 }] });
    expect(run.place(6).confirmed).to.equal(1);
    run.said(beat);
    expect(run.place(6).confirmed).to.equal(5);
  });

  it('is full when too many of its numbers are open', () => {
    const run = new BatchRun();
    for (let i = 0; i < 3_000 && !run.isFull; i++) {
      const number = run.next();
      if (number % 2 === 0) run.confirmed(number);
    }
    expect(run.isFull).to.equal(true);
  });
});

describe('the account of batches', () => {
  it('calls nothing lost while nothing is, whatever dies, is away, comes again or begins anew', () => {
    let batches = 0;
    for (let seed = 0; seed < WORLDS; seed++) {
      // A message that is there twice looks as if a halted worker's were given to another one, if that had no others.
      const halts = seed % 2 === 0 ? {} : { halts: 0.003, publishes: 0 };
      const world = new AccountWorld(new Draw(seed), { ...EVERYTHING, ...halts });
      for (let i = 0; i < 1_800; i++) world.step();
      expect(world.findings, `world ${seed}`).to.deep.equal([]);
      batches += world.states.reduce((sum, { given }) => sum + given, 0);
    }
    expect(batches).to.be.greaterThan(WORLDS * 500);
  });

  it('calls lost exactly what was taken out of the queue, within two minutes of the queue moving on', () => {
    let stolen = 0;
    for (let seed = 0; seed < WORLDS; seed++) {
      const draw = new Draw(seed);
      const world = new AccountWorld(draw, { store: 0.003, publishes: 0.1 });
      for (let i = 0; i < 900; i++) {
        world.step();
        if (draw.chance(0.02)) world.steal();
      }
      world.calmDown();
      for (let i = 0; i < 120; i++) world.step();
      expect(world.lost.sort(), `world ${seed}`).to.deep.equal([...world.stolen].sort());
      stolen += world.stolen.size;
    }
    expect(stolen).to.be.greaterThan(WORLDS);
  });

  it('gives a tail up that nothing of its own run can pass, once a later run is worked off', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.beat({ run: 'a', given: 4, confirmed: 4 });
    heard.done('a', [1, 2], 2);
    heard.pass(600);
    expect(heard.lost).to.deep.equal([]);
    heard.beat({ run: 'b' });
    heard.flow('b', 300);
    expect(heard.lost).to.deep.equal(['a:3', 'a:4']);
  });

  it('lets no queue speak for another: what waits for a clock is passed by nothing of the slow queue', () => {
    for (const [entrance, expected] of [
      ['undated', []],
      ['worker', ['a:3', 'a:4']],
    ] as const) {
      const heard = followed();
      heard.beat({ run: 'a', entrance });
      heard.beat({ run: 'a', entrance, given: 4, confirmed: 4 });
      heard.done('a', [1, 2], 2);
      heard.beat({ run: 'b', entrance: 'worker' });
      for (let i = 1; i <= 300; i++) {
        heard.now += 1_000;
        heard.done('b', [i], i - 1);
        if (i % 15 === 0) heard.hold('w', []);
      }
      expect(heard.lost, entrance).to.deep.equal(expected);
    }
  });

  it('waits while a silent worker may have what is missing, until somebody else has a batch of its, or the consumer time-out', () => {
    for (const end of ['replaced', 'time-out', 'left', 'heard'] as const) {
      const heard = followed({ mostHeldMs: 3_600_000 });
      heard.beat({ run: 'a' });
      heard.hold('w1', [1]);
      heard.flow('a', 300, [1, 2, 3]);
      expect(heard.lost, end).to.deep.equal([]);
      expect(heard.account.silentWorkers, end).to.deep.equal(['w1']);
      expect(heard.account.suspected, end).to.equal(2);
      if (end === 'left') heard.hear([{ is: 'held', worker: 'w1', held: [], left: true }]);
      if (end === 'time-out') heard.flow('a', 3_600);
      for (let i = 0; i < 8; i++) {
        if (end === 'heard') heard.hold('w1', [1]);
        if (end === 'replaced') heard.hold('w2', [1]);
        heard.flow('a', 15);
        if (i === 0 && end !== 'time-out')
          expect(heard.lost, `${end}, and it was not said who holds it`).to.deep.equal([]);
      }
      expect(
        heard.lost.filter((id) => id !== 'a:1'),
        end,
      ).to.deep.equal(['a:2', 'a:3']);
    }
  });

  it('loses nothing on the word of a worker that is gone: what it had is in the queue again', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.flow('a', 30, [5]);
    heard.pass(60);
    heard.hold('w2', []);
    heard.done('a', [31], 30);
    heard.given = 31;
    heard.hear([{ is: 'held', worker: 'w2', held: [], left: true }]);
    heard.pass(600);
    expect(heard.lost).to.deep.equal([]);
    heard.flow('a', 105);
    expect(heard.lost).to.deep.equal(['a:5']);
  });

  it('waits, when the queue moves again after a long time, until everybody has said what it holds', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.flow('a', 30, [5, 6]);
    heard.pass(600);
    heard.done('a', [31], 30);
    heard.given = 31;
    heard.beat({ run: 'a', given: 31, confirmed: 31 });
    heard.now += 15_000;
    heard.hold('w', [5]);
    expect(heard.lost).to.deep.equal([]);
    heard.flow('a', 60);
    expect(heard.lost).to.deep.equal(['a:6']);
  });

  it('does not trust the order of batches of which some were in a spool, until a later one of the run is worked off', () => {
    const heard = followed();
    for (const run of ['a', 'b']) heard.beat({ run });
    heard.beat({ run: 'a', given: 10, confirmed: 10, spooled: 1 });
    heard.done('a', [1, 2, 3, 4, 6, 7, 8, 9, 10], 4);
    heard.beat({ run: 'a', given: 10, confirmed: 10 });
    heard.flow('b', 300);
    expect(heard.lost).to.deep.equal([]);
    heard.done('a', [11], 10);
    heard.flow('b', 120);
    expect(heard.lost).to.deep.equal(['a:5']);
  });

  it('does not take a message that is there twice for a silent worker’s, while that one has others', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.hold('w1', [1, 2]);
    for (let i = 0; i < 20; i++) {
      heard.hold('w2', [1]);
      heard.flow('a', 15, [1, 2, 3]);
    }
    expect(heard.account.silentWorkers).to.deep.equal(['w1']);
    expect(heard.lost).to.deep.equal([]);
  });

  it('takes back what it called lost when that is worked off after all', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.flow('a', 300, [5]);
    expect(heard.lost).to.deep.equal(['a:5']);
    expect(heard.account.lost).to.have.length(1);
    const found = heard.account.hear(
      [{ is: 'done', worker: 'w', run: 'a', done: [{ from: 4, to: 6 }], confirmed: 0 }],
      heard.now,
    );
    expect(found).to.deep.equal([
      { is: 'found', run: 'a', entrance: 'broker', batches: 1, ranges: [{ from: 4, to: 6 }] },
    ]);
    expect(heard.account.lost).to.deep.equal([]);
  });

  it('says what is lost once, over restarts of the follower', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.flow('a', 300, [5]);
    const next = new BatchAccount();
    next.restore(heard.account.state());
    expect(next.lost.flatMap(({ ranges }) => ranges).map(({ from, to }) => [from, to])).to.deep.equal([[5, 5]]);
    heard.account = next;
    heard.flow('a', 300, [heard.given + 5]);
    expect(heard.lost).to.have.length(2);
  });

  it('loses nothing of a run whose messages wait in a spool, and nothing while the queue stands still', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.flow('a', 200, [5, 6], 3);
    expect(heard.lost).to.deep.equal([]);
    heard.beat({ run: 'a', given: heard.given, confirmed: heard.given });
    heard.hold('w', []);
    heard.pass(600);
    expect(heard.lost).to.deep.equal([]);
    heard.flow('a', 200, [5, 6]);
    expect(heard.lost).to.deep.equal(['a:5', 'a:6']);
  });

  it('counts a run that began before it from the number that the second beat names', () => {
    const heard = followed();
    heard.beat({ run: 'a', given: 50, confirmed: 48 });
    heard.done('a', [51, 53], 49);
    heard.pass(15);
    heard.given = 53;
    heard.flow('a', 300, [54, 55, 90]);
    expect(heard.lost).to.deep.equal(['a:90']);
  });

  it('has bounds: the oldest gaps become unknown, runs and workers that were silent for longest are forgotten', () => {
    const account = new BatchAccount();
    const odd = Array.from({ length: 15_000 }, (_, i) => ({ from: 2 * i + 1, to: 2 * i + 1 }));
    account.hear([beat({ run: 'a' }), { is: 'done', worker: 'w', run: 'a', done: odd, confirmed: 30_000 }], 0);
    account.hear([{ is: 'held', worker: 'w', held: [], left: false }], 0);
    expect(account.suspected).to.equal(9_999);
    expect(account.counts.unknown).to.equal(5_000);
    for (let i = 0; i < 2_500; i++) {
      account.hear([beat({ run: `r${i}` }), { is: 'held', worker: `w${i}`, held: [], left: false }], 0);
    }
    expect(account.counts.forgotten).to.equal(1 + 1_500 + 1 + 1_500);
    expect(account.state().runs.length).to.be.lessThan(1_000);
  });

  it('calls what is open unknown when entries of the log are missing', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.flow('a', 60, [5, 6]);
    heard.account.missed();
    heard.flow('a', 300, [5, 6]);
    expect(heard.lost).to.deep.equal([]);
    expect(heard.account.counts.unknown).to.equal(2);
    heard.flow('a', 300, [heard.given + 10]);
    expect(heard.lost).to.have.length(1);
  });

  it('calls unknown what was confirmed unheard, and is not worked off a beat after the run was heard again', () => {
    const heard = followed();
    heard.beat({ run: 'a' });
    heard.done('a', [1, 2, 3], 3);
    heard.beat({ given: 3, confirmed: 3 });
    // The log went, and with it the queue: 4 to 9 were in it, 10 and 11 came after.
    heard.account.missed();
    heard.beat({ given: 11, confirmed: 10 });
    heard.done('a', [10, 11], 11);
    expect(heard.account.counts.unknown).to.equal(0);
    heard.now += 15_000;
    heard.beat({ given: 13, confirmed: 13 });
    expect(heard.account.counts.unknown).to.equal(6);
    heard.account.missed();
    heard.beat({ given: 13, confirmed: 13 });
    heard.now += 15_000;
    heard.beat({ given: 14, confirmed: 14 });
    expect(heard.account.counts.unknown).to.equal(6);
  });
});

function beat(of: Partial<BeatNote>): BeatNote {
  const none = { entrance: 'broker', given: 0, confirmed: 0, gaveUp: [], spooled: 0, ended: false };
  return { is: 'beat', run: 'a', ...none, ...of };
}

/** An account that hears what is said to it. */
function followed(options: BatchAccountOptions = {}) {
  const heard = {
    account: new BatchAccount(options),
    lost: [] as string[],
    now: 0,
    given: 0,
    hear(notes: AccountNote[]): void {
      for (const { is, run, ranges } of heard.account.hear(notes, heard.now)) {
        if (is === 'lost') heard.lost.push(...ranges.flatMap(each).map((number) => `${run}:${number}`));
      }
    },
    beat: (of: Partial<BeatNote>) => heard.hear([beat(of)]),
    done: (run: string, numbers: number[], confirmed: number) => {
      const done = new NumberRanges(numbers.map((number) => ({ from: number, to: number }))).list();
      heard.hear([{ is: 'done', worker: 'w', run, done, confirmed }]);
    },
    hold: (worker: string, numbers: number[]) => {
      const held = [{ run: 'a', numbers: numbers.map((number) => ({ from: number, to: number })) }];
      heard.hear([{ is: 'held', worker, held: numbers.length > 0 ? held : [], left: false }]);
    },
    /** Nothing happens for so many seconds, and a worker says so. */
    pass: (seconds: number) => {
      for (let i = 0; i < seconds; i += 15) {
        heard.now += 15_000;
        heard.hold('w', []);
      }
    },
    /** A batch a second is confirmed and worked off, but for those that are `missing`. */
    flow: (run: string, seconds: number, missing: readonly number[] = [], spooled = 0) => {
      for (let i = 1; i <= seconds; i++) {
        heard.now += 1_000;
        heard.given += 1;
        if (!missing.includes(heard.given)) heard.done(run, [heard.given], heard.given - 1);
        if (i % 15 === 0) {
          heard.beat({ run, given: heard.given, confirmed: heard.given, spooled });
          heard.hold('w', []);
        }
      }
    },
  };
  return heard;
}
