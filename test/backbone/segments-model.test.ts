import { expect } from 'chai';
import fc from 'fast-check';
import { QueueFile } from '../../backbone/segments/queue-file.ts';
import { type Fault, MemoryDisk, randomOf } from './memory-disk.ts';
import { placeOn, Story } from './segments-place.ts';

const SEGMENT_BYTES = 3_000;

/** What happens to a queue. Of messages there are those whose numbers, in order, are chosen by `pick`. */
type Step =
  | { readonly is: 'add'; readonly sizes: readonly number[] }
  | { readonly is: 'finish'; readonly pick: number; readonly of: number }
  | { readonly is: 'fault'; readonly after: number; readonly fault: Fault; readonly lasting: boolean }
  | { readonly is: 'heal' }
  | { readonly is: 'kill' }
  | { readonly is: 'cut'; readonly seed: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ is: fc.constant('add'), sizes: fc.array(fc.nat(1_500), { minLength: 1, maxLength: 5 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ is: fc.constant('finish'), pick: fc.nat(6), of: fc.integer({ min: 1, max: 7 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constant('fault'),
      after: fc.nat(12),
      fault: fc.constantFrom<Fault>('fails', 'fails afterwards', 'is short'),
      lasting: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('heal') }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('kill') }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('cut'), seed: fc.nat() }) },
);

const textOf = ({ body }: { readonly body: Uint8Array }) => Buffer.from(body).toString();

/** A queue, and beside it what it has confirmed. */
class Tried {
  private disk = new MemoryDisk();
  private readonly story = new Story();
  private queue: QueueFile | undefined;
  private messages = 0;

  async run(steps: readonly Step[]): Promise<void> {
    await this.open();
    for (const each of steps) await this.take(each);
    await this.take({ is: 'kill' });
  }

  private async take(step: Step): Promise<void> {
    switch (step.is) {
      case 'add': {
        const texts = step.sizes.map((size) => `${++this.messages}`.padEnd(size, '-'));
        await this.story.add(texts, (bodies) => this.opened().add(bodies)).catch(() => {});
        return;
      }
      case 'finish':
        return await this.finish(step.pick, step.of).catch(() => {});
      case 'fault':
        this.disk.fault = { at: this.disk.calls + step.after, is: step.fault, lasting: step.lasting };
        return;
      case 'heal':
        this.disk.fault = undefined;
        return;
      case 'cut':
        this.disk = this.disk.cut(randomOf(step.seed));
        await this.open();
        return await this.compare();
      case 'kill':
        this.disk = this.disk.killed();
        await this.open();
        return await this.compare();
    }
  }

  private async finish(pick: number, of: number): Promise<void> {
    const queue = this.opened();
    await queue.mark([], 0, 10_000);
    const done = queue.read(1, 10_000).filter((_, i) => i % of === pick % of);
    const texts = new Set(done.map(textOf));
    const unsure = [...texts].filter((text) => this.story.maybe.has(text));
    this.story.giveUp((text) => texts.has(text));
    await queue.mark(
      done.map(({ sequence, body }) => ({ is: 'done', sequence, bytes: body.length, attempts: 1 })),
      0,
      0,
    );
    for (const text of [...texts, ...unsure]) this.story.maybe.delete(text);
  }

  private async open(): Promise<void> {
    const place = placeOn(this.disk);
    this.queue = await QueueFile.open({ ...place, segmentBytes: SEGMENT_BYTES }).catch(() => undefined);
    expect(place.damages).to.deep.equal([]);
  }

  private async compare(): Promise<void> {
    const queue = this.opened();
    await queue.mark([], 0, 10_000);
    const messages = queue.read(1, 10_000);
    expect(this.story.wrong(messages.map(textOf))).to.equal(undefined);
    expect(queue.messages).to.equal(messages.length);
    expect(queue.bytes).to.equal(messages.reduce((sum, { body }) => sum + body.length, 0));
  }

  private opened(): QueueFile {
    if (this.queue === undefined) throw new Error('the queue could not be opened');
    return this.queue;
  }
}

describe('a queue in segments, whatever happens to it and to its disk in whatever order', function () {
  this.timeout(300_000);

  it('has everything that was confirmed and not done, once and in order, and nothing that is done', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => new Tried().run(steps)),
      { numRuns: 400 },
    );
  });

  it('keeps on disk little more than twice what is not done, also when something is never done', async () => {
    const disk = new MemoryDisk();
    const queue = await QueueFile.open({ ...placeOn(disk), segmentBytes: SEGMENT_BYTES });
    let most = 0;
    for (let n = 1; n <= 600; n++) {
      await queue.add([Buffer.from(`${n}`.padEnd(700))]);
      await queue.mark([], n, 1);
      // One of fifty stays.
      if (n % 50 !== 1) await queue.mark([{ is: 'done', sequence: n, bytes: 700, attempts: 1 }], n, 1);
      const bytes = disk
        .paths()
        .reduce((sum, path) => sum + (path.includes('messages') ? disk.bytes(path).length : 0), 0);
      most = Math.max(most, bytes - 2 * queue.bytes);
    }
    await queue.close();
    // Six segments, and for each message that stays a header, a footer and an index.
    expect(most).to.be.below(6 * SEGMENT_BYTES + 12 * 1_200);
    const again = await QueueFile.open({ ...placeOn(disk), segmentBytes: SEGMENT_BYTES });
    await again.mark([], 0, 1_000);
    expect(again.read(1, 1_000).map((each) => Number(textOf(each)))).to.deep.equal(
      Array.from({ length: 12 }, (_, i) => i * 50 + 1),
    );
  });
});
