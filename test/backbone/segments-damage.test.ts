import { expect } from 'chai';
import { LogFile } from '../../backbone/segments/log-file.ts';
import { QueueFile } from '../../backbone/segments/queue-file.ts';
import { Segments } from '../../backbone/segments/segments.ts';
import { EVERYTHING } from '../../backbone/segments/wanted.ts';
import { MemoryDisk } from './memory-disk.ts';
import { rejection } from './numbered.ts';
import { placeOn } from './segments-place.ts';

const SEGMENT_BYTES = 4_000;
const BODY = 300;
const path = (id: number, name = 'x') => `/disk/${name}-${String(id).padStart(12, '0')}.seg`;
const textOf = ({ body }: { readonly body: Uint8Array }) => Buffer.from(body).toString().trim();
const texts = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i));

/** Records 0 up to 30 in segments of eight or so, the last one not closed. Twelve in segment 1. */
async function written(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const opened = await openOn(disk);
  for (const text of texts(0, 30)) await opened.segments.append([Buffer.from(text.padEnd(BODY))], 1, 'work');
  opened.segments.close();
  return disk;
}

async function openOn(disk: MemoryDisk) {
  const place = placeOn(disk);
  const segments = await Segments.open(place, { name: 'x', segmentBytes: SEGMENT_BYTES, disk: place.disk });
  return { ...place, place, segments, read: () => segments.read(EVERYTHING).map(textOf) };
}

async function swap(disk: MemoryDisk, one: string, other: string): Promise<void> {
  await disk.rename(one, '/disk/aside');
  await disk.rename(other, one);
  await disk.rename('/disk/aside', other);
}

const ofOne = (disk: MemoryDisk) => disk.bytes(path(1)).length;
const at = (record: number) => 512 + record * (32 + BODY);

