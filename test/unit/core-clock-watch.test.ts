import { expect } from 'chai';
import { ClockWatch } from '../../core/clock-watch.ts';

describe('the watch on the clock', () => {
  it('notices that the clock is set, by how far it is from the monotonic one, and believes it again after an hour', () => {
    const clock = { wall: Date.UTC(2026, 5, 1), passed: 5 };
    const watch = new ClockWatch({ wall: () => clock.wall, monotonic: () => clock.passed });
    const passes = (ms: number, setBy = 0) => {
      clock.wall += ms + setBy;
      clock.passed += ms;
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
  });
});
