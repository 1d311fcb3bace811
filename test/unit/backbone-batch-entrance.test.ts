import { expect } from 'chai';
import { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import { LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import type { BeatNote } from '../../telemetry/account/notes.ts';
import { decodeLive } from '../../telemetry/batch.ts';
import { temporaryFolder, until } from '../services/wait.ts';

describe('an entrance of batches', () => {
  let live: Log;
  let entrance: BatchEntrance;
  let inSpool: number;

  beforeEach(async () => {
    live = await openFileLog(await temporaryFolder(), 'live', LIVE_LOG_LIMITS);
    inSpool = 0;
    entrance = new BatchEntrance({ name: 'broker', live, spooled: () => inSpool, beatMs: 20 });
  });

  afterEach(async () => {
    await entrance.stop();
    await live.close();
  });

  async function beats(): Promise<BeatNote[]> {
    const { first, epoch } = await live.head();
    const entries = await live.read({ offset: first, epoch }, 10_000);
    return entries.flatMap(({ body }) => decodeLive(body).account ?? []).filter((note) => note.is === 'beat');
  }

  it('says that it begins before it numbers a batch', async () => {
    await entrance.start();
    expect(await beats()).to.have.length(1);
    expect((await beats())[0]).to.deep.include({ entrance: 'broker', given: 0, confirmed: 0 });
  });

  it('gives each attempt a number of its own, and says which ones were given up before it passes them', async () => {
    await entrance.start();
    const numbers: number[] = [];
    for (const isTaken of [true, false, false, true]) {
      const sending = entrance.send(async ({ number }) => {
        numbers.push(number);
        if (!isTaken) throw new Error('refused');
      });
      await sending.catch(() => {});
    }
    expect(numbers).to.deep.equal([1, 2, 3, 4]);
    await until('all are confirmed', async () => (await beats()).at(-1)?.confirmed === 4);
    const said = (await beats()).map(({ confirmed, gaveUp }) => ({ confirmed, gaveUp }));
    const named = said.findIndex(({ gaveUp }) => JSON.stringify(gaveUp) === '[{"from":2,"to":3}]');
    expect(named).to.be.greaterThan(0);
    expect(said.slice(0, named + 1).every(({ confirmed }) => confirmed <= 1)).to.equal(true);
  });

  it('says that something was in the spool also when it was empty again before the next beat', async () => {
    await entrance.start();
    await entrance.send(async () => {
      inSpool = 3;
    });
    inSpool = 0;
    await until('it is said that it is empty', async () => {
      const said = await beats();
      return said.at(-1)?.given === 1 && said.at(-1)?.spooled === 0;
    });
    expect((await beats()).map(({ spooled }) => spooled)).to.include(3);
  });
});
