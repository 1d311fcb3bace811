import { expect } from 'chai';
import type { Follower, Log, LogEntry, LogLimits, LogPosition } from '../../backbone/ports/log.ts';
import { Closed, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import { itIfLong } from '../services/length.ts';
import { until } from '../services/wait.ts';
import { type ChildScript, startChild } from './child-process.ts';
import { body, numberOf, range, rejection } from './numbered.ts';

/** One empty log of an adapter, and how to come at it. Each test sets up its own. */
export interface LogFixture {
  /**
   * Opens the log, with limits that trim nothing unless given. Called again after `close` it opens the same one;
   * called while another is open (only if `supports.manyOpeners`) it is a second process's view.
   */
  open(limits?: Partial<LogLimits>): Promise<Log>;
  /** Deletes the log, which nobody has open: the next `open` makes it anew. */
  startOver(): Promise<void>;
  /** With these limits, appending 10 kB entries over and over must trim. Every open of one test uses the same. */
  readonly trimming: Partial<LogLimits>;
  readonly supports: {
    /** Several may have the log open at once. */
    readonly manyOpeners: boolean;
  };
  /** A script that calls `logChild` with an `open` for this very log. */
  readonly child: ChildScript;
  cleanup(): Promise<void>;
}

/** What every log must do. */
export function logContract(name: string, setup: () => Promise<LogFixture>): void {
  describe(`${name}: the log's contract`, () => {
    let fixture: LogFixture;
    let opened: Log[];

    beforeEach(async () => {
      opened = [];
      fixture = await setup();
    });

    afterEach(async () => {
      await Promise.all(opened.map((log) => log.close()));
      await fixture.cleanup();
    });

    async function open(limits?: Partial<LogLimits>): Promise<Log> {
      const log = await fixture.open(limits);
      opened.push(log);
      return log;
    }

    it('two logs share nothing', async () => {
      const other = await setup();
      const [one, two] = [await open(), await other.open()];
      try {
        await one.append(body(1));
        expect(await two.read('first', 10)).to.deep.equal([]);
        expect((await one.head()).epoch).not.to.equal((await two.head()).epoch);
      } finally {
        await two.close();
        await other.cleanup();
      }
    });

    it('opens and closes with nothing in between', async () => {
      const log = await open();
      expect(log.state.is).to.equal('up');
      await log.close();
      expect(log.state.is).to.equal('closed');
    });

    it('tells watchers when it closes, once, and not those who stopped watching', async () => {
      const log = await open();
      const seen: string[] = [];
      const unseen: string[] = [];
      log.watch((state) => seen.push(state.is));
      log.watch((state) => unseen.push(state.is))();
      await log.close();
      expect(seen).to.deep.equal(['closed']);
      expect(unseen).to.deep.equal([]);
    });

    it('an empty log has a head, nothing to read, and first equal to next', async () => {
      const log = await open();
      const head = await log.head();
      expect(head.epoch).to.be.a('string').and.not.equal('');
      expect(head.first).to.equal(head.next);
      for (const from of ['first', 'next', { offset: head.next }] as const) {
        expect(await log.read(from, 10)).to.deep.equal([]);
      }
    });

    it('an entry is read back byte for byte', async () => {
      const log = await open();
      const large = Buffer.from('before|wanted|after');
      const sent = [
        Buffer.alloc(0),
        Buffer.from([0]),
        Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
        Buffer.alloc(256 * 1024, 'large'),
        large.subarray(7, 13),
      ];
      for (const entry of sent) await log.append(entry);
      const read = await log.read('first', 10);
      expect(read.map((e) => Buffer.from(e.body).equals(sent[read.indexOf(e)] ?? large))).to.deep.equal(
        Array(5).fill(true),
      );
    });

    it('offsets strictly grow in the order of appending, and lie between first and next', async () => {
      const log = await open();
      await appendMany(log, 0, 500);
      const read = await readAll(log, 'first');
      expect(read.map(numberOf)).to.deep.equal(range(0, 500));
      expectGrowing(read);
      const head = await log.head();
      expect(read[0]?.offset).to.be.at.least(head.first);
      expect(read.at(-1)?.offset).to.be.below(head.next);
    });

    it('head().next is above every entry so far and at most the next one', async () => {
      const log = await open();
      for (const n of range(0, 5)) {
        const before = (await log.head()).next;
        await log.append(body(n));
        const [entry] = await log.read({ offset: before }, 10);
        expect(entry && numberOf(entry)).to.equal(n);
      }
    });

    it('read gives at most limit entries, and reading on from the last offset + 1 gives the rest', async () => {
      const log = await open();
      await appendMany(log, 0, 100);
      const first = await log.read('first', 30);
      expect(first.map(numberOf)).to.deep.equal(range(0, 30));
      const rest = await log.read({ offset: (first.at(-1)?.offset ?? 0) + 1 }, 1_000);
      expect(rest.map(numberOf)).to.deep.equal(range(30, 100));
    });

    it('reading again from any offset gives the same, also after reopening', async () => {
      const log = await open();
      await appendMany(log, 0, 50);
      const all = plain(await readAll(log, 'first'));
      for (const i of [0, 1, 17, 49]) {
        const again = await readAll(log, { offset: all[i]?.offset ?? -1 });
        expect(plain(again)).to.deep.equal(all.slice(i));
      }
      await log.close();
      const later = await open();
      expect(plain(await readAll(later, 'first'))).to.deep.equal(all);
      await later.append(body(50));
      expect((await readAll(later, 'first')).map(numberOf)).to.deep.equal(range(0, 51));
    });

    it("read from 'next' is empty however much there is", async () => {
      const log = await open();
      await appendMany(log, 0, 5);
      expect(await log.read('next', 10)).to.deep.equal([]);
    });

    it('many appends at once are all kept, in order', async function () {
      this.timeout(120_000);
      const log = await open();
      await appendMany(log, 0, 10_000);
      const read = await readAll(log, 'first');
      expect(read.map(numberOf)).to.deep.equal(range(0, 10_000));
      expectGrowing(read);
    });

    it('the epoch stays over appends and over reopening', async () => {
      const log = await open();
      const { epoch } = await log.head();
      await appendMany(log, 0, 10);
      expect((await log.head()).epoch).to.equal(epoch);
      await log.close();
      const later = await open();
      expect((await later.head()).epoch).to.equal(epoch);
      const read = await later.read({ offset: 0, epoch }, 100);
      expect(read.map(numberOf)).to.deep.equal(range(0, 10));
    });

    it('an epoch that is not the current one is refused, wherever the offset points', async () => {
      const log = await open();
      await appendMany(log, 0, 10);
      const { epoch, next } = await log.head();
      for (const offset of [0, next - 1, next, next + 1_000]) {
        const from = { offset, epoch: 'some-other' };
        for (const refused of [() => log.read(from, 10), () => log.follow(from, () => {})]) {
          const error = await rejection(refused());
          expect(error).to.be.instanceOf(UnknownEpoch).with.property('epoch', epoch);
        }
      }
    });

    it('a log that was deleted and made anew has another epoch, and readers with the old one are told', async () => {
      const log = await open();
      await appendMany(log, 0, 10);
      const old = await log.head();
      await log.close();
      await fixture.startOver();
      const anew = await open();
      const { epoch } = await anew.head();
      expect(epoch).not.to.equal(old.epoch);
      expect(await anew.read('first', 10)).to.deep.equal([]);
      await anew.append(body(0));
      const error = await rejection(anew.read({ offset: 0, epoch: old.epoch }, 10));
      expect(error).to.be.instanceOf(UnknownEpoch).with.property('epoch', epoch);
      const following = await rejection(anew.follow({ offset: old.next, epoch: old.epoch }, () => {}));
      expect(following).to.be.instanceOf(UnknownEpoch);
    });

    describe('following', () => {
      it("from 'first' gives what was there and what comes, in order, without hole or double", async () => {
        const log = await open();
        await appendMany(log, 0, 300);
        const seen: LogEntry[] = [];
        await log.follow('first', collect(seen));
        await appendMany(log, 300, 600);
        await until('all', () => seen.length >= 600);
        expect(seen.map(numberOf)).to.deep.equal(range(0, 600));
        expectGrowing(seen);
      });

      it("from 'next' gives everything appended after it has begun, and nothing before", async () => {
        const log = await open();
        await appendMany(log, 0, 10);
        const seen: LogEntry[] = [];
        await log.follow('next', collect(seen));
        await appendMany(log, 10, 200);
        await until('all', () => seen.length >= 190);
        expect(seen.map(numberOf)).to.deep.equal(range(10, 200));
      });

      it('from an offset gives that entry and all later ones', async () => {
        const log = await open();
        await appendMany(log, 0, 100);
        const { epoch } = await log.head();
        const all = await readAll(log, 'first');
        const seen: LogEntry[] = [];
        await log.follow({ offset: all[40]?.offset ?? -1, epoch }, collect(seen));
        await appendMany(log, 100, 150);
        await until('all', () => seen.length >= 110);
        expect(seen.map(numberOf)).to.deep.equal(range(40, 150));
        expect(plain(seen.slice(0, 60))).to.deep.equal(plain(all.slice(40)));
      });

      it('from the head of an empty log gives the first entry', async () => {
        const log = await open();
        const { next } = await log.head();
        const seen: LogEntry[] = [];
        await log.follow({ offset: next }, collect(seen));
        await log.append(body(0));
        await until('it', () => seen.length === 1);
      });

      it('begun in the middle of appending misses nothing and repeats nothing', async () => {
        const log = await open();
        const appends = range(0, 2_000).map((n) => log.append(body(n)));
        const seen: LogEntry[] = [];
        await log.follow('first', collect(seen));
        await Promise.all(appends);
        await until('all', () => seen.length >= 2_000);
        expect(seen.map(numberOf)).to.deep.equal(range(0, 2_000));
      });

      it('by many at once gives each the same', async () => {
        const log = await open();
        await appendMany(log, 0, 50);
        const views: LogEntry[][] = [[], [], []];
        for (const view of views) await log.follow('first', collect(view));
        await appendMany(log, 50, 100);
        await until('all', () => views.every((view) => view.length >= 100));
        for (const view of views) expect(view.map(numberOf)).to.deep.equal(range(0, 100));
      });

      it('calls a slow handler again only after its last promise resolved', async () => {
        const log = await open();
        await appendMany(log, 0, 500);
        const seen: LogEntry[] = [];
        let calls = 0;
        let working = 0;
        let most = 0;
        await log.follow('first', async (entries) => {
          calls++;
          most = Math.max(most, ++working);
          await log.append(body(500 + calls));
          await new Promise((resolve) => setImmediate(resolve));
          if (calls < 5) await log.append(body(600 + calls));
          seen.push(...entries);
          working--;
        });
        await until('a good many calls', () => calls >= 10);
        expect(most).to.equal(1);
        expectGrowing(seen);
      });

      it("a handler's error ends it: ended rejects with that error, and no handler is called any more", async () => {
        for (const failing of [
          () => Promise.reject(failure),
          () => {
            throw failure;
          },
        ]) {
          const log = await open();
          let calls = 0;
          const follower = await log.follow('next', () => {
            calls++;
            return failing();
          });
          await log.append(body(1));
          expect(await rejection(follower.ended)).to.equal(failure);
          await log.append(body(2));
          await follower.stop();
          expect(calls).to.equal(1);
          await log.close();
        }
      });

      it('after stop no handler is called, and ended resolves', async () => {
        const log = await open();
        const seen: LogEntry[] = [];
        const follower = await log.follow('first', collect(seen));
        await log.append(body(0));
        await until('the first', () => seen.length === 1);
        await follower.stop();
        await follower.ended;
        await follower.stop();
        const witness: LogEntry[] = [];
        await log.follow('next', collect(witness));
        await log.append(body(1));
        await until('another follower has it', () => witness.length === 1);
        expect(seen.length).to.equal(1);
      });

      it('stop waits for the handler at work, and may be called from within it', async () => {
        const log = await open();
        const followers: Follower[] = [];
        let release = () => {};
        const held = new Promise<void>((resolve) => {
          release = resolve;
        });
        let began = false;
        let finished = false;
        const slow = await log.follow('first', async () => {
          began = true;
          await held;
          finished = true;
        });
        const own = await log.follow('first', () => void followers[0]?.stop());
        followers.push(own);
        await log.append(body(0));
        await own.ended;
        await until('the slow handler', () => began);
        const stopping = slow.stop().then(() => finished);
        release();
        expect(await stopping).to.equal(true);
      });

      it('close ends followers: ended resolves', async () => {
        const log = await open();
        const follower = await log.follow('first', () => {});
        await log.close();
        await follower.ended;
      });
    });

    describe('trimmed from its old end', () => {
      async function trimmed(): Promise<Log> {
        const log = await open(fixture.trimming);
        await appendUntilTrimmed(log, 0);
        return log;
      }

      it('keeps its epoch, its newest entries and their offsets, also over reopening', async function () {
        this.timeout(120_000);
        const log = await open(fixture.trimming);
        const { epoch } = await log.head();
        const last = await appendUntilTrimmed(log, 0);
        const kept = await readAll(log, 'first');
        expect(kept.map(numberOf)).to.deep.equal(range(last + 1 - kept.length, last + 1));
        const head = await log.head();
        expect(head.epoch).to.equal(epoch);
        expect(head.first)
          .to.be.greaterThan(0)
          .and.at.most(kept[0]?.offset ?? -1);
        await log.close();
        const later = await open(fixture.trimming);
        expect((await later.head()).epoch).to.equal(epoch);
        const again = plain(await readAll(later, 'first'));
        const byOffset = new Map(plain(kept).map((entry) => [entry.offset, entry.body]));
        expect(again.length).to.be.greaterThan(0);
        for (const entry of again) expect(byOffset.get(entry.offset)).to.equal(entry.body);
      });

      it('keeps its epoch when trimmed many times over', async function () {
        this.timeout(180_000);
        const log = await open(fixture.trimming);
        const { epoch } = await log.head();
        let last = -1;
        let firstKept = (await log.head()).first;
        for (let times = 0; times < 4; times++) {
          last = await appendUntilTrimmed(log, last + 1, firstKept);
          firstKept = (await log.head()).first;
        }
        expect((await log.head()).epoch).to.equal(epoch);
        await log.close();
        const later = await open(fixture.trimming);
        expect((await later.head()).epoch).to.equal(epoch);
      });

      it('refuses an offset that is gone with Trimmed, which says where the log begins now', async function () {
        this.timeout(120_000);
        const log = await trimmed();
        const { epoch } = await log.head();
        for (const from of [{ offset: 0 }, { offset: 0, epoch }]) {
          for (const refused of [() => log.read(from, 10), () => log.follow(from, () => {})]) {
            const error = await rejection(refused());
            expect(error).to.be.instanceOf(Trimmed);
            const first = error instanceof Trimmed ? error.first : -1;
            const [entry] = await log.read({ offset: first, epoch }, 1);
            expect(entry?.offset).to.be.at.least(first);
          }
        }
      });

      it('a follower that is overtaken by trimming is told with Trimmed, not led over the gap', async function () {
        this.timeout(120_000);
        const log = await open(fixture.trimming);
        const seen: LogEntry[] = [];
        let release = () => {};
        const held = new Promise<void>((resolve) => {
          release = resolve;
        });
        const follower = await log.follow('first', async (entries) => {
          seen.push(...entries);
          await held;
        });
        await log.append(body(0));
        await until('it is held up', () => seen.length > 0);
        const last = await appendUntilTrimmed(log, 1, 1);
        // What an adapter had read ahead may still come; the end of it must be Trimmed unless it missed nothing.
        release();
        let ending: unknown;
        follower.ended.catch((error: unknown) => {
          ending = error;
        });
        await until('its end', () => ending !== undefined || seen.length === last + 1, { timeoutMs: 30_000 });
        if (ending !== undefined) expect(ending).to.be.instanceOf(Trimmed);
        expect(seen.map(numberOf)).to.deep.equal(range(0, seen.length));
      });

      itIfLong('a follower that keeps up sees every entry while the log is trimmed behind it', async function () {
        this.timeout(120_000);
        const log = await open(fixture.trimming);
        const begin = (await log.head()).first;
        const seen: number[] = [];
        await log.follow('first', (entries) => void seen.push(...entries.map(numberOf)));
        let last = -1;
        while ((await log.head()).first === begin || last < 50) {
          last++;
          await log.append(body(last, 10_000));
          await until('it has come', () => seen.length > last, { everyMs: 1 });
          if (last > 5_000) throw new Error('the log is never trimmed');
        }
        expect(seen).to.deep.equal(range(0, last + 1));
      });
    });

    it('close may be called twice, also at the same time, and waits for appends under way', async () => {
      const log = await open();
      const appends = range(0, 200).map((n) => log.append(body(n)));
      await Promise.all([log.close(), log.close()]);
      await log.close();
      await Promise.all(appends);
      const later = await open();
      expect(await readAll(later, 'first')).to.have.length(200);
    });

    it('any other use after close rejects with Closed', async () => {
      const log = await open();
      await log.close();
      const uses = [
        () => log.append(body(1)),
        () => log.read('first', 1),
        () => log.follow('first', () => {}),
        () => log.head(),
      ];
      for (const use of uses) expect(await rejection(use())).to.be.instanceOf(Closed);
    });

    it('what append resolved for survives kill -9 of the one who appended', async () => {
      const child = await startChild(fixture.child, { TASK: 'write' });
      await child.printed(200);
      await child.kill();
      const promised = child.lines().map(Number);
      const log = await open();
      const kept = new Set((await readAll(log, 'first')).map(numberOf));
      expect(promised.filter((n) => !kept.has(n))).to.deep.equal([]);
    });

    it('where several may open it, what one appends the others follow; otherwise the second is refused', async () => {
      const one = await open();
      if (!fixture.supports.manyOpeners) {
        expect(await rejection(fixture.open())).to.be.instanceOf(Error);
        await one.append(body(1));
        return;
      }
      const two = await open();
      expect((await two.head()).epoch).to.equal((await one.head()).epoch);
      const seen: LogEntry[] = [];
      await two.follow('first', collect(seen));
      await Promise.all([appendMany(one, 0, 100), appendMany(two, 100, 200)]);
      await until('all', () => seen.length >= 200);
      expectGrowing(seen);
      expect(plain(await readAll(one, 'first'))).to.deep.equal(plain(seen));
    });
  });
}

const failure = new Error('the handler could not');

async function appendMany(log: Log, from: number, to: number): Promise<void> {
  await Promise.all(range(from, to).map((n) => log.append(body(n))));
}

/** Appends entries of 10 kB until the log begins above `begin` (where it begins now, if not given); gives the last one's number. */
async function appendUntilTrimmed(log: Log, from: number, begin?: number): Promise<number> {
  // Where it begins when nothing was trimmed: not always at 0, a log may open with an entry of its own.
  const above = begin ?? (await log.head()).first;
  for (let n = from; n < from + 5_000; n += 20) {
    await Promise.all(range(n, n + 20).map((each) => log.append(body(each, 10_000))));
    if ((await log.head()).first > above) return n + 19;
  }
  throw new Error('the log is never trimmed');
}

async function readAll(log: Log, from: LogPosition): Promise<LogEntry[]> {
  const all = await log.read(from, 700);
  for (let more = all; more.length > 0; ) {
    more = await log.read({ offset: (all.at(-1)?.offset ?? 0) + 1 }, 700);
    all.push(...more);
  }
  return all;
}

function collect(into: LogEntry[]): (entries: readonly LogEntry[]) => void {
  return (entries) => void into.push(...entries);
}

function expectGrowing(entries: readonly LogEntry[]): void {
  expect(entries.every((entry, i) => i === 0 || entry.offset > (entries[i - 1]?.offset ?? 0))).to.equal(true);
}

function plain(entries: readonly LogEntry[]): { offset: number; body: string }[] {
  return entries.map((entry) => ({ offset: entry.offset, body: Buffer.from(entry.body).toString('hex') }));
}
