import { expect } from 'chai';
import { ClockHistory } from '../../backbone/clocks/clock-history.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { silent } from '../../core/logger.ts';
import { clockRunOf, isDoubted } from '../../telemetry/account/batch-place.ts';
import { type Batch, decodeBatch, encodeBatch } from '../../telemetry/batch.ts';
import { type ClockEntry, encodeClockEntry } from '../../telemetry/clock-entry.ts';
import { instant } from '../../telemetry/instant.ts';
import { UndatedWorker } from '../../workers/undated.ts';
import { MemoryLog } from '../services/memory-log.ts';
import { SetClock } from '../services/set-clock.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const HOUR = 3_600_000;
const WRONG = Date.UTC(2026, 0, 1);
const BOOT: Omit<ClockEntry, 'run' | 'distance' | 'waits'> = { machine: 'boot', at: WRONG, doubt: 'too early' };

describe('publishes that are dated by a doubted clock', () => {
  let undated: Queue;
  let queue: Queue;
  let clocks: MemoryLog;
  let clock: SetClock;
  let came: Batch[];
  let running: { worker: UndatedWorker; history: ClockHistory } | undefined;

  beforeEach(async () => {
    const folder = await temporaryFolder();
    [undated, queue] = [await openFileQueue(`${folder}/undated`), await openFileQueue(`${folder}/queue`)];
    clocks = new MemoryLog();
    clock = new SetClock();
    came = [];
    await queue.consume(async ({ body }) => void came.push(decodeBatch(body)), { prefetch: 10 });
    await says('wrong', 0, true);
    await start();
    await undated.publish(message(1, 10));
    await undated.publish(message(2, 20));
  });

  afterEach(async () => {
    await stop();
    await Promise.all([undated.close(), queue.close()]);
  });

  const says = (run: string, distance: number, waits: boolean) =>
    clocks.append(encodeClockEntry({ ...BOOT, run, distance, waits }));

  function message(number: number, ms: number): Uint8Array {
    const publish = { farm: 'demo', field: '', sensor: 's1', topic: 't', payload: new Uint8Array(1) };
    return encodeBatch({
      id: `?wrong:${number}#undated`,
      publishes: [{ ...publish, received: instant(WRONG + ms, 7) }],
    });
  }

  async function start(): Promise<void> {
    const history = new ClockHistory(clocks, silent);
    await history.start();
    const worker = new UndatedWorker({ undated, queue, live: new MemoryLog(), clocks: history, log: silent, clock });
    running = { worker, history };
    await worker.start();
  }

  async function stop(): Promise<void> {
    await running?.worker.stop();
    await running?.history.stop();
    running = undefined;
  }

  const receipts = () => came.map(({ publishes }) => publishes[0]?.received);

  it('go on with the receipts of the clock as it was set, when it is', async () => {
    await says('still wrong', 0, true);
    expect(await queue.depth()).to.equal(0);
    expect(came).to.deep.equal([]);
    await says('right', 5 * HOUR, false);
    await until('both came', () => came.length === 2);
    expect(receipts()).to.deep.equal([instant(WRONG + 10 + 5 * HOUR, 7), instant(WRONG + 20 + 5 * HOUR, 7)]);
    for (const { id } of came) expect([isDoubted(id), clockRunOf(id)]).to.deep.equal([false, 'right']);
    expect(new Set(came.map(({ id }) => id)), 'each is a message of its own').to.have.property('size', 2);
    await until('nothing waits', async () => (await undated.depth()) === 0);
  });

  it('go on with their receipts when nobody corrects the clock in time, and a later setting is still known of them', async () => {
    await says('given up', 0, false);
    await until('both came', () => came.length === 2);
    expect(receipts()).to.deep.equal([instant(WRONG + 10, 7), instant(WRONG + 20, 7)]);
    await says('right', HOUR, false);
    const run = clockRunOf(came[0]?.id ?? '');
    expect(running?.history.corrected(run, WRONG).received).to.equal(WRONG + HOUR);
  });

  it('are not lost when the worker is stopped, and wait for the next one', async () => {
    await stop();
    expect(came).to.deep.equal([]);
    expect(await undated.depth()).to.equal(2);
    await start();
    await says('right', HOUR, false);
    await until('both came', () => came.length === 2);
  });

  it('do not wait for ever for a broker that has died', async () => {
    await stop();
    const history = new ClockHistory(clocks, silent);
    await history.start();
    const parts = { undated, queue, live: new MemoryLog(), clocks: history, log: silent };
    const worker = new UndatedWorker({ ...parts, longestMs: 200 });
    running = { worker, history };
    await worker.start();
    await until('both came', () => came.length === 2);
  });
});
