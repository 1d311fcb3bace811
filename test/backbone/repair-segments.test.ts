import { crc32 } from 'node:zlib';
import { expect } from 'chai';
import { examineFolder, type RecordKind } from '../../backbone/segments/examine.ts';
import { examineMarks, mendMarks } from '../../backbone/segments/examine-marks.ts';
import { encodeHeader } from '../../backbone/segments/format.ts';
import { mendSegment } from '../../backbone/segments/mend.ts';
import { QueueFile } from '../../backbone/segments/queue-file.ts';
import { Segments } from '../../backbone/segments/segments.ts';
import { EVERYTHING } from '../../backbone/segments/wanted.ts';
import { encodeBatch } from '../../telemetry/batch.ts';
import { FOLDER, MemoryDisk } from './memory-disk.ts';
import { rejection } from './numbered.ts';
import { placeOn } from './segments-place.ts';

const SEGMENT_BYTES = 4_000;
const BODY = 300;
const RECORD = 32 + BODY;
const path = (id: number, name = 'x') => `${FOLDER}/${name}-${String(id).padStart(12, '0')}.seg`;
const at = (record: number) => 512 + record * RECORD;
const texts = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i));
const KIND: RecordKind = { name: 'x', isGapless: true, timeOf: ({ time }) => time, isDone: () => false };

/** Records 0 up to 30, ten in a segment, written at 1000, 1001, …; the last segment is not closed. */
async function written(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const { segments } = await openOn(disk);
  segments.epoch = 'epoch';
  for (const text of texts(0, 30))
    await segments.append([Buffer.from(text.padEnd(BODY))], 1_000 + Number(text), 'work');
  segments.close();
  return disk;
}

async function openOn(disk: MemoryDisk) {
  const place = placeOn(disk);
  const segments = await Segments.open(place, { name: 'x', segmentBytes: SEGMENT_BYTES, disk: place.disk });
  const read = () => segments.read(EVERYTHING).map(({ body }) => Buffer.from(body).toString().trim());
  return { ...place, segments, read };
}

const look = (disk: MemoryDisk, kind = KIND) => examineFolder({ files: disk, folder: FOLDER }, kind);
const keepNothing = async () => {};

/** Mends all that a look finds damaged; each file is kept before in `kept`. */
async function mend(disk: MemoryDisk, kept = new Map<string, Buffer>()): Promise<void> {
  for (const segment of (await look(disk)).segments) {
    if (segment.lost.length === 0 && segment.faults.length === 0) continue;
    await mendSegment(placeOn(disk), segment, async (path) => void kept.set(path, Buffer.from(disk.bytes(path))));
  }
}

const lostOf = ({ segments }: Awaited<ReturnType<typeof look>>) => segments.flatMap(({ lost }) => lost);
const wholeOf = ({ segments }: Awaited<ReturnType<typeof look>>) =>
  segments.reduce((sum, { records }) => sum + records, 0);

