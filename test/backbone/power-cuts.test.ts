import { expect } from 'chai';
import { Dice } from '../chaos/random.ts';
import { DiskImage, hasXfs, whyNoDisks } from '../services/disk-image.ts';
import { shortOrLong } from '../services/length.ts';
import { CUT_PARTS, cutsOf } from './power-cuts.ts';

// The same every time; test/elsewhere/power-cuts.ts is the long form.
const SEED = 7;
const MEGABYTES = 96;

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
});
