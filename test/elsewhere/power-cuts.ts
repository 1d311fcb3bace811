import { CUT_PARTS, type CutKind, cutsOf } from '../backbone/power-cuts.ts';
import { Dice } from '../chaos/random.ts';
import { endAll } from '../services/cleanup.ts';
import { DiskImage, hasXfs, whyNoDisks } from '../services/disk-image.ts';

const ENDS: Readonly<Record<CutKind, string>> = { power: 'a power cut', damage: 'a damage found' };

/**
 * Cuts the power under queue, log and spool on real file systems, lets ext4 find itself damaged under them, and compares what is
 * there with what was confirmed:
 *
 *   node --import ./test/services/typescript.js test/elsewhere/power-cuts.ts [CUTS [SEED [ext4|xfs]]]
 *
 * Needs root on Linux, and makes and unmounts all that it mounts. Exits with 1 when something is missing or there twice.
 */
async function main(cuts: number, seed: number, only: string): Promise<number> {
  const why = whyNoDisks();
  if (why !== undefined) throw new Error(`no power can be cut here: ${why}`);
  let wrong = 0;
  for (const kind of hasXfs() ? (['ext4', 'xfs'] as const) : (['ext4'] as const)) {
    if (!kind.includes(only)) continue;
    for (const [name, part] of Object.entries(CUT_PARTS)) {
      for (const how of kind === 'ext4' ? (['power', 'damage'] as const) : (['power'] as const)) {
        // Each has a disk and moments of its own, so that one can be tried again alone.
        const disk = await DiskImage.make(kind, 256);
        const { confirmed, missing, doubled } = await cutsOf(disk, part, cuts, new Dice(seed), how);
        await disk.close();
        wrong += missing.length + doubled.length;
        const found = `confirmed ${confirmed}, missing ${missing.length}, doubled ${doubled.length}`;
        console.log(
          `${kind}, ${name}: ${cuts} times ${ENDS[how]}, ${found} ${[...missing, ...doubled].slice(0, 10).join(' ')}`.trim(),
        );
      }
    }
  }
  return wrong === 0 ? 0 : 1;
}

const [cuts = '20', seed = '1', only = ''] = process.argv.slice(2);
try {
  process.exitCode = await main(Number(cuts), Number(seed), only);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await endAll();
}
process.exit();
