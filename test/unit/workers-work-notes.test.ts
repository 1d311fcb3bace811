import { expect } from 'chai';
import { LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import type { AccountNote } from '../../telemetry/account/notes.ts';
import { decodeLive, encodeBatch } from '../../telemetry/batch.ts';
import { WorkNotes } from '../../workers/work-notes.ts';
import { temporaryFolder, until } from '../services/wait.ts';

describe('what a worker says of its batches', () => {
  let live: Log;
  let notes: WorkNotes;
  let waiting: Uint8Array[];

  beforeEach(async () => {
    live = await openFileLog(await temporaryFolder(), 'live', LIVE_LOG_LIMITS);
    waiting = [];
    notes = new WorkNotes(live, () => waiting, 20);
  });

  afterEach(async () => {
    await notes.stop();
    await live.close();
  });

  async function said(): Promise<AccountNote[]> {
    const { first, epoch } = await live.head();
    const entries = await live.read({ offset: first, epoch }, 10_000);
    return entries.flatMap(({ body }) => decodeLive(body).account ?? []);
  }

  /** The numbers that were said to be held, note by note. */
  async function held(): Promise<string[]> {
    const all = (await said()).filter((note) => note.is === 'held');
    return all.map((note) => note.held.flatMap(({ numbers }) => numbers.map(({ from, to }) => `${from}-${to}`)).join());
  }

  it('says that it is there before it has a batch', async () => {
    await notes.start();
    expect(await said()).to.deep.equal([{ is: 'held', worker: notes.worker, held: [], left: false }]);
  });

  it('says which batches it has at work, and which have come and were not begun, as long as it has them', async () => {
    notes.begin(message(1));
    notes.begin(message(2));
    waiting = [message(3), message(7)];
    await notes.start();
    await until('it has said it three times', async () => (await held()).length > 2);
    expect(new Set(await held())).to.deep.equal(new Set(['1-3,7-7']));
  });

  it('says once more what it gave back since it said last what it holds', async () => {
    await notes.start();
    const place = notes.begin(message(4));
    if (place) notes.gaveBack(place);
    await until('it was said', async () => (await held()).includes('4-4'));
    const before = (await held()).length;
    await until('it has said more', async () => (await held()).length > before + 2);
    expect((await held()).filter((numbers) => numbers === '4-4')).to.have.length(1);
  });

  it('has a batch in hand until the log says that it was worked off, and then no more', async () => {
    const place = notes.begin(message(5));
    await notes.start();
    let append = () => {};
    const isAway = new Promise<void>((resolve) => {
      append = resolve;
    });
    const worked =
      place &&
      notes.worked(place, async (entry) => {
        await isAway;
        await live.append(entry);
      });
    await until('it still has it', async () => (await held()).filter((numbers) => numbers === '5-5').length > 2);
    append();
    await worked;
    expect((await said()).filter(({ is }) => is === 'done')).to.have.length(1);
    await until('it has nothing', async () => (await held()).at(-1) === '');
  });
});

function message(number: number): Uint8Array {
  return encodeBatch({ id: `a:${number}`, publishes: [], place: { run: 'a', number, confirmed: 0 } });
}
