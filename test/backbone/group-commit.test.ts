import { expect } from 'chai';
import { GroupCommit } from '../../backbone/segments/group-commit.ts';
import { until } from '../services/wait.ts';
import { rejection } from './numbered.ts';

/** A disk whose transactions end when the test says so. */
class Disk {
  readonly transactions: { changes: readonly number[]; end: () => void; fail: (error: Error) => void }[] = [];

  readonly commit = (changes: readonly number[]) =>
    new Promise<void>((resolve, reject) => {
      this.transactions.push({ changes, end: resolve, fail: reject });
    });

  async transaction(index: number) {
    return await until(`transaction ${index}`, () => this.transactions[index], { everyMs: 1 });
  }
}

describe('group commit', () => {
  let disk: Disk;

  beforeEach(() => {
    disk = new Disk();
  });

  it('changes that come while a transaction runs wait for it and go together, in order', async () => {
    const commits = new GroupCommit(disk.commit);
    const first = commits.add(1);
    const one = await disk.transaction(0);
    const rest = [2, 3, 4].map((change) => commits.add(change));
    one.end();
    await first;
    const two = await disk.transaction(1);
    expect(disk.transactions.map(({ changes }) => changes)).to.deep.equal([[1], [2, 3, 4]]);
    two.end();
    await Promise.all(rest);
    await commits.end();
  });

  it('a transaction takes no more changes, and no more bytes, than it may', async () => {
    const commits = new GroupCommit(disk.commit, { mostChanges: 3, mostBytes: 100 });
    const all = [10, 10, 10, 10, 60, 60, 500].map((bytes, i) => commits.add(i, bytes));
    expect(commits.waitingBytes).to.equal(660);
    for (let i = 0; i < 4; i++) (await disk.transaction(i)).end();
    await Promise.all(all);
    expect(disk.transactions.map(({ changes }) => changes)).to.deep.equal([[0, 1, 2], [3, 4], [5], [6]]);
    expect(commits.waitingBytes).to.equal(0);
    await commits.end();
  });

  it('a failure rejects what was in the transaction and nothing else, and the disk is tried again by itself', async () => {
    const commits = new GroupCommit(disk.commit, { retryMs: 5 });
    const states: string[] = [];
    commits.connection.watch((state) => states.push(state.is));
    const failing = rejection(commits.add(1));
    const one = await disk.transaction(0);
    const waiting = commits.add(2);
    const error = new Error('no space');
    one.fail(error);
    expect(await failing).to.equal(error);
    (await disk.transaction(1)).fail(error);
    expect(await rejection(waiting)).to.equal(error);
    const retry = await disk.transaction(2);
    expect(retry.changes).to.deep.equal([]);
    expect(states).to.deep.equal(['down']);
    retry.end();
    await until('up', () => states.at(-1) === 'up');
    await commits.end();
    expect(states).to.deep.equal(['down', 'up', 'closed']);
    expect(disk.transactions.length).to.equal(3);
  });

  it('when a transaction is late, all who wait are told in time and nothing more is taken, until it has ended', async () => {
    const commits = new GroupCommit(disk.commit, { deadlineMs: 20 });
    const running = rejection(commits.add(1));
    const one = await disk.transaction(0);
    const waiting = rejection(commits.add(2));
    expect(await running).to.be.instanceOf(Error);
    expect(await waiting).to.be.instanceOf(Error);
    expect(await rejection(commits.add(3))).to.be.instanceOf(Error);
    expect(commits.connection.state.is).to.equal('down');
    one.end();
    (await disk.transaction(1)).end();
    expect(disk.transactions.map(({ changes }) => changes)).to.deep.equal([[1], [2]]);
    await until('up', () => commits.connection.state.is === 'up');
    const again = commits.add(4);
    (await disk.transaction(2)).end();
    await again;
    await commits.end();
  });

  it('a nudge makes a transaction, also when it comes while one runs', async () => {
    const commits = new GroupCommit(disk.commit);
    commits.commitSoon();
    const one = await disk.transaction(0);
    commits.commitSoon();
    commits.commitSoon();
    one.end();
    (await disk.transaction(1)).end();
    await commits.end();
    expect(disk.transactions.map(({ changes }) => changes)).to.deep.equal([[], []]);
  });
});
