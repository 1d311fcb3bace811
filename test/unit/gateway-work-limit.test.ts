import { expect } from 'chai';
import { HttpProblem } from '../../dashboard-gateway/http/problem.ts';
import { WorkLimit } from '../../dashboard-gateway/http/work-limit.ts';
import { until } from '../services/wait.ts';

describe('gateway: work with a limit', () => {
  const LIMITS = { running: 4, runningOfOne: 3, waiting: 10 };
  let limit: WorkLimit;
  /** Whose tasks have begun, in order, and what ends each. */
  let begun: { readonly owner: string; readonly end: () => void }[];

  beforeEach(() => {
    limit = new WorkLimit(LIMITS);
    begun = [];
  });

  function ask(owner: string, farm = `farm of ${owner}`): Promise<string> {
    const work = () => new Promise<string>((resolve) => void begun.push({ owner, end: () => resolve('done') }));
    return limit
      .run([owner, farm], work)
      .catch((error: unknown) => (error instanceof HttpProblem ? error.code : 'bad'));
  }
  const owners = () => begun.map(({ owner }) => owner).join('');

  it('leaves room for others, whatever one asks for', async () => {
    const all = Array.from({ length: 8 }, () => ask('a'));
    expect(owners()).to.equal('aaa');
    all.push(ask('b'));
    expect(owners()).to.equal('aaab');
    for (let i = 0; i < 9; i++) {
      await until('the next has begun', () => begun[i] !== undefined);
      begun[i]?.end();
    }
    expect(new Set(await Promise.all(all))).to.deep.equal(new Set(['done']));
  });

  it('leaves room beside one farm, whoever asks for it', async () => {
    const all = ['a', 'b', 'c', 'd', 'e'].map((owner) => ask(owner, 'north'));
    expect(owners()).to.equal('abc');
    all.push(ask('f', 'south'));
    expect(owners()).to.equal('abcf');
    for (let i = 0; i < 6; i++) {
      await until('the next has begun', () => begun[i] !== undefined);
      begun[i]?.end();
    }
    await Promise.all(all);
  });

  it('gives those who wait their turn, one after another', async () => {
    const all = [...'aaabaaaaabbc'].map((owner) => ask(owner));
    expect(owners()).to.equal('aaab');
    for (let i = 0; i < 12; i++) {
      await until('the next has begun', () => begun[i] !== undefined);
      begun[i]?.end();
    }
    await Promise.all(all);
    expect(owners()).to.equal('aaababcabaaa');
  });

  it('refuses the newest of whoever has most waiting, when somebody else comes', async () => {
    const all = Array.from({ length: 13 }, () => ask('a'));
    expect(await ask('a')).to.equal('busy');
    all.push(ask('b'), ask('c'));
    expect(owners()).to.equal('aaab');
    expect(await all[12]).to.equal('busy');
    for (let i = 0; i < 14; i++) {
      await until('the next has begun', () => begun[i] !== undefined);
      begun[i]?.end();
    }
    expect((await Promise.all(all)).filter((answer) => answer === 'busy')).to.have.length(1);
    expect(owners().indexOf('c')).to.be.lessThan(7);
  });
});
