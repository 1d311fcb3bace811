import { writeSync } from 'node:fs';
import { Disks, NoRoom } from '../../backbone/files/disk.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { LoamError } from '../../core/errors.ts';
import { until } from '../services/wait.ts';
import { given } from './child-tasks.ts';

/**
 * Publishes messages of many sizes, eight at a time, where there is less room than they need. Then takes out most of what
 * is there, publishes more, closes the queue, opens it, takes out the rest, and prints what became of each.
 */
// As if all of it were free: the file system itself refuses.
const EIGHT_MB = 8 * 2 ** 20;
const disks = new Disks({ readRoom: async () => ({ total: EIGHT_MB, free: EIGHT_MB }) });
const open = () => openFileQueue(given('QUEUE_DIR'), undefined, disks);
const queue = await open();
await publishUntilRefused(600);
const before = await queue.depth();
await takeOut(queue, 'taken', before / 8);
await publishAll(600, 700);
await queue.close();
const again = await open();
await takeOut(again, 'left', 0);
await again.close();

/** Each of the eight that publish ends when it is refused. */
async function publishUntilRefused(count: number): Promise<void> {
  let refused = 0;
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const number = next++;
      try {
        await queue.publish(bodyOf(number, 60_000));
        print(`kept ${number}`);
      } catch (error) {
        if (!(error instanceof LoamError && error.cause instanceof NoRoom))
          print(`other ${error instanceof Error ? error.cause : error}`);
        refused += 1;
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  print(`refused ${refused}`);
}

/** Publishes messages, each again and again until it is taken. */
async function publishAll(from: number, to: number): Promise<void> {
  for (let number = from; number < to; number++) {
    await until(`message ${number} to be taken`, () => queue.publish(bodyOf(number, 10_000)).then(() => true));
    print(`kept ${number}`);
  }
}

function bodyOf(number: number, mostBytes: number): Buffer {
  return Buffer.from(String(number).padEnd((number * 7_919) % mostBytes));
}

async function takeOut(from: Queue, what: string, rest: number): Promise<void> {
  const consumer = await from.consume(async ({ body }) => print(`${what} ${Buffer.from(body).toString().trim()}`), {
    prefetch: 4,
  });
  await until('so many to be taken out', async () => (await from.depth()) <= rest);
  await consumer.stop();
}

function print(line: string): void {
  writeSync(1, `${line}\n`);
}
