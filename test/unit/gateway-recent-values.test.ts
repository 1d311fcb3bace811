import { expect } from 'chai';
import { RecentValues } from '../../dashboard-gateway/events/recent-values.ts';
import { instant } from '../../telemetry/instant.ts';

/** The same as plainly as it can be said: a list of the latest values. */
class Plain {
  private readonly list: { key: string; value: number; batch: string; entry: number }[] = [];
  private readonly limit: number;
  private batch = '';
  private entry = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  begin(batch: string): void {
    this.batch = batch;
    this.entry++;
  }

  take(farm: string, sensor: string, ts: number, values: Readonly<Record<string, number>>) {
    return Object.entries(values).flatMap(([metric, value]) => {
      const key = JSON.stringify([farm, sensor, ts, metric]);
      const before = this.list.findLast((one) => one.key === key);
      this.list.push({ key, value, batch: this.batch, entry: this.entry });
      if (this.list.length > this.limit) this.list.shift();
      if (!before || before.value === value) return [];
      if (before.entry !== this.entry && root(before.batch) === root(this.batch)) return [];
      return [{ metric, old: before.value, new: value, batch: before.batch }];
    });
  }
}

function root(batch: string): string {
  return batch.split('#')[0] ?? '';
}

/** Numbers below `n` that look random and are the same each time. */
function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

describe('the latest values', () => {
  it('are those of a plain list, whatever comes', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const pick = numbers(seed);
      const limit = 2 ** (1 + pick(7));
      const [recent, plain] = [new RecentValues(limit), new Plain(limit)];
      let differing = 0;
      for (let i = 0; i < 1_500; i++) {
        if (i === 0 || pick(3) === 0) {
          const batch = `batch-${pick(6)}${pick(3) === 0 ? `#${pick(2)}` : ''}`;
          recent.begin(batch);
          plain.begin(batch);
        }
        const [farm, sensor] = [`f${pick(2)}`, `s${pick(4)}`];
        const ts = instant(1_764_000_000_000 + pick(4), pick(3));
        const values = Object.fromEntries(['a', 'b', 'constructor'].slice(pick(3)).map((name) => [name, pick(3)]));
        const found = recent.take({ farm, sensor, ts, received: ts, values });
        expect(found, `seed ${seed}, step ${i}`).to.deep.equal(plain.take(farm, sensor, ts, values));
        differing += found.length;
      }
      if (limit > 8) expect(differing, `seed ${seed}`).to.be.greaterThan(0);
    }
  });

  it('tell names apart that are cut elsewhere', () => {
    const recent = new RecentValues(16);
    const values = (n: number) => ({ ts: 1, received: 1, values: { m: n } });
    recent.begin('one');
    recent.take({ farm: 'ab', sensor: 'c', ...values(1) });
    recent.begin('two');
    expect(recent.take({ farm: 'a', sensor: 'bc', ...values(2) })).to.deep.equal([]);
    expect(recent.take({ farm: 'abc', sensor: '', ...values(3) })).to.deep.equal([]);
    expect(recent.take({ farm: 'ab', sensor: 'c', ...values(4) })).to.have.length(1);
  });

  it('of one key that comes for ever are found as fast as others', () => {
    const recent = new RecentValues(2 ** 16);
    const begun = performance.now();
    for (let i = 0; i < 300_000; i++) {
      recent.begin(`batch ${i}`);
      const found = recent.take({ farm: 'f', sensor: 's', ts: 1, received: 1, values: { a: i } });
      if (found.length !== Math.min(i, 1)) throw new Error(`at ${i}`);
    }
    // A list that grew with each would take minutes.
    expect(performance.now() - begun).to.be.lessThan(20_000);
  });
});
