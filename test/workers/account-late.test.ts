import { expect } from 'chai';
import { LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { AccountKeeper } from '../../dashboard-gateway/account/account-keeper.ts';
import type { AccountNote, BeatNote } from '../../telemetry/account/notes.ts';
import { accountEntry } from '../../telemetry/batch.ts';
import { temporaryFolder } from '../services/wait.ts';
import { listening } from './bench.ts';

const RUN = 'r1';

describe('an account whose log is read too slowly at a start', function () {
  this.timeout(30_000);

  it('begins anew, and calls nothing lost that was worked off while nobody followed', async () => {
    const live = await openFileLog(await temporaryFolder(), 'live', LIVE_LOG_LIMITS);
    let now = 0;
    const { log, lines } = listening();
    const { epoch } = await live.head();
    const parts = { log, passed: () => now, beatMs: 100 };

    const first = new AccountKeeper({ ...parts, live });
    await first.prepare(epoch);
    await say(live, first, [beat(0, 0)]);
    await first.stop();
    // More than is read at once: what was kept is found before the rest comes.
    for (let i = 0; i < 600; i++) await live.append(accountEntry([done(1, 20)]));

    const slow = slowly(live);
    const second = new AccountKeeper({ ...parts, live: slow.log });
    await second.prepare(epoch);
    await slow.goOn();
    for (let n = 21; n < 60; n++) {
      now += 50;
      await say(live, second, [done(n, n), beat(n, n), { is: 'held', worker: 'w', held: [], left: false }]);
    }
    const events = lines.map((line) => JSON.parse(line));
    expect(events.map(({ msg }) => msg)).to.include('the account of batches begins anew');
    expect(events.filter(({ event }) => event === 'batches_lost')).to.deep.equal([]);
    await second.stop();
    await live.close();
  });
});

/** Writes notes, and has the keeper hear them as from the feed. */
async function say(live: Log, keeper: AccountKeeper, account: readonly AccountNote[]): Promise<void> {
  const { next } = await live.head();
  await live.append(accountEntry(account));
  keeper.wrote({ id: '', readings: [], account }, next);
}

/** A log whose readers wait, after the first, for `goOn`, which resolves when what they do then is done. */
function slowly(log: Log): { readonly log: Log; goOn(): Promise<void> } {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const reads: Promise<unknown>[] = [];
  let asked = 0;
  return {
    log: {
      state: log.state,
      append: (body) => log.append(body),
      read: async (...args) => {
        asked += 1;
        if (asked > 1) await released;
        const read = log.read(...args);
        reads.push(read);
        return await read;
      },
      follow: (from, handler) => log.follow(from, handler),
      head: () => log.head(),
      watch: (listener) => log.watch(listener),
      close: () => log.close(),
    },
    goOn: async () => {
      release();
      // Its own reading, behind those that waited.
      await log.head();
      await Promise.all(reads);
      await new Promise(setImmediate);
    },
  };
}

function beat(given: number, confirmed: number): BeatNote {
  return { is: 'beat', run: RUN, entrance: 'broker', given, confirmed, gaveUp: [], spooled: 0, ended: false };
}

function done(from: number, to: number): AccountNote {
  return { is: 'done', worker: 'w', run: RUN, done: [{ from, to }], confirmed: to };
}
