import { expect } from 'chai';
import { ClockWatch } from '../../core/clock-watch.ts';
import { SetClock } from '../services/set-clock.ts';

describe('the watch on the clock', () => {
  it('notices that the clock is set, by how far it is from the monotonic one, and believes it again after an hour', () => {
    const clock = new SetClock();
    const watch = new ClockWatch(clock);
    const passes = (ms: number, setBy = 0) => {
      clock.pass(ms);
      clock.step(setBy);
      return watch.look();
    };
    expect(passes(60_000)).to.equal('settled');
    expect(passes(86_400_000)).to.equal('settled');
    expect(passes(1_000, 2_000), 'as time servers move it').to.equal('settled');
    expect(passes(1_000, -60_000)).to.equal('set');
    expect(passes(1_000)).to.equal('unsettled');
    expect(passes(3_598_000)).to.equal('unsettled');
    expect(passes(2_000)).to.equal('settled');
    expect(passes(1_000, 20_000 * 86_400_000)).to.equal('set');
    expect(passes(1_000, -20_000 * 86_400_000)).to.equal('set');
    const far = 20_000 * 86_400_000;
    expect(watch.steps.map(({ byMs }) => byMs)).to.deep.equal([-60_000, far, -far]);
  });
});
