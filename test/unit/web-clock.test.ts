import { expect } from 'chai';
import { GatewayClock } from '../../dashboard/api/gateway-clock.ts';

describe('web: the page’s clock', () => {
  /** A clock that began by a viewer's clock that is wrong by `wrong` ms, and what the server's says. */
  const begun = (wrong: number) => {
    let passed = 0;
    const truth = () => 1_764_000_000_123 + passed;
    const clock = new GatewayClock(() => passed, truth() + wrong);
    return { clock, truth, wait: (ms: number) => (passed += ms), error: () => clock.now() - truth() };
  };
  const wholeSeconds = (ms: number) => Math.floor(ms / 1000) * 1000;

  for (const wrong of [0, 400, -400, 3 * 3_600_000, -3 * 3_600_000, 400 * 86_400_000]) {
    it(`is the gateway’s from the first answer on, with a viewer’s that is wrong by ${wrong} ms`, () => {
      const { clock, truth, wait, error } = begun(wrong);
      const asked = clock.passed();
      wait(120);
      const date = wholeSeconds(truth());
      wait(80);
      clock.answered(date, asked);
      expect(Math.abs(error())).to.be.below(2_000);
      clock.framed(truth() - 30);
      expect(error()).to.be.within(-30, 5_000);
    });
  }

  it('stays where it is as long as that may be right, so that no age jumps', () => {
    const { clock, truth, wait, error } = begun(200);
    for (const way of [5, 900, 40, 3_000]) {
      const at = truth();
      wait(way);
      clock.framed(at);
    }
    expect(error()).to.equal(200);
  });

  it('follows a gateway whose clock is set, both ways', () => {
    for (const step of [-7_200_000, 7_200_000]) {
      const { clock, truth, error } = begun(0);
      clock.framed(truth());
      clock.framed(truth() + step);
      expect(Math.abs(error() - step)).to.be.below(5_001);
    }
  });

  it('is by frames where there are some: a proxy may put a time of its own into answers', () => {
    const { clock, truth, wait, error } = begun(0);
    clock.framed(truth());
    clock.answered(truth() + 600_000, clock.passed());
    expect(error()).to.equal(0);
    wait(61_000);
    clock.answered(wholeSeconds(truth() + 600_000), clock.passed());
    expect(error()).to.be.above(590_000);
  });
});
