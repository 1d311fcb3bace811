import { expect } from 'chai';
import { LogFile } from '../../backbone/segments/log-file.ts';
import { QueueFile } from '../../backbone/segments/queue-file.ts';
import { Segments } from '../../backbone/segments/segments.ts';
import { EVERYTHING } from '../../backbone/segments/wanted.ts';
import { shortOrLong } from '../services/length.ts';
import { type Fault, MemoryDisk, randomOf } from './memory-disk.ts';
import { placeOn, Story } from './segments-place.ts';

const SEGMENT_BYTES = 2_000;
const FAULTS: readonly Fault[] = ['fails', 'fails afterwards', 'is short', 'is found damaged'];
const CUTS = shortOrLong(2, 4);

/** One part on a disk, and what a test does with it. */
interface Subject {
  readonly name: string;
  /** Opens it, does many things with it, tells `story`, and bears each of them failing. */
  act(disk: MemoryDisk, story: Story, run: number): Promise<void>;
  /** Opens it again; resolves with the texts in it. Rejects when something is damaged. */
  look(disk: MemoryDisk): Promise<readonly string[]>;
}

const text = (run: number, n: number, size = 0) => `${run}.${n}`.padEnd(size, '-');

/** A step may fail; the next one is tried all the same. */
const bearing = async (step: Promise<void>) => await step.catch(() => {});

const segments: Subject = {
  name: 'segments',
  async act(disk, story, run) {
    const place = placeOn(disk);
    const opened = await Segments.open(place, { name: 'x', segmentBytes: SEGMENT_BYTES, disk: place.disk });
    const add = (...texts: string[]) =>
      bearing(story.add(texts, (bodies) => opened.append(bodies, Date.now(), 'work')));
    await add(text(run, 0), text(run, 1, 700));
    await add(text(run, 2, 900));
    await add(text(run, 3, 1_500), text(run, 4), text(run, 5, 600));
    await add(text(run, 6));
    const [oldest, next] = opened.finished;
    const textsOf = (from: number, to: number) =>
      opened.read({ ...EVERYTHING, from, to }).map(({ body }) => Buffer.from(body).toString());
    if (oldest) {
      const going = new Set(textsOf(oldest.summary.first, oldest.summary.last));
      story.giveUp((each) => going.has(each));
      await bearing(opened.drop(oldest));
    }
    if (next) {
      const isWanted = (number: number) => number !== next.summary.first;
      const going = new Set(textsOf(next.summary.first, next.summary.first));
      story.giveUp((each) => going.has(each));
      await bearing(opened.shrink(next, 'done', isWanted, () => {}));
    }
    for (let n = 7; n < 12; n++) await add(text(run, n, 400));
    expect(story.wrong(readAll(opened)), 'before it is closed').to.equal(undefined);
    opened.close();
  },
  async look(disk) {
    const place = placeOn(disk);
    const opened = await Segments.open(place, { name: 'x', segmentBytes: SEGMENT_BYTES, disk: place.disk });
    const texts = readAll(opened);
    opened.close();
    expect(place.damages).to.deep.equal([]);
    return texts;
  },
};

function readAll(opened: Segments): string[] {
  const records = opened.read(EVERYTHING);
  expect(records.every(({ number }, i) => number > (records[i - 1]?.number ?? -1) && number < opened.next)).to.equal(
    true,
  );
  return records.map(({ body }) => Buffer.from(body).toString());
}

const queue: Subject = {
  name: 'a queue',
  async act(disk, story, run) {
    const place = placeOn(disk);
    const opened = await QueueFile.open({ ...place, segmentBytes: SEGMENT_BYTES }).catch(() => undefined);
    if (opened === undefined) return;
    const add = (...texts: string[]) => bearing(story.add(texts, (bodies) => opened.add(bodies)));
    const finish = async (isDone: (text: string) => boolean) => {
      await opened.mark([], 0, 1_000).catch(() => {});
      const done = opened.read(1, 1_000).filter(({ body }) => isDone(Buffer.from(body).toString()));
      story.giveUp((each) => done.some(({ body }) => Buffer.from(body).toString() === each));
      const changes = done.map(({ sequence, body }) => ({
        is: 'done' as const,
        sequence,
        bytes: body.length,
        attempts: 1,
      }));
      const before = new Set(story.maybe);
      await bearing(
        opened.mark(changes, 0, 0).then(() => {
          // What is confirmed to be done is never delivered again.
          for (const { body } of done)
            if (before.has(Buffer.from(body).toString())) story.maybe.delete(Buffer.from(body).toString());
        }),
      );
    };
    await add(text(run, 0), text(run, 1, 700));
    await add(text(run, 2, 900));
    await finish((each) => each.startsWith(text(run, 1)));
    await add(text(run, 3, 1_500), text(run, 4));
    await add(text(run, 5, 1_900));
    await add(text(run, 6, 1_900));
    await finish((each) => !each.startsWith(text(run, 0)));
    for (let n = 7; n < 14; n++) await add(text(run, n, 1_900));
    await finish((each) => !each.startsWith(text(run, 0)) && !each.startsWith(text(run, 13)));
    await opened.close();
  },
  async look(disk) {
    const place = placeOn(disk);
    const opened = await QueueFile.open({ ...place, segmentBytes: SEGMENT_BYTES });
    await opened.mark([], 0, 1_000);
    const messages = opened.read(1, 1_000);
    await opened.close();
    expect(place.damages).to.deep.equal([]);
    expect(opened.messages, 'messages').to.equal(messages.length);
    expect(opened.bytes, 'bytes').to.equal(messages.reduce((sum, { body }) => sum + body.length, 0));
    return messages.map(({ body }) => Buffer.from(body).toString());
  },
};

