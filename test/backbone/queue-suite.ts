import { expect } from 'chai';
import type { Consumer, Delivery, Queue, QueueLimits } from '../../backbone/ports/queue.ts';
import { Closed, QueueFull } from '../../core/errors.ts';
import { shortOrLong } from '../services/length.ts';
import { until } from '../services/wait.ts';
import { type ChildScript, startChild } from './child-process.ts';
import { body, range, rejection } from './numbered.ts';

/** One empty queue of an adapter, and how to come at it. Each test sets up its own. */
export interface QueueFixture {
  /**
   * Opens the queue. Called again after `close` it opens the same one; called while another is open
   * (only if `supports.manyOpeners`) it is a second process's view.
   */
  open(limits?: Partial<QueueLimits>): Promise<Queue>;
  readonly supports: {
    /** Several may have the queue open at once. */
    readonly manyOpeners: boolean;
    /** QueueFull comes exactly at the limit; otherwise some more may be taken. */
    readonly exactLimits: boolean;
  };
  /** A script that calls `queueChild` with an `open` for this very queue. */
  readonly child: ChildScript;
  cleanup(): Promise<void>;
}

/** What every queue must do. */
export function queueContract(name: string, setup: () => Promise<QueueFixture>): void {
  describe(`${name}: the queue's contract`, () => {
    let fixture: QueueFixture;
    let opened: Queue[];
    // Handlers that a failed test left waiting would hold up closing.
    let releases: (() => void)[];

    beforeEach(async () => {
      opened = [];
      releases = [];
      fixture = await setup();
    });

    afterEach(async () => {
      for (const release of releases) release();
      await Promise.all(opened.map((queue) => queue.close()));
      await fixture.cleanup();
    });

    async function open(limits?: Partial<QueueLimits>): Promise<Queue> {
      const queue = await fixture.open(limits);
      opened.push(queue);
      return queue;
    }

    function gate(): Gate {
      const made = newGate();
      releases.push(made.open);
      return made;
    }

    it('two queues share nothing', async () => {
      const other = await setup();
      const [one, two] = [await open(), await other.open()];
      try {
        await one.publish(body(1));
        await depthOf(one, 1);
        expect(await two.depth()).to.equal(0);
      } finally {
        await two.close();
        await other.cleanup();
      }
    });

    it('opens and closes with nothing in between', async () => {
      const queue = await open();
      expect(queue.state.is).to.equal('up');
      expect(await queue.depth()).to.equal(0);
      await queue.close();
      expect(queue.state.is).to.equal('closed');
    });

    it('tells watchers when it closes, once, and not those who stopped watching', async () => {
      const queue = await open();
      const seen: string[] = [];
      const unseen: string[] = [];
      queue.watch((state) => seen.push(state.is));
      queue.watch((state) => unseen.push(state.is))();
      await queue.close();
      expect(seen).to.deep.equal(['closed']);
      expect(unseen).to.deep.equal([]);
    });

    it('a message arrives byte for byte, the first time as attempt 1', async () => {
      const queue = await open();
      const sent = [
        Buffer.alloc(0),
        Buffer.from([0]),
        Buffer.from('plain'),
        Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
      ];
      for (const message of sent) await queue.publish(message);
      const seen = await take(queue, sent.length);
      expect(seen.map((d) => Buffer.from(d.body).toString('hex'))).to.deep.equal(sent.map((b) => b.toString('hex')));
      expect(seen.map((d) => d.attempt)).to.deep.equal([1, 1, 1, 1]);
    });

    it('carries messages of 256 kB', async () => {
      const queue = await open();
      const sent = Array.from({ length: 20 }, (_, i) => Buffer.alloc(256 * 1024, `${i}.`));
      await Promise.all(sent.map((message) => queue.publish(message)));
      const seen = await take(queue, sent.length);
      expect(seen.every((d, i) => Buffer.compare(d.body, sent[i] ?? Buffer.alloc(0)) === 0)).to.equal(true);
    });

    it('a body may be a window on a larger buffer', async () => {
      const queue = await open();
      const large = Buffer.from('before|wanted|after');
      await queue.publish(large.subarray(7, 13));
      const [delivery] = await take(queue, 1);
      expect(text(delivery)).to.equal('wanted');
    });

    it('first deliveries to one consumer come in the order of publishing', async () => {
      const queue = await open();
      await publishMany(queue, 0, 500);
      const seen: number[] = [];
      await queue.consume(async (d) => void seen.push(numberOf(d)), { prefetch: 10 });
      await publishMany(queue, 500, 1_000);
      await until('all', () => seen.length >= 1_000);
      expect(seen).to.deep.equal(range(0, 1_000));
    });

    it('runs as many handlers at once as prefetch says, and never more', async () => {
      const queue = await open();
      await publishMany(queue, 0, 50);
      const hold = gate();
      let working = 0;
      let most = 0;
      let done = 0;
      await queue.consume(
        async () => {
          most = Math.max(most, ++working);
          await hold.passed;
          working--;
          done++;
        },
        { prefetch: 7 },
      );
      await until('seven at work', () => working === 7);
      hold.open();
      await until('all', () => done === 50);
      expect(most).to.equal(7);
    });

    it('prefetch 1 is one after another', async () => {
      const queue = await open();
      await publishMany(queue, 0, 20);
      const events: string[] = [];
      await queue.consume(
        async (d) => {
          events.push(`begin ${numberOf(d)}`);
          await new Promise((resolve) => setImmediate(resolve));
          events.push(`end ${numberOf(d)}`);
        },
        { prefetch: 1 },
      );
      await until('all', () => events.length === 40);
      expect(events).to.deep.equal(range(0, 20).flatMap((n) => [`begin ${n}`, `end ${n}`]));
    });

    it('two consumers share the work, and each message is done once', async () => {
      const queue = await open();
      const [one, two] = [new Set<number>(), new Set<number>()];
      let done = 0;
      for (const mine of [one, two]) {
        await queue.consume(
          async (d) => {
            mine.add(numberOf(d));
            await new Promise((resolve) => setImmediate(resolve));
            done++;
          },
          { prefetch: 5 },
        );
      }
      await publishMany(queue, 0, 200);
      await until('all', () => done >= 200);
      expect(done).to.equal(200);
      expect([...one, ...two].sort((a, b) => a - b)).to.deep.equal(range(0, 200));
      expect(Math.min(one.size, two.size)).to.be.greaterThan(0);
    });

    it('depth counts what waits and what is being worked on', async () => {
      const queue = await open();
      await publishMany(queue, 0, 10);
      await depthOf(queue, 10);
      const hold = gate();
      let working = 0;
      await queue.consume(
        async () => {
          working++;
          await hold.passed;
        },
        { prefetch: 4 },
      );
      await until('four at work', () => working === 4);
      await depthOf(queue, 10);
      hold.open();
      await depthOf(queue, 0);
    });

    it('what a handler resolved is gone for good, also after reopening', async () => {
      const first = await open();
      await publishMany(first, 0, 20);
      let done = 0;
      const waiting = gate();
      const consumer = await first.consume(
        (d) => {
          if (numberOf(d) >= 10) return waiting.passed.then(() => Promise.reject(new Error('not mine')));
          done++;
          return Promise.resolve();
        },
        { prefetch: 20 },
      );
      await until('ten done', () => done === 10);
      waiting.open();
      await consumer.stop();
      await first.close();
      const second = await open();
      await depthOf(second, 10);
      const seen = await take(second, 10);
      expect(seen.map(numberOf).sort((a, b) => a - b)).to.deep.equal(range(10, 20));
      await depthOf(second, 0);
    });

    it('what was never worked on is there after reopening, in order and as attempt 1', async () => {
      const first = await open();
      await publishMany(first, 0, 50);
      await first.close();
      const second = await open();
      const seen = await take(second, 50);
      expect(seen.map(numberOf)).to.deep.equal(range(0, 50));
      expect(new Set(seen.map((d) => d.attempt))).to.deep.equal(new Set([1]));
    });

    it('a rejected handler gets its message again, as the next attempt and after a pause', async () => {
      const queue = await open();
      await queue.publish(body(1));
      const attempts: number[] = [];
      const begin = performance.now();
      await queue.consume(
        async ({ attempt }) => {
          attempts.push(attempt);
          if (attempt < 4) throw new Error('not yet');
        },
        { prefetch: 5 },
      );
      // A message on its way back may be in neither number for a moment.
      await until('the fourth attempt', () => attempts.length >= 4);
      await depthOf(queue, 0);
      expect(attempts).to.deep.equal([1, 2, 3, 4]);
      expect(performance.now() - begin).to.be.greaterThan(50);
    });

    it('a handler that throws before it returns a promise counts as rejected', async () => {
      const queue = await open();
      await queue.publish(body(1));
      const attempts: number[] = [];
      await queue.consume(
        ({ attempt }) => {
          attempts.push(attempt);
          if (attempt === 1) throw new Error('at once');
          return Promise.resolve();
        },
        { prefetch: 5 },
      );
      await until('the second attempt', () => attempts.length >= 2);
      await depthOf(queue, 0);
      expect(attempts).to.deep.equal([1, 2]);
    });

    it('a message that always fails does not hold up the others', async () => {
      const queue = await open();
      let failures = 0;
      const done = new Set<number>();
      await publishMany(queue, 0, 100);
      const consumer = await queue.consume(
        async (d) => {
          if (numberOf(d) === 0) {
            failures++;
            throw new Error('never');
          }
          done.add(numberOf(d));
        },
        { prefetch: 5 },
      );
      await until('the others', () => done.size === 99);
      await until('tries', () => failures >= 3);
      await consumer.stop();
      await depthOf(queue, 1);
    });

    it('a message given back keeps its count of attempts after reopening', async () => {
      const first = await open();
      await first.publish(body(1));
      let last = 0;
      const consumer = await first.consume(
        async ({ attempt }) => {
          last = attempt;
          throw new Error('not yet');
        },
        { prefetch: 1 },
      );
      await until('two attempts', () => last >= 2);
      await consumer.stop();
      await first.close();
      const second = await open();
      const [again] = await take(second, 1);
      expect(again?.attempt).to.be.greaterThan(last);
    });

    it('stopping a consumer waits for the handlers at work and gives back what was not begun', async () => {
      const queue = await open();
      await publishMany(queue, 0, 10);
      const hold = gate();
      const begun: number[] = [];
      const finished: number[] = [];
      const consumer = await queue.consume(
        async (d) => {
          begun.push(numberOf(d));
          await hold.passed;
          finished.push(numberOf(d));
        },
        { prefetch: 3 },
      );
      await until('three at work', () => begun.length === 3);
      let stopped = false;
      const stopping = consumer.stop().then(() => {
        stopped = true;
      });
      await publishMany(queue, 10, 12);
      expect(stopped).to.equal(false);
      hold.open();
      await stopping;
      expect(finished).to.deep.equal([0, 1, 2]);
      expect(begun).to.deep.equal([0, 1, 2]);
      await depthOf(queue, 9);
      const rest = await take(queue, 9);
      expect(rest.map(numberOf).sort((a, b) => a - b)).to.deep.equal(range(3, 12));
    });

    it('a consumer may be stopped twice and from within its own handler', async () => {
      const queue = await open();
      await publishMany(queue, 0, 3);
      const consumers: Consumer[] = [];
      const stops: Promise<void>[] = [];
      const consumer = await queue.consume(
        async () => {
          for (const each of consumers) stops.push(each.stop());
        },
        { prefetch: 1 },
      );
      consumers.push(consumer);
      await publishMany(queue, 3, 5);
      await until('a stop', () => stops.length > 0);
      await Promise.all(stops);
      await consumer.stop();
      expect(stops.length).to.equal(1);
    });

    it('drain stops consumers, waits for handlers and publishes under way, and the queue stays usable', async () => {
      const queue = await open();
      await publishMany(queue, 0, 10);
      const hold = gate();
      let working = 0;
      let finished = 0;
      await queue.consume(
        async () => {
          working++;
          await hold.passed;
          finished++;
        },
        { prefetch: 2 },
      );
      await until('two at work', () => working === 2);
      let settled = 0;
      const publishes = range(10, 60).map((n) => queue.publish(body(n)).then(() => settled++));
      const draining = queue.drain();
      hold.open();
      await draining;
      expect(finished).to.equal(2);
      expect(working).to.equal(2);
      expect(settled).to.equal(50);
      await Promise.all(publishes);
      await queue.publish(body(60));
      await depthOf(queue, 59);
    });

    it('close may be called twice, also at the same time', async () => {
      const queue = await open();
      await queue.publish(body(1));
      await Promise.all([queue.close(), queue.close()]);
      await queue.close();
    });

    it('any other use after close rejects with Closed', async () => {
      const queue = await open();
      await queue.close();
      const uses = [
        () => queue.publish(body(1)),
        () => queue.depth(),
        () => queue.drain(),
        () => queue.consume(async () => {}, { prefetch: 1 }),
      ];
      for (const use of uses) expect(await rejection(use())).to.be.instanceOf(Closed);
    });

    it('close waits for publishes under way, and they are kept', async () => {
      const first = await open();
      const publishes = range(0, 200).map((n) => first.publish(body(n)));
      await first.close();
      await Promise.all(publishes);
      const second = await open();
      await depthOf(second, 200);
    });

    it('10,000 publishes at once all settle and are all kept, in order', async function () {
      this.timeout(120_000);
      const queue = await open();
      await publishMany(queue, 0, 10_000);
      const seen: number[] = [];
      await queue.consume(async (d) => void seen.push(numberOf(d)), { prefetch: 100 });
      await until('all', () => seen.length >= 10_000, { timeoutMs: 60_000 });
      expect(seen).to.deep.equal(range(0, 10_000));
      await depthOf(queue, 0);
    });

    for (const [limit, limits, size] of [
      ['messages', { maxMessages: 20 }, 100],
      ['bytes', { maxBytes: 20_000 }, 1_000],
    ] as const) {
      it(`refuses with QueueFull at its limit of ${limit}, keeps what it took, and takes again when worked off`, async function () {
        this.timeout(120_000);
        const queue = await open(limits);
        const kept: number[] = [];
        let refusal: unknown;
        for (let n = 0; n < 2_000 && refusal === undefined; n++) {
          await queue.publish(body(n, size)).then(
            () => kept.push(n),
            (error: unknown) => {
              refusal = error;
            },
          );
        }
        expect(refusal).to.be.instanceOf(QueueFull);
        if (fixture.supports.exactLimits) expect(kept).to.deep.equal(range(0, 20));
        else expect(kept.length).to.be.at.least(20);
        const seen = await take(queue, kept.length);
        expect(seen.map(numberOf)).to.deep.equal(kept);
        await depthOf(queue, 0);
        await until('it takes again', () => queue.publish(body(0, size)).then(() => true));
        const [again] = await take(queue, 1);
        expect(again?.attempt).to.equal(1);
      });
    }

    it('publishes that meet the limit together: every one is kept or refused, none both', async function () {
      this.timeout(120_000);
      const queue = await open({ maxMessages: 100 });
      const outcomes = await Promise.allSettled(range(0, 3_000).map((n) => queue.publish(body(n))));
      const kept = outcomes.flatMap((outcome, n) => (outcome.status === 'fulfilled' ? [n] : []));
      const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
      expect(errors.length).to.be.greaterThan(0);
      expect(errors.every((error) => error instanceof QueueFull)).to.equal(true);
      if (fixture.supports.exactLimits) expect(kept.length).to.equal(100);
      await depthOf(queue, kept.length);
      const seen = await take(queue, kept.length);
      expect(seen.map(numberOf)).to.deep.equal(kept);
    });

    it('what publish resolved for survives kill -9 of the publisher', async () => {
      const child = await startChild(fixture.child, { TASK: 'write' });
      await child.printed(200);
      await child.kill();
      const promised = child.lines().map(Number);
      const queue = await open();
      const seen = new Set<number>();
      await queue.consume(async (d) => void seen.add(numberOf(d)), { prefetch: 100 });
      await depthOf(queue, 0);
      expect(promised.filter((n) => !seen.has(n))).to.deep.equal([]);
    });

    it('many consumers die in a row with 10 messages each: nothing is lost, and attempt grows with every death', async function () {
      this.timeout(300_000);
      let queue = await open();
      await publishMany(queue, 0, 30);
      await queue.close();
      for (let death = 1; death <= shortOrLong(6, 25); death++) {
        const child = await startChild(fixture.child, { TASK: 'hold', PREFETCH: '10' });
        const held = (await child.printed(10)).slice(0, 10).map((line) => line.split(' ').map(Number));
        await child.kill();
        // A broker that notices a death late may hand the next consumer others first: their counts start later.
        const attempts = held.map(([, attempt]) => attempt);
        if (!fixture.supports.manyOpeners) expect(attempts).to.deep.equal(Array(10).fill(death));
      }
      queue = await open();
      await depthOf(queue, 30);
      const seen = await take(queue, 30);
      expect(seen.map(numberOf).sort((a, b) => a - b)).to.deep.equal(range(0, 30));
      const deaths = seen.reduce((sum, delivery) => sum + delivery.attempt - 1, 0);
      expect(deaths).to.be.at.least(10 * shortOrLong(6, 25));
      if (!fixture.supports.manyOpeners) {
        // Only what was in a dead consumer's hands counts an attempt.
        expect(seen.filter(({ attempt }) => attempt === 1).map(numberOf)).to.deep.equal(range(10, 30));
      }
      await depthOf(queue, 0);
    });

    it('where several may open it, one publishes, the others work, and one that goes away leaves its work to the rest', async () => {
      const one = await open();
      if (!fixture.supports.manyOpeners) {
        expect(await rejection(fixture.open())).to.be.instanceOf(Error);
        await one.publish(body(1));
        expect(await take(one, 1)).to.have.length(1);
        return;
      }
      const [two, three] = [await open(), await open()];
      const hold = gate();
      let held = 0;
      await two.consume(
        async () => {
          held++;
          await hold.passed;
          throw new Error('did not get to it');
        },
        { prefetch: 5 },
      );
      await publishMany(one, 0, 20);
      await until('five held', () => held === 5);
      const done = new Set<number>();
      await three.consume(async (d) => void done.add(numberOf(d)), { prefetch: 5 });
      await until('fifteen done', () => done.size === 15);
      hold.open();
      await two.close();
      await until('all done', () => done.size === 20);
      await depthOf(one, 0);
    });
  });
}

