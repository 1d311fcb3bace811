import { writeSync } from 'node:fs';
import { NoRoom } from '../../backbone/files/disk.ts';
import { openLmdbQueue } from '../../backbone/lmdb/queue.ts';
import { LoamError } from '../../core/errors.ts';
import { until } from '../services/wait.ts';
import { given } from './child-tasks.ts';

/**
 * Publishes 300 messages of many sizes, eight at a time, in a process that may write no file beyond a size: more than has room. Then takes
 * out half of what is there, publishes as many again, and prints what became of each.
 */
const queue = await openLmdbQueue(given('QUEUE_DIR'));
let refused = 0;
await publish(0, 300);
const before = await queue.depth();
let taken = 0;
const consumer = await queue.consume(
  async ({ body }) => {
    print(`taken ${Buffer.from(body).toString().trim()}`);
    taken += 1;
  },
  { prefetch: 4 },
);
await until('half to be taken out', () => taken > before / 2);
await consumer.stop();
await publish(300, 600);
print(`refused ${refused}`);
await queue.close();

async function publish(from: number, to: number): Promise<void> {
  let next = from;
  const lane = async () => {
    while (next < to) {
      const number = next++;
      const body = Buffer.from(String(number).padEnd((number * 7_919) % 60_000));
      try {
        await queue.publish(body);
        print(`kept ${number}`);
      } catch (error) {
        if (error instanceof LoamError && error.cause instanceof NoRoom) refused += 1;
        else print(`other ${error instanceof Error ? error.cause : error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
}

function print(line: string): void {
  writeSync(1, `${line}\n`);
}
