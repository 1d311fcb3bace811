import { expect } from 'chai';
import { Dice } from '../chaos/random.ts';
import { DiskImage, hasXfs, whyNoDisks } from '../services/disk-image.ts';
import { itIfLong, shortOrLong } from '../services/length.ts';
import { CUT_PARTS, cutsOf } from './power-cuts.ts';

// The same every time; test/elsewhere/power-cuts.ts is the long form.
const SEED = 7;
const MEGABYTES = 96;

/** A sync that is under way when a file system finds itself damaged succeeds in 1 of 15 tries, though its bytes are lost. */
const DAMAGES = shortOrLong(3, 60);

describe('a real file system that loses power under load', function () {
  this.timeout(240_000);
  const why = whyNoDisks();
  if (why !== undefined) {
    it(`is not tried on this machine: ${why}`, () => {});
    return;
  }

  for (const kind of shortOrLong(false, hasXfs()) ? (['ext4', 'xfs'] as const) : (['ext4'] as const)) {
    it(`has everything that was confirmed, once: on ${kind}`, async () => {
      const disk = await DiskImage.make(kind, MEGABYTES);
      const dice = new Dice(SEED);
      try {
        for (const [name, part] of Object.entries(CUT_PARTS)) {
          const { confirmed, missing, doubled } = await cutsOf(disk, part, shortOrLong(1, 5), dice);
          const some = { missing: missing.slice(0, 10), doubled: doubled.slice(0, 10) };
          expect(some, name).to.deep.equal({ missing: [], doubled: [] });
          expect(confirmed, name).to.be.greaterThan(0);
        }
      } finally {
        await disk.close();
      }
    });
  }

  itIfLong('has everything that was confirmed when it finds itself damaged under load', async () => {
    const disk = await DiskImage.make('ext4', MEGABYTES);
    try {
      for (const name of ['a queue', 'a log'] as const) {
        const { confirmed, missing } = await cutsOf(disk, CUT_PARTS[name], DAMAGES, new Dice(SEED), 'damage');
        expect(missing.slice(0, 10), name).to.deep.equal([]);
        expect(confirmed, name).to.be.greaterThan(0);
      }
    } finally {
      await disk.close();
    }
  });
});
