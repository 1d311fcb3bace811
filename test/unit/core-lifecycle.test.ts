import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import pino from 'pino';
import { type ConnectionState, healthOf, Lifecycle, type Part, Watched } from '../../core/lifecycle.ts';
import { silent } from '../../core/logger.ts';
import { backoff, pause, withDeadline } from '../../core/timing.ts';

const never = () => new Promise<never>(() => {});

/** Parts that write what happens to them into one list. */
function diary() {
  const events: string[] = [];
  const part = (name: string, over: Partial<Part> = {}): Part => ({
    name,
    async start() {
      events.push(`start ${name}`);
    },
    async stop() {
      events.push(`stop ${name}`);
    },
    ...over,
  });
  return { events, part };
}

async function rejection(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it resolved');
}

async function took(work: Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work;
  return performance.now() - begin;
}

describe('lifecycle', () => {
  it('stops what it started in reverse order', async () => {
    const { events, part } = diary();
    const lifecycle = new Lifecycle(silent);
    for (const name of ['a', 'b', 'c']) await lifecycle.start(part(name));
    await lifecycle.stop(1_000);
    expect(events).to.deep.equal(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
  });

  it('waits for each part before it stops the next', async () => {
    const { events, part } = diary();
    const lifecycle = new Lifecycle(silent);
    await lifecycle.start(part('a'));
    const slow = part('b', { stop: () => pause(30).then(() => void events.push('stop b')) });
    await lifecycle.start(slow);
    await lifecycle.stop(1_000);
    expect(events.slice(-2)).to.deep.equal(['stop b', 'stop a']);
  });

  it('stops what was started, in reverse order, when a start fails half way, and passes the failure on', async () => {
    const { events, part } = diary();
    const lifecycle = new Lifecycle(silent);
    const failure = new Error('no port left');
    await lifecycle.start(part('a'));
    await lifecycle.start(part('b'));
    const error = await rejection(lifecycle.start(part('c', { start: () => Promise.reject(failure) })));
    expect(error).to.equal(failure);
    expect(events).to.deep.equal(['start a', 'start b', 'stop b', 'stop a']);
  });

  it('passes on a start that throws instead of rejecting', async () => {
    const { events, part } = diary();
    const lifecycle = new Lifecycle(silent);
    const failure = new Error('thrown');
    await lifecycle.start(part('a'));
    const error = await rejection(
      lifecycle.start(
        part('b', {
          start() {
            throw failure;
          },
        }),
      ),
    );
    expect(error).to.equal(failure);
    expect(events).to.deep.equal(['start a', 'stop a']);
  });

  it('stops nothing twice', async () => {
    const { events, part } = diary();
    const lifecycle = new Lifecycle(silent);
    await lifecycle.start(part('a'));
    await lifecycle.stop(1_000);
    await lifecycle.stop(1_000);
    expect(events).to.deep.equal(['start a', 'stop a']);
  });

  it('has nothing to stop when nothing was started', async () => {
    await new Lifecycle(silent).stop(1_000);
  });

  it('stops the others when one fails to stop, and logs which', async () => {
    const { events, part } = diary();
    const lines: string[] = [];
    const lifecycle = new Lifecycle(pino({ level: 'error' }, { write: (line: string) => void lines.push(line) }));
    await lifecycle.start(part('a'));
    await lifecycle.start(part('b', { stop: () => Promise.reject(new Error('stuck')) }));
    await lifecycle.start(
      part('c', {
        stop() {
          throw new Error('thrown');
        },
      }),
    );
    await lifecycle.stop(1_000);
    expect(events.at(-1)).to.equal('stop a');
    expect(lines.map((line) => JSON.parse(line).part)).to.deep.equal(['c', 'b']);
  });

  it('cuts a stop that hangs at the deadline and stops the others', async () => {
    const { events, part } = diary();
    const lifecycle = new Lifecycle(silent);
    await lifecycle.start(part('a'));
    await lifecycle.start(part('b', { stop: never }));
    expect(await took(lifecycle.stop(100))).to.be.within(90, 2_000);
    expect(events.at(-1)).to.equal('stop a');
  });

  it('tells each part how much of the deadline is left', async () => {
    const { part } = diary();
    const lifecycle = new Lifecycle(silent);
    const left: number[] = [];
    const late = (name: string, ms: number) =>
      part(name, {
        stop(deadlineMs) {
          left.push(deadlineMs);
          return pause(ms);
        },
      });
    await lifecycle.start(late('a', 0));
    await lifecycle.start(late('b', 300));
    await lifecycle.stop(10_000);
    expect(left[0]).to.be.within(8_000, 10_000);
    expect(left[1]).to.be.within(4_000, 9_710);
  });

  it('gives a part some time even when those before it used up the deadline', async () => {
    const { events, part } = diary();
    const lifecycle = new Lifecycle(silent);
    await lifecycle.start(part('a', { stop: () => pause(20).then(() => void events.push('stop a')) }));
    await lifecycle.start(part('b', { stop: never }));
    await lifecycle.stop(50);
    expect(events.at(-1)).to.equal('stop a');
  });
});

describe('watched connection', () => {
  const down: ConnectionState = { is: 'down', since: 1, why: 'refused' };

  it('is up at first', () => {
    expect(new Watched().state).to.deep.equal({ is: 'up' });
  });

  it('tells its listeners of each change, in the order in which they came', () => {
    const watched = new Watched();
    const heard: string[] = [];
    watched.watch((state) => heard.push(`1 ${state.is}`));
    watched.watch((state) => heard.push(`2 ${state.is}`));
    watched.set(down);
    watched.set({ is: 'up' });
    watched.set({ is: 'closed' });
    expect(heard).to.deep.equal(['1 down', '2 down', '1 up', '2 up', '1 closed', '2 closed']);
    expect(watched.state).to.deep.equal({ is: 'closed' });
  });

  it('says nothing when it is set to what it is, and keeps since when it was down', () => {
    const watched = new Watched();
    const heard: ConnectionState[] = [];
    watched.watch((state) => heard.push(state));
    watched.set({ is: 'up' });
    watched.set(down);
    watched.set({ ...down, since: 2 });
    expect(heard).to.deep.equal([down]);
    expect(watched.state).to.deep.equal(down);
  });

  it('tells why it is down now, and not what was wrong first', () => {
    const watched = new Watched();
    const heard: ConnectionState[] = [];
    watched.watch((state) => heard.push(state));
    watched.set(down);
    watched.set({ is: 'down', since: 2, why: 'another password' });
    expect(watched.state).to.deep.equal({ ...down, why: 'another password' });
    expect(heard).to.deep.equal([down, watched.state]);
  });

  it('has changed by the time a listener is called', () => {
    const watched = new Watched();
    let seen: ConnectionState | undefined;
    watched.watch(() => {
      seen = watched.state;
    });
    watched.set(down);
    expect(seen).to.deep.equal(down);
  });

  it('does not call a listener that has left', () => {
    const watched = new Watched();
    let calls = 0;
    const leave = watched.watch(() => calls++);
    watched.set(down);
    leave();
    leave();
    watched.set({ is: 'up' });
    expect(calls).to.equal(1);
  });

  it('is one line of /readyz', () => {
    expect(healthOf('queue', { is: 'up' })).to.deep.equal({ name: 'queue', ok: true });
    expect(healthOf('queue', down)).to.deep.equal({ name: 'queue', ok: false, why: 'refused' });
    expect(healthOf('queue', { is: 'closed' })).to.deep.equal({ name: 'queue', ok: false, why: 'closed' });
  });
});

describe('deadline', () => {
  it('passes on what the work resolves or rejects with', async () => {
    const failure = new Error('broken');
    expect(await withDeadline(Promise.resolve(7), 1_000, 'late')).to.equal(7);
    expect(await rejection(withDeadline(Promise.reject(failure), 1_000, 'late'))).to.equal(failure);
  });

  it('rejects work that is late', async () => {
    const begin = performance.now();
    expect(await rejection(withDeadline(never(), 40, 'late'))).to.be.instanceOf(Error);
    expect(performance.now() - begin).to.be.within(35, 2_000);
  });

  it('swallows a rejection that comes after it', async () => {
    let fail: (error: Error) => void = () => {};
    const work = new Promise<never>((_, reject) => {
      fail = reject;
    });
    await rejection(withDeadline(work, 1, 'late'));
    fail(new Error('later'));
    await pause(5);
  });
});

describe('pause', () => {
  it('lasts as long as it was told', async () => {
    expect(await took(pause(40))).to.be.within(35, 2_000);
  });

  it('ends at once when it is aborted, before or meanwhile', async () => {
    const abort = new AbortController();
    const meanwhile = took(pause(60_000, abort.signal));
    abort.abort();
    expect(await meanwhile).to.be.below(1_000);
    expect(await took(pause(60_000, abort.signal))).to.be.below(1_000);
  });

  it('leaves no listener on its signal', async () => {
    const { signal } = new AbortController();
    await Promise.all([pause(1, signal), pause(2, signal)]);
    expect(getEventListeners(signal, 'abort')).to.deep.equal([]);
  });
});

describe('backoff', () => {
  const draws = (attempt: number) => Array.from({ length: 2_000 }, () => backoff(attempt, 100, 10_000));

  it('is a random time below a limit that doubles with each attempt', () => {
    for (const [attempt, limit] of [
      [0, 100],
      [1, 200],
      [3, 800],
    ] as const) {
      const times = draws(attempt);
      expect(Math.max(...times)).to.be.within(limit * 0.9, limit);
      expect(Math.min(...times)).to.be.within(0, limit * 0.1);
    }
  });

  it('never passes the longest time, however many attempts there were', () => {
    for (const attempt of [7, 100, 1e9]) expect(Math.max(...draws(attempt))).to.be.within(9_000, 10_000);
  });
});