const log: Subject = {
  name: 'a log',
  async act(disk, story, run) {
    const limits = { maxAgeMs: 3_600_000, maxBytes: 40 * SEGMENT_BYTES, onlyCopy: true };
    const opened = await LogFile.open(placeOn(disk), limits).catch(() => undefined);
    if (opened === undefined) return;
    const add = (...texts: string[]) => bearing(story.add(texts, (bodies) => opened.commit(bodies)));
    await add(text(run, 0), text(run, 1, 700));
    await add(text(run, 2, 900));
    await bearing(opened.look());
    for (let n = 3; n < 8; n++) await add(text(run, n, 800));
    expect(story.wrong(opened.read(opened.first, 1_000).map(({ body }) => Buffer.from(body).toString()))).to.equal(
      undefined,
    );
    opened.close();
  },
  async look(disk) {
    const limits = { maxAgeMs: 3_600_000, maxBytes: 40 * SEGMENT_BYTES, onlyCopy: true };
    const place = placeOn(disk);
    const opened = await LogFile.open(place, limits);
    const entries = opened.read(opened.first, 1_000);
    expect(entries.every(({ offset }, i) => offset > (entries[i - 1]?.offset ?? -1) && offset < opened.next)).to.equal(
      true,
    );
    opened.close();
    expect(place.damages).to.deep.equal([]);
    return entries.map(({ body }) => Buffer.from(body).toString());
  },
};

for (const subject of [segments, queue, log]) {
  describe(`${subject.name} on a disk that fails`, function () {
    this.timeout(300_000);

    /** The same again on what was found, so that what one opening mends, another finds mended. */
    async function expectWhole(disk: MemoryDisk, story: Story, what: string): Promise<void> {
      const known = story.copy();
      expect(known.wrong(await subject.look(disk)), what).to.equal(undefined);
      await subject.act(disk, known, 2);
      expect(known.wrong(await subject.look(disk)), `${what}, gone on with`).to.equal(undefined);
    }

    async function callsOfAct(): Promise<number> {
      const disk = new MemoryDisk();
      await subject.act(disk, new Story(), 1);
      return disk.calls;
    }

    it('keeps what it confirmed when the power is cut, at every moment, whatever the disk has of what was not synced', async () => {
      const disk = new MemoryDisk();
      const story = new Story();
      const cuts: { disk: MemoryDisk; story: Story; what: string }[] = [];
      disk.onCall = (call) => {
        for (let seed = 0; seed < 3 * CUTS; seed++) {
          const cut = disk.cut(randomOf(1_000 * call + seed));
          cuts.push({ disk: cut, story: story.copy(), what: `cut at call ${call}, ${seed}` });
        }
      };
      await subject.act(disk, story, 1);
      // And once more on what is there then.
      await subject.act(disk, story, 3);
      expect(cuts.length).to.be.greaterThan(150);
      for (const cut of cuts) await expectWhole(cut.disk, cut.story, cut.what);
    });

    for (const fault of FAULTS) {
      for (const lasting of fault === 'is found damaged' ? [true] : [false, true]) {
        const when = lasting ? 'from some call on' : 'at some call';
        it(`keeps what it confirmed when the disk ${fault} ${when}, at every call, then killed or cut off from power`, async () => {
          const calls = await callsOfAct();
          for (let at = 0; at < calls; at += shortOrLong(2, 1)) {
            const disk = new MemoryDisk();
            const story = new Story();
            disk.fault = { at, is: fault, lasting };
            await subject.act(disk, story, 1);
            expect(disk.writesAfterFailure, `call ${at}`).to.equal(0);
            for (let seed = 0; seed < CUTS; seed++) {
              await expectWhole(disk.cut(randomOf(at * 100 + seed)), story, `call ${at}, then cut, ${seed}`);
            }
            disk.fault = undefined;
            await expectWhole(disk, story, `call ${at}, then killed`);
          }
        });
      }
    }
  });
}