describe('a look at segments and their mending', () => {
  it('a whole folder is told as whole, with its records and times, and is not changed', async () => {
    const disk = await written();
    const { calls } = disk;
    const found = await look(disk);
    expect(found).to.include({ oldest: 1_000, newest: 1_029, epoch: 'epoch', first: 0 });
    expect([wholeOf(found), lostOf(found), found.segments.flatMap(({ faults }) => faults)]).to.deep.equal([30, [], []]);
    expect(disk.calls).to.equal(calls);
  });

  it('a damaged record of a closed segment is told with its place, its number and the times of its neighbours, whatever its footer says', async () => {
    const disk = await written();
    disk.damage(path(1), at(3) + 100, 1);
    disk.damage(path(1), at(7) + 100, RECORD);
    const found = await look(disk);
    expect(lostOf(found)).to.deep.equal([
      { at: at(3), bytes: RECORD, records: 1, done: 0, after: 1_002, before: 1_004, sensors: [] },
      { at: at(7), bytes: 2 * RECORD, records: 2, done: 0, after: 1_006, before: 1_009, sensors: [] },
    ]);
    expect(wholeOf(found)).to.equal(27);
  });

  it('whose the lost ones were is told by what is left of their bytes', async () => {
    const disk = new MemoryDisk();
    const { segments } = await openOn(disk);
    const publish = (sensor: string) => ({
      ...{ farm: 'north', field: 'f', sensor, topic: 't', received: 1_000 },
      payload: Buffer.alloc(50),
    });
    for (const sensor of ['p1', 'p2', 'p3'])
      await segments.append([encodeBatch({ id: 'b', publishes: [publish(sensor)] })], 1, 'work');
    segments.close();
    const bytes = disk.bytes(path(1));
    disk.damage(path(1), bytes.indexOf('p2') + 40, 1);
    expect(lostOf(await look(disk)).map(({ sensors }) => sensors)).to.deep.equal([[{ farm: 'north', sensor: 'p2' }]]);
  });

  it('what is done already is no loss', async () => {
    const disk = await written();
    disk.damage(path(1), at(3), 3 * RECORD);
    const isDone = (number: number) => number <= 4;
    const found = await look(disk, { ...KIND, isDone });
    expect(lostOf(found).map(({ records, done }) => [records, done])).to.deep.equal([[1, 2]]);
    expect(found.segments.reduce((sum, { needed }) => sum + needed, 0)).to.equal(24);
  });

  it('a write at the end that never ended is no loss', async () => {
    const disk = await written();
    disk.damage(path(3), disk.bytes(path(3)).length - 10, 10);
    const found = await look(disk);
    expect(lostOf(found)).to.deep.equal([]);
    expect(found.segments.at(-1)?.torn?.bytes).to.equal(RECORD);
    // It may have been damaged after all, so its number is not given again by the mending of something else.
    disk.damage(path(3), 20, 2);
    await mend(disk);
    expect((await openOn(disk)).segments.next).to.be.at.least(30);
  });

  it('a file that is missing between others is told with its records, and after the mending it is not any more', async () => {
    const disk = await written();
    await disk.remove(path(2));
    const found = await look(disk);
    expect(lostOf(found).map(({ records, bytes, after, before }) => [records, bytes, after, before])).to.deep.equal([
      [10, 0, 1_009, 1_020],
    ]);
    await mend(disk);
    expect(lostOf(await look(disk))).to.deep.equal([]);
    expect((await openOn(disk)).read()).to.have.length(20);
  });

  it('records are found without header and footer, by the marker that each has', async () => {
    const disk = await written();
    disk.damage(path(3), 0, at(1) + 40);
    const found = await look(disk);
    const { read } = await openOn(disk);
    const before = read().length;
    expect(wholeOf(found)).to.equal(before);
    await mend(disk);
    const after = await openOn(disk);
    expect(after.damages).to.deep.equal([]);
    expect(after.read()).to.have.length(wholeOf(found));
    expect(after.segments.epoch).to.equal('epoch');
  });

  it('whatever bytes of whatever file are wrong: what a look calls whole is there after the mending, in order, nothing is damaged any more, and numbers go on', async () => {
    for (const id of [1, 2, 3]) {
      const { length } = (await written()).bytes(path(id));
      for (let place = 0; place < length; place += 97) {
        for (const bytes of [1, 600]) {
          const disk = await written();
          disk.damage(path(id), place, bytes);
          const found = await look(disk);
          const kept = new Map<string, Buffer>();
          const original = Buffer.from(disk.bytes(path(id)));
          await mend(disk, kept);
          for (const [of, copy] of kept) expect([of, copy.equals(original)]).to.deep.equal([path(id), true]);
          const what = `${id} at ${place}, ${bytes}`;
          const isFound = found.segments.some(({ lost, faults }) => lost.length + faults.length > 0);
          expect([...kept.keys()], what).to.deep.equal(isFound ? [path(id)] : []);
          const { read, damages, segments } = await openOn(disk);
          const there = read();
          expect(there, what).to.have.length(wholeOf(found));
          expect(there.map(Number), what).to.deep.equal(there.map(Number).sort((a, b) => a - b));
          expect(damages, what).to.deep.equal([]);
          const lost = lostOf(found).reduce((sum, { records }) => sum + records, 0);
          const isTorn = found.segments.some(({ torn }) => torn);
          if (!isTorn && id !== 3) expect(30 - there.length, what).to.equal(lost);
          await segments.append([Buffer.from('new')], 1, 'work');
          expect(read(), what).to.deep.equal([...there, 'new']);
          expect(segments.next, what).to.be.greaterThan(30);
          expect(lostOf(await look(disk)), what).to.deep.equal([]);
        }
      }
    }
  }).timeout(120_000);

  it('broken off at any moment, or refused by the disk: nothing that was whole is gone, and doing it again mends all', async () => {
    const damaged = async () => {
      const disk = await written();
      for (const id of [1, 2, 3]) disk.damage(path(id), at(2) + 5, 1);
      return disk;
    };
    const whole = texts(0, 30).filter((text) => !['2', '12', '22'].includes(text));
    const counted = await damaged();
    const begun = counted.calls;
    await mend(counted);
    expect((await openOn(counted)).read()).to.deep.equal(whole);
    const calls = counted.calls - begun;
    expect(calls).to.be.greaterThan(8);
    for (let call = 0; call < calls; call++) {
      for (const is of ['fails', 'fails afterwards', 'is short'] as const) {
        const disk = await damaged();
        disk.fault = { at: disk.calls + call, is, lasting: true };
        await mend(disk).catch(() => {});
        disk.fault = undefined;
        const killed = disk.killed();
        expect((await openOn(killed.killed())).read(), `${is} at ${call}`).to.deep.equal(whole);
        await mend(killed);
        const { read, damages } = await openOn(killed);
        expect([read(), damages], `${is} at ${call}, again`).to.deep.equal([whole, []]);
      }
    }
  });

  it('a file that another version wrote is left alone and named', async () => {
    const disk = await written();
    const header = { format: 1, marker: 7, id: 2, first: 12 } as const;
    const text = encodeHeader(header).toString('latin1').replace('"format":1', '"format":2');
    const block = Buffer.from(text, 'latin1');
    block.writeUInt32LE(crc32(block.subarray(16, 16 + block.readUInt32LE(12))), 8);
    const whole = Buffer.from(disk.bytes(path(2)));
    const file = await disk.create(path(2));
    await file.write(Buffer.concat([block, whole.subarray(512)]), 0);
    const found = await look(disk);
    expect(found.segments.map(({ refused }) => refused !== undefined)).to.deep.equal([false, true, false]);
    expect(found.segments[1]?.refused).to.contain('format 2');
  });
});