interface Gate {
  readonly passed: Promise<void>;
  readonly open: () => void;
}

function newGate(): Gate {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

/** Works off the next `count` messages one at a time and stops, without beginning another. */
async function take(queue: Queue, count: number): Promise<Delivery[]> {
  const seen: Delivery[] = [];
  const stopping = newGate();
  const consumer = await queue.consume(
    async (delivery) => {
      seen.push(delivery);
      // The last one keeps its place until no more are taken.
      if (seen.length === count) await stopping.passed;
    },
    { prefetch: 1 },
  );
  await until(`${count} messages`, () => seen.length >= count, { timeoutMs: 30_000 });
  const stopped = consumer.stop();
  stopping.open();
  await stopped;
  return seen;
}

async function publishMany(queue: Queue, from: number, to: number): Promise<void> {
  await Promise.all(range(from, to).map((n) => queue.publish(body(n))));
}

async function depthOf(queue: Queue, wanted: number): Promise<void> {
  await until(`a depth of ${wanted}`, async () => (await queue.depth()) === wanted, { timeoutMs: 30_000 });
}

function text(delivery: Delivery | undefined): string {
  return Buffer.from(delivery?.body ?? []).toString();
}

function numberOf(delivery: Delivery): number {
  return Number(text(delivery));
}
