import { writeSync } from 'node:fs';
import type { Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { LoamError } from '../../core/errors.ts';
import { until } from '../services/wait.ts';

/** A variable that the parent must have set. */
export function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** What a child process does with the queue that `open` opens; the suite names the task in TASK. */
export async function queueChild(open: () => Promise<Queue>): Promise<void> {
  const queue = await open();
  switch (given('TASK')) {
    case 'write':
      return writeForEver((body) => queue.publish(body));
    case 'write-and-take':
      await queue.consume(async ({ body }) => print(`taken ${Buffer.from(body).toString().trim()}`), { prefetch: 16 });
      return writeForEver((body) => queue.publish(body));
    case 'write-one':
      await writeOne((body) => queue.publish(body));
      return queue.close();
    case 'write-all':
      await writeAll((body) => queue.publish(body), queue.watch.bind(queue));
      return queue.close();
    case 'hold':
      return holdForEver(queue, Number(given('PREFETCH')));
    case 'work-off':
      await workOff(queue);
      return queue.close();
    default:
      throw new Error('unknown TASK');
  }
}

/** What a child process does with the log that `open` opens. */
export async function logChild(open: () => Promise<Log>): Promise<void> {
  const log = await open();
  switch (given('TASK')) {
    case 'write':
      return writeForEver((body) => log.append(body));
    case 'write-one':
      await writeOne((body) => log.append(body));
      return log.close();
    case 'write-all':
      await writeAll((body) => log.append(body), log.watch.bind(log));
      return log.close();
    default:
      throw new Error('unknown TASK');
  }
}

/** Writes 0, 1, 2, … (or from FIRST on, of SIZE bytes) with eight under way at once, and prints each number once it is durable. */
async function writeForEver(write: (body: Uint8Array) => Promise<void>): Promise<void> {
  const { FIRST = '0', SIZE = '1000' } = process.env;
  let next = Number(FIRST);
  const lane = async () => {
    for (;;) {
      const number = next++;
      await write(Buffer.from(String(number).padEnd(Number(SIZE))));
      print(number);
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
}

/** Writes 10 kB of a, prints begin, writes 10 kB of b, and prints durable. */
async function writeOne(write: (body: Uint8Array) => Promise<void>): Promise<void> {
  await write(Buffer.alloc(10_000, 'a'));
  print('begin');
  await write(Buffer.alloc(10_000, 'b'));
  print('durable');
}

/** Writes 0 to 29 one after another, each once, and prints what became of it; and every change of the state. */
async function writeAll(write: (body: Uint8Array) => Promise<void>, watch: Log['watch']): Promise<void> {
  watch((state) => print(`state ${state.is}`));
  for (let number = 0; number < 30; number++) {
    await write(Buffer.from(String(number))).then(
      () => print(`kept ${number}`),
      (error: unknown) => print(`${error instanceof LoamError ? error.code : String(error)} ${number}`),
    );
  }
}

/** Publishes 0 to 29 together, works them off, and prints each with its attempt. */
async function workOff(queue: Queue): Promise<void> {
  await Promise.all(Array.from({ length: 30 }, (_, number) => queue.publish(Buffer.from(String(number)))));
  await queue.consume(async ({ body, attempt }) => print(`${Buffer.from(body)} ${attempt}`), { prefetch: 3 });
  await until('an empty queue', async () => (await queue.depth()) === 0);
}

/** Takes what it is given, prints it with its attempt, and never finishes. */
async function holdForEver(queue: Queue, prefetch: number): Promise<void> {
  const alive = setInterval(() => {}, 60_000);
  await queue.consume(
    ({ body, attempt }) => {
      print(`${Buffer.from(body).toString().trim()} ${attempt}`);
      return new Promise(() => alive.ref());
    },
    { prefetch },
  );
}

function print(line: string | number): void {
  writeSync(1, `${line}\n`);
}