describe('a look at marks and their mending', () => {
  const LARGE = 1_000;

  /** Five messages, of which 1, 2 and 4 are worked off, each in a write of its own. */
  async function queue(): Promise<MemoryDisk> {
    const disk = new MemoryDisk();
    const place = { ...placeOn(disk), segmentBytes: SEGMENT_BYTES };
    const file = await QueueFile.open(place);
    await file.add(texts(1, 6).map((text) => Buffer.from(text)));
    for (const sequence of [1, 2, 4]) {
      await file.mark([{ is: 'done', sequence, bytes: 1, attempts: 1 }], 5, LARGE);
    }
    await file.close();
    return disk;
  }

  const waiting = async (disk: MemoryDisk) => {
    const place = { ...placeOn(disk), segmentBytes: SEGMENT_BYTES };
    const file = await QueueFile.open(place);
    const { messages } = file;
    await file.close();
    return { messages, damages: place.damages };
  };

  const marksOf = (disk: MemoryDisk) =>
    disk
      .paths()
      .filter((each) => each.includes('marks'))
      .at(-1) ?? '';

  it('marks that are whole tell which messages are worked off', async () => {
    const disk = await queue();
    const marks = await examineMarks(placeOn(disk));
    expect(texts(1, 7).filter((number) => marks.isDone(Number(number)))).to.deep.equal(['1', '2', '4']);
    expect([marks.damages, marks.refused]).to.deep.equal([[], undefined]);
  });

  it('a look at them changes nothing, also where a file of them was begun and left', async () => {
    const disk = await queue();
    await disk.create(`${path(9, 'marks')}.tmp`);
    const { calls } = disk;
    const marks = await examineMarks(placeOn(disk));
    expect([disk.calls, marks.unfinished.length]).to.deep.equal([calls, 1]);
  });

  it('of damaged marks the whole ones stay in force, and damage is not found any more after the mending', async () => {
    const disk = await queue();
    const marks = marksOf(disk);
    disk.damage(marks, disk.bytes(marks).indexOf('"done":[2]') + 3, 1);
    const found = await examineMarks(placeOn(disk));
    expect(found.damages).to.have.length(1);
    const { calls } = disk;
    const kept: string[] = [];
    await mendMarks(placeOn(disk), async (each) => void kept.push(each));
    expect(disk.calls).to.be.greaterThan(calls);
    expect(kept).to.deep.equal([marks]);
    expect((await examineMarks(placeOn(disk))).damages).to.deep.equal([]);
    expect(await waiting(disk)).to.deep.equal({ messages: 3, damages: [] });
  });

  it('without their beginning every message is worked off again, and the mending is refused nothing', async () => {
    const disk = await queue();
    disk.damage(marksOf(disk), 0, 900);
    expect((await examineMarks(placeOn(disk))).damages).to.have.length(1);
    await mendMarks(placeOn(disk), keepNothing);
    expect(await waiting(disk)).to.deep.equal({ messages: 5, damages: [] });
  });

  it('a mending that the disk refuses leaves the marks as they were', async () => {
    const disk = await queue();
    const marks = marksOf(disk);
    disk.damage(marks, disk.bytes(marks).indexOf('"done":[2]') + 3, 1);
    disk.fault = { at: disk.calls, is: 'fails', lasting: true };
    expect(await rejection(mendMarks(placeOn(disk), keepNothing))).to.be.instanceOf(Error);
    disk.fault = undefined;
    expect((await waiting(disk)).messages).to.equal(3);
  });
});
