import { expect } from 'chai';
import { Throttle } from '../../dashboard-gateway/sign-in/throttle.ts';
import { Turns } from '../../dashboard-gateway/sign-in/turns.ts';
import { rejection } from '../backbone/numbered.ts';

const MINUTE = 60_000;
const HOME = '198.51.100.7';

/** How many passwords of `user` somebody can try in `ms` who has as many addresses as they like. */
function guesses(throttle: Throttle, clock: { now: number }, ms: number): number {
  const end = clock.now + ms;
  let tried = 0;
  for (let at = 0; clock.now < end; at++) {
    if (throttle.begin('ada', `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`) === 0) tried++;
    else clock.now += 1_000;
  }
  return tried;
}

describe('guessing from many addresses', () => {
  const begun = () => {
    const clock = { now: 0 };
    return { clock, throttle: new Throttle(() => clock.now) };
  };

  it('stays slow', () => {
    const { clock, throttle } = begun();
    expect(guesses(throttle, clock, 40_000), 'in 40 s').to.equal(101);
    expect(guesses(throttle, clock, 60 * MINUTE - 40_000), 'in the rest of an hour').to.equal(118);
    expect(guesses(throttle, clock, 60 * MINUTE), 'in the next').to.equal(120);
  });

  it('does not slow a browser that was here before', () => {
    const { clock, throttle } = begun();
    guesses(throttle, clock, 10 * MINUTE);
    throttle.begin('ada', '192.0.2.1');
    expect(throttle.begin('ada', '203.0.113.1'), 'a fresh one').to.be.within(1, 30_000);
    expect(throttle.begin('ada', '203.0.113.1', 'hers')).to.equal(0);
  });

  it('does not slow who signs in where they did before', () => {
    const { clock, throttle } = begun();
    throttle.begin('ada', HOME);
    throttle.succeeded('ada', HOME);
    guesses(throttle, clock, 10 * MINUTE);
    throttle.begin('ada', '192.0.2.1');
    expect(throttle.begin('ada', '203.0.113.1')).to.be.greaterThan(0);
    expect(throttle.begin('ada', HOME)).to.equal(0);
    expect(throttle.begin('bert', HOME), 'another user').to.equal(0);
  });

  it('has no part in what was right', () => {
    const { clock, throttle } = begun();
    for (let i = 0; i < 300; i++) {
      expect(throttle.begin('ada', `172.16.${i >> 8}.${i & 255}`)).to.equal(0);
      throttle.succeeded('ada', `172.16.${i >> 8}.${i & 255}`);
    }
    expect(guesses(throttle, clock, 1_000)).to.be.within(100, 101);
  });
});

describe('guessing with somebody’s cookie, or where they are', () => {
  it('has few tries', () => {
    let now = 0;
    const throttle = new Throttle(() => now);
    throttle.begin('ada', HOME);
    throttle.succeeded('ada', HOME);
    for (const [address, browser] of [
      [HOME, undefined],
      ['203.0.113.1', 'hers'],
    ] as const) {
      let tried = 0;
      for (const end = now + 60 * MINUTE; now < end; ) {
        const wait = throttle.begin('ada', address, browser);
        if (wait === 0) tried++;
        now += wait;
      }
      expect(tried, `${address} ${browser}`).to.be.within(15, 20);
    }
  });

  it('has its own count for each browser', () => {
    const throttle = new Throttle(() => 0);
    for (let i = 0; i < 6; i++) throttle.begin('ada', HOME, 'stolen');
    expect(throttle.begin('ada', HOME, 'stolen')).to.be.greaterThan(0);
    expect(throttle.begin('ada', HOME, 'hers')).to.equal(0);
  });

  it('of a token is slowed by address', () => {
    const throttle = new Throttle(() => 0);
    for (let i = 0; i < 20; i++) expect(throttle.wrongToken(HOME)).to.equal(0);
    expect(throttle.wrongToken(HOME)).to.be.greaterThan(0);
    expect(throttle.wrongToken('203.0.113.1')).to.equal(0);
  });
});

describe('turns at checking passwords', () => {
  /** Runs `ask`s while one task holds the only place; resolves with the order in which they had their turn. */
  async function order(most: number, ask: (enter: (name: string, address: string, known?: boolean) => void) => void) {
    const turns = new Turns(1, most);
    const begun: string[] = [];
    let release = () => {};
    const held = turns.run(
      { address: '', known: true },
      () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    );
    const all: Promise<unknown>[] = [held];
    const refused: string[] = [];
    ask((name, address, known = false) => {
      const run = turns.run({ address, known }, async () => void begun.push(name));
      all.push(
        run.catch((error: unknown) => {
          expect(error).to.include({ code: 'busy' });
          refused.push(name);
        }),
      );
    });
    release();
    await Promise.all(all);
    return { begun, refused };
  }

  it('come to the known first, then to each address', async () => {
    const { begun } = await order(10, (enter) => {
      for (let i = 0; i < 3; i++) enter(`guess ${i}`, '10.0.0.1');
      enter('other', '10.0.0.2');
      enter('known', '10.0.0.3', true);
    });
    expect(begun).to.deep.equal(['known', 'guess 0', 'other', 'guess 1', 'guess 2']);
  });

  it('are lost by the address with the most, when there is no room', async () => {
    const { begun, refused } = await order(3, (enter) => {
      for (let i = 0; i < 4; i++) enter(`guess ${i}`, '10.0.0.1');
      enter('honest', '10.0.0.2');
      for (let i = 0; i < 3; i++) enter(`known ${i}`, '10.0.0.3', true);
    });
    expect(refused).to.deep.equal(['guess 3', 'guess 2']);
    expect(begun).to.deep.equal(['known 0', 'known 1', 'known 2', 'guess 0', 'honest', 'guess 1']);
  });

  it('are refused when every address has one', async () => {
    const { refused } = await order(3, (enter) => {
      for (let i = 0; i < 5; i++) enter(`guess ${i}`, `10.0.0.${i}`);
    });
    expect(refused).to.deep.equal(['guess 3', 'guess 4']);
  });

  it('go on after a task that fails', async () => {
    const turns = new Turns(1, 10);
    const fails = turns.run({ address: 'a', known: false }, () => Promise.reject(new Error('no')));
    const next = turns.run({ address: 'b', known: false }, async () => 'next');
    expect(await rejection(fails)).to.be.instanceOf(Error);
    expect(await next).to.equal('next');
    expect(await turns.run({ address: 'c', known: false }, async () => 'last')).to.equal('last');
  });
});
