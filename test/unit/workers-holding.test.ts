import { expect } from 'chai';
import { WorkBudget, type WorkSlot } from '../../workers/work-budget.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Enters, and remembers in `inside` when it was let in. */
function enter(holding: WorkBudget, inside: string[], name: string, bytes: number, alone = false): Promise<WorkSlot> {
  const entered = holding.enter(bytes, alone);
  void entered.then(() => inside.push(name));
  return entered;
}

describe('what a worker holds', () => {
  it('is bounded by readings: who comes after waits, in order, until there is room', async () => {
    const holding = new WorkBudget({ readings: 100, bytes: 1e9 });
    const inside: string[] = [];
    const first = await enter(holding, inside, 'a', 1);
    first.counted(60);
    const second = await enter(holding, inside, 'b', 1);
    second.counted(60);
    // Until it is counted, it is reckoned as 50 readings.
    void enter(holding, inside, 'c', 400);
    void enter(holding, inside, 'd', 1);
    await turn();
    expect(inside).to.deep.equal(['a', 'b']);
    expect(holding.held).to.equal(120);
    first.leave();
    await turn();
    expect(inside).to.deep.equal(['a', 'b', 'c']);
  });

  it('is bounded by bytes, and overstepped by one message at most', async () => {
    const holding = new WorkBudget({ readings: 1e9, bytes: 100 });
    const inside: string[] = [];
    const large = await enter(holding, inside, 'large', 1_000);
    large.counted(1);
    void enter(holding, inside, 'next', 1);
    await turn();
    expect(inside).to.deep.equal(['large']);
    large.leave();
    await turn();
    expect(inside).to.deep.equal(['large', 'next']);
  });

  it('is reckoned by the bytes of a message until it is counted: it is large only once it is unpacked', async () => {
    const holding = new WorkBudget({ readings: 10, bytes: 1e9 });
    const inside: string[] = [];
    const first = await enter(holding, inside, 'a', 80);
    void enter(holding, inside, 'b', 1);
    await turn();
    expect(inside).to.deep.equal(['a']);
    first.counted(10);
    await turn();
    expect(inside).to.deep.equal(['a']);
    first.leave();
    await turn();
    expect(inside).to.deep.equal(['a', 'b']);
    const second = await enter(holding, inside, 'c', 80);
    void enter(holding, inside, 'd', 1);
    await turn();
    expect(inside).to.deep.equal(['a', 'b', 'c']);
    second.counted(2);
    await turn();
    expect(inside).to.deep.equal(['a', 'b', 'c', 'd']);
  });

  it('can be one message alone: it waits for all others to leave, and keeps those after it out', async () => {
    const holding = new WorkBudget({ readings: 100, bytes: 1e9 });
    const inside: string[] = [];
    const before = await enter(holding, inside, 'before', 1);
    before.counted(1);
    const alone = enter(holding, inside, 'alone', 1, true);
    void enter(holding, inside, 'after', 1);
    await turn();
    expect(inside).to.deep.equal(['before']);
    before.leave();
    const place = await alone;
    place.counted(1);
    await turn();
    expect(inside).to.deep.equal(['before', 'alone']);
    place.leave();
    place.leave();
    await turn();
    expect(inside).to.deep.equal(['before', 'alone', 'after']);
    expect(holding.size).to.equal(1);
  });
});
