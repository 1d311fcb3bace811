import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import { pause } from '../../core/timing.ts';
import { temporaryFolder, until } from '../services/wait.ts';

/**
 * What a registry of so many sensors in a YAML file costs a broker that takes publishes meanwhile:
 *
 *   node --import ./test/services/typescript.js test/elsewhere/registry-yaml.ts [SENSORS]     10000 unless told otherwise
 *
 * How long an edit by hand and one by Loam hold up the event loop of the process, and how late PUBACKs come meanwhile;
 * beside it, the same without an edit.
 */
const ROUNDS = 3;
const QUIET_MS = 5_000;
const EVERY_MS = 5;

if (process.argv[2] === 'publisher') await publish(Number(process.argv[3]));
else await main(Number(process.argv[2] ?? 10_000));

async function main(count: number): Promise<void> {
  const folder = await temporaryFolder();
  const path = join(folder, 'registry.yaml');
  await writeFile(path, textOf(count));
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const begun = performance.now();
  const registry = await YamlRegistry.open(path, { log: silent });
  say(`${count} sensors: open after ${Math.round(performance.now() - begun)} ms`);
  globalThis.gc?.();
  if (globalThis.gc)
    say(`memory of a sensor here: ${Math.round((process.memoryUsage().heapUsed - before) / count)} bytes`);
  const queue = await openFileQueue(join(folder, 'queue'));
  const broker = new Broker({ host: '127.0.0.1', port: 0, queue, registry, log: silent });
  await broker.start();
  const publisher = startPublisher(broker.port);
  await publisher.spread();
  const measured = async (what: string, work: () => Promise<void>) => {
    await publisher.spread();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const own = watchOwnWork();
    const begun = performance.now();
    await work();
    const ms = Math.round(performance.now() - begun);
    delay.disable();
    say(
      `${what} (${ms} ms): longest work at once ${own().toFixed(1)} ms; longest hold ${(delay.max / 1e6).toFixed(1)} ms, 99.9% ${(delay.percentile(99.9) / 1e6).toFixed(1)} ms; PUBACK after ${await publisher.spread()}`,
    );
  };
  const text = await readFile(path, 'utf8');
  for (let round = 0; round < ROUNDS; round++) {
    await measured('no edit', () => pause(QUIET_MS));
    await measured('one sensor by hand', () =>
      byHand(registry, path, text.replace('name: Row 7,', `name: Gate ${round},`), 'f7/s7', `Gate ${round}`),
    );
    await measured('one sensor by Loam', async () => {
      const value = { ...registry.current().sensor('f7', 's7'), name: `Door ${round}` };
      await registry.apply([{ kind: 'sensor', id: 'f7/s7', value }], 'bench');
    });
  }
  await measured('every sensor by hand', () =>
    byHand(registry, path, text.replaceAll('name: Row', `name: Line`), 'f7/s7', `Line 7`),
  );
  publisher.stop();
  await broker.stop(5_000);
  await queue.close();
  await registry.close();
}

async function byHand(registry: YamlRegistry, path: string, text: string, id: string, name: string): Promise<void> {
  await writeFile(path, text);
  await until('it is in force', () => registry.current().get('sensor', id)?.name === name, { timeoutMs: 60_000 });
}

function textOf(count: number): string {
  const farms = Array.from({ length: 10 }, (_, i) => `  - { id: f${i}, name: Farm ${i}, timezone: UTC }`);
  const sensors = Array.from(
    { length: count },
    (_, i) =>
      `  - { id: s${i}, farm: f${i % 10}, name: Row ${i}, interval: 600, position: [52.1, 12.${i}], secret: ${hashSecret(`secret-${i}`)} }`,
  );
  return ['farms:', ...farms, 'sensors:', ...sensors, ''].join('\n');
}

/** A process that publishes one reading after the other, and says how long PUBACKs took since it was asked last. */
function startPublisher(port: number) {
  const args = ['--import', './test/services/typescript.js', fileURLToPath(import.meta.url), 'publisher', String(port)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  return {
    spread: async (): Promise<string> => {
      const answer = once(lines, 'line');
      child.stdin.write('\n');
      return String(await answer);
    },
    stop: () => child.kill(),
  };
}

async function publish(port: number): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
    clientId: 's1',
    username: 's1',
    password: 'secret-1',
  });
  let times: number[] = [];
  process.stdin.on('data', () => {
    times.sort((a, b) => a - b);
    const at = (share: number) => (times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0).toFixed(1);
    process.stdout.write(`${at(0.5)} ms in the middle, ${at(0.99)} ms 99%, ${at(1)} ms at most, of ${times.length}\n`);
    times = [];
  });
  for (;;) {
    const begun = performance.now();
    void client.publishAsync('farms/f1/sensors/s1/telemetry', '{"m":1}', { qos: 1 }).then(() => {
      times.push(performance.now() - begun);
    });
    await pause(EVERY_MS);
  }
}

/**
 * How long this thread has computed at most between two turns of its event loop, ms: the hold without the time in which
 * others had the processor. By the scheduler's account, which only Linux has.
 */
function watchOwnWork(): () => number {
  const used = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e6;
  let before = used();
  let most = 0;
  const timer = setInterval(() => {
    const now = used();
    most = Math.max(most, now - before);
    before = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return most;
  };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
