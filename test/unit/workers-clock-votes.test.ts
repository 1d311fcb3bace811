import { expect } from 'chai';
import { silent } from '../../core/logger.ts';
import type { DeadLetter } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { ClockVotes } from '../../workers/clock-votes.ts';
import { SetClock } from '../services/set-clock.ts';

const MINUTE = 60_000;
const NOW = Date.UTC(2026, 5, 1) + 0.007;

describe('what the sensors of many farms say of the clock', () => {
  let clock: SetClock;
  let votes: ClockVotes;

  beforeEach(() => {
    clock = new SetClock();
    votes = new ClockVotes({ log: silent, clock });
  });

  const reading = (farm: string, aheadMs: number): Reading => ({
    ...{ farm, sensor: 's', values: { a: 1 } },
    ts: Math.floor(NOW) + aheadMs,
    received: NOW,
  });
  const letter = (farm: string): DeadLetter => ({
    publish: { farm, field: '', sensor: 's', topic: 't', payload: new Uint8Array(), received: NOW },
    ...{ reason: 'future_time', explanation: '', at: NOW },
  });
  const why = () => {
    votes.look();
    return votes.health().why;
  };

  it('is told when most of at least three farms agree, ahead or behind', () => {
    votes.heard([reading('a', -90 * MINUTE), reading('b', -2 * 60 * MINUTE)], []);
    expect(why(), 'two farms').to.equal(undefined);
    votes.heard([reading('c', -95 * MINUTE)], []);
    expect(why()).to.match(/3 of 3 farms .* ahead, by 90 min/);
    expect(votes.health()).to.deep.include({ ok: false, optional: true });
    votes.heard([reading('d', 0), reading('e', 0)], []);
    expect(why(), 'three of five').to.equal(undefined);
  });

  it('hears what was refused for its time', () => {
    votes.heard([], [letter('a'), letter('b'), letter('c')]);
    expect(why()).to.match(/3 of 3 farms .* behind/);
  });

  it('is not moved by one farm, however many sensors it has, nor by sensors that are late where another is right', () => {
    votes.heard(
      Array.from({ length: 500 }, () => reading('a', -60 * MINUTE)),
      [],
    );
    for (const farm of ['b', 'c', 'd'])
      votes.heard([reading(farm, -60 * MINUTE), reading(farm, -1_000)], [letter(farm)]);
    expect(why()).to.equal(undefined);
  });

  it('is not moved by readings that are dated by their receipts', () => {
    const dated = ['a', 'b', 'c', 'd'].map((farm) => ({ ...reading(farm, 0), ts: NOW, deviceTs: 0 }));
    votes.heard(dated, []);
    votes.heard(
      ['a', 'b', 'c'].map((farm) => reading(farm, -60 * MINUTE)),
      [],
    );
    expect(why()).to.match(/3 of 3/);
  });

  it('is over ten minutes after the last that said so', () => {
    votes.heard(
      ['a', 'b', 'c'].map((farm) => reading(farm, -60 * MINUTE)),
      [],
    );
    expect(why()).to.not.equal(undefined);
    for (let minute = 0; minute < 12; minute++) {
      clock.pass(MINUTE);
      votes.look();
    }
    expect(why()).to.equal(undefined);
  });
});
