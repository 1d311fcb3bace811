import { writeSync } from 'node:fs';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { until } from '../services/wait.ts';
import { given } from './child-tasks.ts';
import { numbered } from './store-readings.ts';

/** What a child process does with the store at STORE_URL; the suite names the task in TASK. */

const url = given('STORE_URL');
const store = await (url.startsWith('duckdb:') ? openDuckdbStore(url.slice('duckdb:'.length)) : openInfluxStore(url));

switch (given('TASK')) {
  case 'write':
    await writeForEver(store);
    break;
  case 'write-one':
    await store.write(numbered(1));
    print('begin');
    await store.write(numbered(2));
    print('durable');
    await store.close();
    break;
  case 'insist':
    for (let number = 0; number < 10; number += 1) await insist(store, number);
    await store.close();
    break;
  case 'forget':
    // Ends without closing; whoever kept the process alive would be seen.
    await store.write(numbered(1));
    process.exit(0);
    break;
  default:
    throw new Error('unknown TASK');
}

/** Writes batches 0, 1, 2, … with four under way at once, and prints each number once its batch is durable, until the store is gone. */
async function writeForEver(into: Store): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (;;) {
      const number = next++;
      await into.write(numbered(number));
      print(number);
    }
  };
  await Promise.all(Array.from({ length: 4 }, () => lane().catch(onlyUnavailable)));
}

/** Writes a batch again until it is confirmed, and prints every outcome. */
async function insist(into: Store, number: number): Promise<void> {
  for (;;) {
    const outcome = await into.write(numbered(number)).then(() => 'durable', onlyUnavailable);
    print(`${number} ${outcome ?? 'unavailable'}`);
    if (outcome !== undefined) return;
    await until('the store to be up', () => into.state.is === 'up');
  }
}

function onlyUnavailable(error: unknown): void {
  if (!(error instanceof StoreUnavailable)) throw error;
}

function print(line: string | number): void {
  writeSync(1, `${line}\n`);
}
