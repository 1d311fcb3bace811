import { writeSync } from 'node:fs';
import { given } from './child-tasks.ts';
import { DuckdbPlace } from './duckdb-place.ts';
import { numbered } from './store-readings.ts';

/**
 * Takes batches 0, 1, 2, … into the store and the live log of FOLDER, four at once, and prints each number once both have
 * it. A checkpoint is taken when batch 20 is there.
 */

const place = await DuckdbPlace.open(given('FOLDER'));
await place.up();
let next = 0;
const lane = async () => {
  for (;;) {
    const number = next++;
    await place.take(numbered(number));
    if (number === 20) await place.store.write(numbered(1_000_000), { checkpointed: true });
    writeSync(1, `${number}\n`);
  }
};
await Promise.all(Array.from({ length: 4 }, lane));
