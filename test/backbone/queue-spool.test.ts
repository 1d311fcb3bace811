import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openSpool, type SpooledQueue } from '../../backbone/spool/spool.ts';
import { QueueFull } from '../../core/errors.ts';
import { type Proxy as LineProxy, startProxy } from '../services/proxy.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { listening } from '../workers/bench.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
let count = 0;

describe('a spool in front of a RabbitMQ queue', function () {
  this.timeout(60_000);
  const opened: { close(): Promise<void> }[] = [];
  let proxy: LineProxy;
  let dir: string;
  let name: string;

  beforeEach(async () => {
    const { port } = await rabbit();
    proxy = await startProxy(port);
    dir = await temporaryFolder();
    name = `spooled.${process.pid}.${++count}`;
    opened.push(proxy);
  });

  afterEach(async () => {
    for (const part of opened.splice(0).reverse()) await part.close();
  });

  async function spool(over: { maxBytes?: number } = {}) {
    const { log, lines } = listening();
    const url = `amqp://guest:guest@127.0.0.1:${proxy.port}`;
    const openFar = () => openRabbitQueue(url, { name, settleMs: 0, confirmTimeoutMs: 2_000 });
    const queue = await openSpool({ dir, maxBytes: 2 ** 20, ...over, openFar, log });
    opened.push(queue);
    return { queue, lines };
  }

  /** What arrives at the far queue, in order. */
  async function arrivals(): Promise<string[]> {
    const { url } = await rabbit();
    const far: Queue = await openRabbitQueue(url, { name, settleMs: 0 });
    opened.push(far);
    const arrived: string[] = [];
    await far.consume(async ({ body }) => void arrived.push(new TextDecoder().decode(body)), { prefetch: 1 });
    return arrived;
  }

  const reached = (queue: SpooledQueue) => until('the far queue is reached', async () => (await queue.depth()) >= 0);
  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `m${from + i}`);

  it('lets messages through while the line is good', async () => {
    const { queue, lines } = await spool();
    await reached(queue);
    for (const text of numbers(0, 5)) await queue.publish(bytes(text));
    expect(queue.spooled).to.equal(0);
    const arrived = await arrivals();
    await until('all have arrived', () => arrived.length === 5);
    expect(lines).to.deep.equal([]);
  });

  it('keeps what comes while the line is cut, and forwards it in order when it is back, before anything newer', async () => {
    const { queue, lines } = await spool();
    await reached(queue);
    const arrived = await arrivals();
    await queue.publish(bytes('m0'));
    proxy.cut();
    for (const text of numbers(1, 50)) await queue.publish(bytes(text));
    expect(queue.spooled).to.equal(49);
    expect(queue.state.is).to.equal('up');
    proxy.restore();
    for (const text of numbers(50, 60)) await queue.publish(bytes(text));
    await until('all have arrived', () => arrived.length >= 60, { timeoutMs: 40_000 });
    expect(arrived).to.deep.equal(numbers(0, 60));
    await until('the spool is empty', () => queue.spooled === 0);
    await queue.publish(bytes('m60'));
    await until('the straight way is taken again', () => arrived.at(-1) === 'm60');
    expect(lines.filter((line) => line.includes('kept in the spool'))).to.have.length(1);
    expect(lines.filter((line) => line.includes('was forwarded'))).to.have.length(1);
  });

  it('keeps messages from the start when the far queue cannot be reached, and the next process forwards them', async () => {
    proxy.cut();
    const first = await spool();
    for (const text of numbers(0, 20)) await first.queue.publish(bytes(text));
    await first.queue.close();
    const arrived = await arrivals();
    expect(arrived).to.deep.equal([]);
    const second = await spool();
    expect(second.queue.spooled).to.equal(20);
    await second.queue.publish(bytes('m20'));
    proxy.restore();
    await until('all have arrived', () => arrived.length >= 21);
    expect(arrived).to.deep.equal(numbers(0, 21));
  });

  it('refuses at its limit in bytes, and goes on when there is room', async () => {
    proxy.cut();
    const { queue } = await spool({ maxBytes: 10_000 });
    const large = new Uint8Array(3_000);
    for (let i = 0; i < 3; i++) await queue.publish(large);
    const refused: unknown = await queue.publish(large).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(QueueFull);
    proxy.restore();
    await until('it was forwarded', () => queue.spooled === 0);
    await queue.publish(large);
  });

  it('a message that was damaged in the spool is not waited for: the others are forwarded, and the straight way is taken', async () => {
    proxy.cut();
    const { queue, lines } = await spool();
    for (const text of numbers(0, 60)) await queue.publish(bytes(text));
    // Behind those that were read already.
    await overwrite(join(dir, 'segments', 'messages-000000000001.seg'), 'm40', 'm??');
    proxy.restore();
    const arrived = await arrivals();
    await until('the others have arrived', () => arrived.length >= 59, { timeoutMs: 40_000 });
    expect(arrived).to.deep.equal(numbers(0, 60).filter((text) => text !== 'm40'));
    await until('the spool is empty', () => queue.spooled === 0);
    expect(lines.filter((line) => line.includes('was forwarded but for 1 message'))).to.have.length(1);
    await queue.publish(bytes('m60'));
    await until('the straight way is taken', () => arrived.at(-1) === 'm60');
    expect(queue.spooled).to.equal(0);
  });
});

async function overwrite(path: string, text: string, by: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(by, (await readFile(path)).indexOf(text));
  } finally {
    await file.close();
  }
}