describe('damage in segments', () => {
  let disk: MemoryDisk;

  beforeEach(async () => {
    disk = await written();
    expect(disk.paths()).to.deep.equal([path(1), path(2), path(3)]);
  });

  it('a damaged record of a closed segment is named with its place when it is read, once, and the others are read', async () => {
    for (const place of [at(3), at(3) + 5, at(3) + 9, at(3) + 17, at(3) + 200]) {
      disk = await written();
      disk.damage(path(1), place, 1);
      const { read, damages } = await openOn(disk);
      expect(damages).to.deep.equal([]);
      for (let times = 0; times < 3; times++) expect(read()).to.deep.equal(texts(0, 30).filter((text) => text !== '3'));
      expect(damages).to.have.length(1);
      expect(damages[0]).to.include({ file: path(1), at: at(3), bytes: BODY, records: 1 });
    }
  });

  it('damage in the middle of the segment that is not closed is named when it is opened, and what is behind it is read', async () => {
    disk.damage(path(3), at(2) - 10, BODY + 40);
    const { read, damages, torn, segments } = await openOn(disk);
    expect(damages).to.have.length(1);
    expect(damages[0]).to.include({ file: path(3), records: 2, at: at(1) });
    const kept = read();
    expect(kept).to.have.length(28);
    expect(torn).to.deep.equal([]);
    await segments.append([Buffer.from('new')], 1, 'work');
    expect(read()).to.deep.equal([...kept, 'new']);
    // The damaged file is left as it is, so that it is named again, and can be looked at.
    segments.close();
    const again = await openOn(disk);
    expect(again.damages).to.have.length(1);
    expect(again.read()).to.deep.equal([...kept, 'new']);
  });

  it('what is wrong at the end of the last segment is a write that never ended: cut off, said once, its numbers not given again', async () => {
    const bytes = disk.bytes(path(3)).length;
    disk.damage(path(3), bytes - 10, 10);
    const { read, damages, torn, segments } = await openOn(disk);
    expect(damages).to.deep.equal([]);
    expect(torn).to.deep.equal([32 + BODY]);
    expect(read()).to.deep.equal(texts(0, 29));
    expect(segments.next).to.be.greaterThan(29);
    segments.close();
    const again = await openOn(disk);
    expect(again.torn).to.deep.equal([]);
    expect(again.segments.next).to.equal(segments.next);
    await again.segments.append([Buffer.from('new')], 1, 'work');
    expect(again.read()).to.deep.equal([...texts(0, 29), 'new']);
  });

  it('of a write of several records that never ended, what is behind its first hole is not read', async () => {
    const { segments } = await openOn(disk);
    await segments.append(
      ['a', 'b', 'c'].map((text) => Buffer.from(text.padEnd(BODY))),
      1,
      'work',
    );
    segments.close();
    const last = disk.paths().at(-1) ?? '';
    disk.damage(last, disk.bytes(last).indexOf('b'.padEnd(BODY)), 1);
    const again = await openOn(disk);
    expect(again.read()).to.deep.equal([...texts(0, 30), 'a']);
    expect([again.damages, again.torn]).to.deep.equal([[], [2 * (32 + BODY)]]);
  });

  it('a damaged header, footer or index costs no record and is named', async () => {
    for (const [place, what] of [
      [20, 'header'],
      [ofOne(disk) - 500, ''],
      [ofOne(disk) - 512 - 4, 'index'],
    ] as const) {
      disk = await written();
      disk.damage(path(1), place, 2);
      const { read, damages } = await openOn(disk);
      expect(read(), what).to.deep.equal(texts(0, 30));
      expect(damages.map((damage) => damage.what).join()).to.include(what);
      expect(damages.every(({ records }) => records === 0)).to.equal(true);
    }
  });

  it('whatever bytes of whatever segment are wrong: what is read is what was written, in order, and what is missing is named', async () => {
    for (const id of [1, 2, 3]) {
      const { length } = disk.bytes(path(id));
      for (let place = 0; place < length; place += 61) {
        for (const bytes of [1, 600]) {
          const damaged = await written();
          damaged.damage(path(id), place, bytes);
          const { read, damages, torn } = await openOn(damaged);
          const found = read();
          const lost = texts(0, 30).filter((text) => !found.includes(text));
          expect(found, `${id} at ${place}`).to.deep.equal(texts(0, 30).filter((text) => !lost.includes(text)));
          const named = damages.reduce((sum, { records }) => sum + records, 0);
          if (torn.length === 0) expect(named, `${id} at ${place}`).to.be.at.least(lost.length);
          else expect(lost.length).to.be.below(4);
        }
      }
    }
  }).timeout(120_000);

  it('a segment cut short is damage with the number of its records, when it is not the last one', async () => {
    const cut = new MemoryDisk();
    for (const id of [1, 2, 3]) {
      const file = await cut.create(path(id));
      await file.write(id === 2 ? disk.bytes(path(id)).subarray(0, at(4) + 100) : disk.bytes(path(id)), 0);
    }
    const { read, damages } = await openOn(cut);
    const lost = texts(0, 30).filter((text) => !read().includes(text));
    expect(lost.length).to.be.greaterThan(3);
    expect(damages).to.have.length.greaterThan(0);
    expect(damages[0]).to.include({ file: path(2), at: at(4) });
  });

  it('when the first page of the last segment is gone, what lay in it is named, and the rest is read', async () => {
    disk.damage(path(3), 0, at(1) + 10);
    const { read, damages, torn, segments } = await openOn(disk);
    const found = read();
    expect(found).to.deep.equal([...texts(0, 20), ...texts(22, 30)]);
    expect(damages.reduce((sum, { records }) => sum + records, 0)).to.equal(2);
    expect(torn).to.deep.equal([]);
    await segments.append([Buffer.from('new')], 1, 'work');
    segments.close();
    expect((await openOn(disk)).read()).to.deep.equal([...found, 'new']);
  });

  it('segments that have each other’s names are read in the order in which they were written, and none takes the place of another', async () => {
    for (const [one, other] of [
      [1, 2],
      [2, 3],
      [1, 3],
    ] as const) {
      disk = await written();
      await swap(disk, path(one), path(other));
      const { read, segments, place } = await openOn(disk);
      expect(read(), `${one} and ${other}`).to.deep.equal(texts(0, 30));
      await segments.append([Buffer.from('new')], 1, 'work');
      const [first] = segments.finished;
      if (first === undefined) throw new Error('there is none');
      await segments.shrink(
        first,
        'work',
        (number) => number > 1,
        () => {},
      );
      segments.close();
      expect(place.damages).to.deep.equal([]);
      expect((await openOn(disk)).read()).to.deep.equal([...texts(2, 30), 'new']);
    }
  });

  it('a copy of a segment under another name is named and left alone', async () => {
    for (const id of [4, 9]) {
      disk = await written();
      const copied = Buffer.from(disk.bytes(path(2)));
      await (await disk.create(path(id))).write(copied, 0);
      const { read, segments, damages } = await openOn(disk);
      expect(read()).to.deep.equal(texts(0, 30));
      expect(damages.map(({ file }) => file)).to.deep.equal([path(id)]);
      await segments.beginAnew(1, 'work');
      await segments.append([Buffer.from('new')], 1, 'work');
      segments.close();
      expect(disk.bytes(path(id)).equals(copied)).to.equal(true);
      expect((await openOn(disk)).read()).to.deep.equal([...texts(0, 30), 'new']);
    }
  });

  it('a segment of another version is refused, and nothing is changed', async () => {
    const other = new MemoryDisk();
    const file = await other.create(path(1));
    const header = Buffer.from(disk.bytes(path(1)));
    const json = Buffer.from(JSON.stringify({ format: 2 }));
    const { crc32 } = await import('node:zlib');
    header.writeUInt32LE(crc32(json), 8);
    header.writeUInt32LE(json.length, 12);
    json.copy(header, 16);
    await file.write(header, 0);
    expect(String(await rejection(openOn(other)))).to.include('format 2');
    expect(other.bytes(path(1)).equals(header)).to.equal(true);
  });

  it('a record that somebody wrote into a body is not taken for one', async () => {
    const file = disk.bytes(path(3));
    const inside = Buffer.from(file.subarray(at(0), at(1)));
    const { segments } = await openOn(disk);
    await segments.append([Buffer.concat([Buffer.from('a'), inside, Buffer.from('z')])], 1, 'work');
    await segments.append([Buffer.from('last')], 1, 'work');
    segments.close();
    // Now its head is damaged, and its body is looked through for the next record.
    const last = disk.paths().at(-1) ?? '';
    disk.damage(last, disk.bytes(last).indexOf(inside) - 20, 4);
    const { read } = await openOn(disk);
    expect(read().at(-1)).to.equal('last');
  });

  describe('of a queue and of a log', () => {
    async function queueOn(disk: MemoryDisk) {
      const place = placeOn(disk);
      return { ...place, queue: await QueueFile.open({ ...place, segmentBytes: SEGMENT_BYTES }) };
    }
    async function filled() {
      const disk = new MemoryDisk();
      const { queue } = await queueOn(disk);
      for (const text of texts(0, 30)) await queue.add([Buffer.from(text.padEnd(BODY))]);
      await queue.close();
      return disk;
    }

    it('a damaged message is named, does not count any more, and does not hold up the others', async () => {
      const disk = await filled();
      disk.damage(path(1, 'messages'), at(3) + 100, 1);
      const { queue, damages } = await queueOn(disk);
      expect(queue.messages).to.equal(30);
      await queue.mark([], 0, 100);
      expect(queue.read(1, 100).map(textOf)).to.deep.equal(texts(0, 30).filter((text) => text !== '3'));
      expect(damages).to.have.length(1);
      expect([queue.messages, queue.bytes]).to.deep.equal([29, 29 * BODY]);
      await queue.mark([], 0, 100);
      await queue.close();
      const again = await queueOn(disk);
      expect([again.queue.messages, again.queue.bytes]).to.deep.equal([29, 29 * BODY]);
      expect(again.damages).to.deep.equal([]);
    });

    it('damaged marks are named: what was done since they were begun may come again, and nothing is lost', async () => {
      const disk = await filled();
      const { queue } = await queueOn(disk);
      for (const sequence of [1, 2, 3]) await queue.mark([{ is: 'done', sequence, bytes: BODY, attempts: 1 }], 0, 0);
      await queue.close();
      const marks = disk.paths().find((each) => each.includes('marks')) ?? '';
      for (let place = 0; place < Math.min(2_500, disk.bytes(marks).length); place += 13) {
        const damaged = await filled();
        const one = await queueOn(damaged);
        for (const sequence of [1, 2, 3])
          await one.queue.mark([{ is: 'done', sequence, bytes: BODY, attempts: 1 }], 0, 0);
        await one.queue.close();
        damaged.damage(damaged.paths().find((each) => each.includes('marks')) ?? '', place, 3);
        const { queue, damages, torn } = await queueOn(damaged);
        await queue.mark([], 0, 100);
        const found = queue.read(1, 100).map(textOf);
        expect(found.slice(-27)).to.deep.equal(texts(3, 30));
        if (found.length > 27) expect(damages.length + torn.length, `at ${place}`).to.be.greaterThan(0);
        await queue.add([Buffer.from('new')]);
        await queue.mark([], 0, 100);
        expect(queue.read(1, 100).map(textOf).at(-1)).to.equal('new');
        await queue.close();
      }
    }).timeout(120_000);

    it('when nothing of the last file is whole, that is a damage, and it stays for who wants to look at it', async () => {
      const disk = await filled();
      const last = disk.paths().findLast((each) => each.includes('messages')) ?? '';
      disk.damage(last, 0, disk.bytes(last).length);
      const { queue, damages, torn } = await queueOn(disk);
      const waiting = queue.messages;
      expect(damages.map(({ file }) => file)).to.include(last);
      expect(damages.some(({ records }) => records > 0)).to.equal(true);
      expect(torn).to.deep.equal([]);
      await queue.mark([], 0, 100);
      for (const { sequence, body } of queue.read(1, 100))
        await queue.mark([{ is: 'done', sequence, bytes: body.length, attempts: 1 }], 0, 0);
      await queue.close();
      expect(waiting).to.be.greaterThan(10);
      expect(disk.paths()).to.include(last);
    });

    it('a queue with a copy of one of its files hands out each message once, and comes to its end', async () => {
      const disk = await filled();
      await (await disk.create(path(9, 'messages'))).write(Buffer.from(disk.bytes(path(1, 'messages'))), 0);
      const { queue, damages } = await queueOn(disk);
      expect(queue.messages).to.equal(30);
      await queue.mark([], 0, 100);
      const found = queue.read(1, 100);
      expect(found.map(textOf)).to.deep.equal(texts(0, 30));
      for (const { sequence, body } of found)
        await queue.mark([{ is: 'done', sequence, bytes: body.length, attempts: 1 }], 0, 0);
      expect([queue.messages, queue.read(1, 100)]).to.deep.equal([0, []]);
      expect(damages.map(({ file }) => file)).to.deep.equal([path(9, 'messages')]);
      await queue.close();
    });

    it('a file of a queue that goes away while it is open is named, and the messages of the others are handed out', async () => {
      const disk = await filled();
      const { queue, damages } = await queueOn(disk);
      await queue.mark([], 0, 100);
      await disk.remove(path(1, 'messages'));
      const found = queue.read(1, 100).map(textOf);
      expect(found).to.deep.equal(texts(30 - found.length, 30));
      expect(found.length).to.be.greaterThan(10);
      expect(damages).to.have.length(1);
      expect(damages[0]).to.include({ file: path(1, 'messages'), records: 30 - found.length });
      await queue.close();
    });

    it('a file of a log that is not there is named, with how many entries are lost', async () => {
      const disk = new MemoryDisk();
      const limits = { maxAgeMs: 3_600_000, maxBytes: 16 * SEGMENT_BYTES };
      const log = await LogFile.open(placeOn(disk), limits);
      for (const text of texts(0, 30)) await log.commit([Buffer.from(text.padEnd(BODY))]);
      log.close();
      await disk.remove(path(2, 'entries'));
      const place = placeOn(disk);
      const again = await LogFile.open(place, limits);
      const lost = 30 - again.read(again.first, 100).length;
      expect(lost).to.be.greaterThan(3);
      expect(place.damages).to.have.length(1);
      expect(place.damages[0]).to.include({ file: path(3, 'entries'), records: lost });
      again.close();
      // One that was trimmed is none.
      await disk.remove(path(1, 'entries'));
      const trimmed = placeOn(disk);
      (await LogFile.open(trimmed, limits)).close();
      expect(trimmed.damages).to.deep.equal([]);
    });

    it('a log keeps its epoch and its offsets when its newest segment is damaged from end to end', async () => {
      const disk = new MemoryDisk();
      const limits = { maxAgeMs: 3_600_000, maxBytes: 16 * SEGMENT_BYTES };
      const log = await LogFile.open(placeOn(disk), limits);
      for (const text of texts(0, 30)) await log.commit([Buffer.from(text.padEnd(BODY))]);
      log.close();
      const last = disk.paths().at(-1) ?? '';
      disk.damage(last, 0, disk.bytes(last).length);
      const place = placeOn(disk);
      const again = await LogFile.open(place, limits);
      expect(again.epoch).to.equal(log.epoch);
      expect(again.next).to.be.at.least(log.next);
      expect(place.damages.length).to.be.greaterThan(0);
    });
  });
});
