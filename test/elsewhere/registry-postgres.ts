import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { silent } from '../../core/logger.ts';
import type { Edit } from '../../telemetry/registry/registry.ts';
import { endAll } from '../services/cleanup.ts';
import { startPostgres } from '../services/postgres.ts';

/**
 * What a registry of so many sensors in PostgreSQL costs:
 *
 *   node --import ./test/services/typescript.js test/elsewhere/registry-postgres.ts [SENSORS]     100000 unless told otherwise
 *
 * How long a start takes and for how long at most it holds up the event loop, what a sensor takes in memory, how long an
 * edit of one sensor takes and holds up its own process and another, and when that other knows of it.
 */
const IN_A_FARM = 1_000;
const EDITS = 200;
const BATCH = 10_000;

if (process.argv[2] === 'child') await child(process.argv[3] ?? '');
else await main(Number(process.argv[2] ?? 100_000));

async function main(count: number): Promise<void> {
  const server = await startPostgres({ settings: ['fsync = on', 'shared_buffers = 128MB'] });
  const url = await server.createDatabase();
  const registry = await openPostgresRegistry(url, { log: silent });
  const filling = performance.now();
  const edits = thingsOf(count);
  for (let at = 0; at < edits.length; at += BATCH) await registry.apply(edits.slice(at, at + BATCH), 'fill');
  say(`PostgreSQL ${await server.version()}, ${count} sensors, written in ${seconds(filling)} s`);
  const other = startChild(url);
  say(`start of another process: ${await other.next()}`);
  const taken: number[] = [];
  const known: number[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  for (let number = 0; number < EDITS; number += 1) {
    const begun = performance.timeOrigin + performance.now();
    const id = `s${Math.floor(Math.random() * count)}`;
    await registry.apply([sensorEdit(id, Number(id.slice(1)), `edit ${number}`)], 'bench');
    taken.push(performance.timeOrigin + performance.now() - begun);
    known.push(Number(await other.next()) - begun);
  }
  delay.disable();
  const { user, system } = process.cpuUsage(cpu);
  const each = ((user + system) / 1e3 / EDITS).toFixed(1);
  say(
    `edit of one sensor: ${spread(taken)}, of processor time ${each} ms; longest hold of its own event loop ${(delay.max / 1e6).toFixed(1)} ms`,
  );
  say(`known to the other process, from the beginning of the edit: ${spread(known)}`);
  other.end();
  say(`meanwhile in the other process: ${await other.next()}`);
  await registry.close();
  await endAll();
}

/** Opens the registry, says what that took, and then the time of each change. */
async function child(url: string): Promise<void> {
  global.gc?.();
  const before = memory();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const registry: RegistryPort = await openPostgresRegistry(url, { log: silent });
  delay.disable();
  const took = seconds(begun);
  const { user, system } = process.cpuUsage(cpu);
  global.gc?.();
  const bytes = (memory() - before) / registry.current().sensorCount;
  console.log(
    `${took} s, of processor time ${((user + system) / 1e6).toFixed(2)} s, longest hold of the event loop ${(delay.max / 1e6).toFixed(1)} ms, ${Math.round(bytes)} bytes a sensor`,
  );
  delay.reset();
  delay.enable();
  registry.watch(() => console.log(performance.timeOrigin + performance.now()));
  process.stdin.once('end', async () => {
    console.log(`longest hold of the event loop ${(delay.max / 1e6).toFixed(1)} ms`);
    await registry.close();
  });
  process.stdin.resume();
}

function startChild(url: string): { next(): Promise<string>; end(): void } {
  const options = ['--expose-gc', ...process.execArgv, fileURLToPath(import.meta.url), 'child', url];
  const running = spawn(process.execPath, options, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(running.stdout)[Symbol.asyncIterator]();
  return {
    next: async () => {
      const line = await lines.next();
      if (line.done) throw new Error('the other process ended');
      return line.value;
    },
    end: () => running.stdin.end(),
  };
}

function thingsOf(count: number): Edit[] {
  const farms = Array.from({ length: Math.ceil(count / IN_A_FARM) }, (_, number): Edit[] => [
    {
      kind: 'farm',
      id: `farm${number}`,
      value: { id: `farm${number}`, name: `Farm ${number}`, timezone: 'Europe/Berlin' },
    },
    { kind: 'field', id: `farm${number}/hill`, value: { id: 'hill', farm: `farm${number}`, name: 'Hill' } },
  ]);
  return [...farms.flat(), ...Array.from({ length: count }, (_, number) => sensorEdit(`s${number}`, number))];
}

function sensorEdit(id: string, number: number, name = `Sensor ${id} by the gate`): Edit {
  const farm = `farm${Math.floor(number / IN_A_FARM)}`;
  const secret = randomBytes(32).toString('hex');
  const position = [52 + Math.random(), 13 + Math.random()];
  return { kind: 'sensor', id: `${farm}/${id}`, value: { id, farm, field: 'hill', name, secret, position } };
}

function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1_000).toFixed(2);
}

function spread(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0).toFixed(1);
  return `median ${at(0.5)} ms, 99 of 100 below ${at(0.99)} ms, most ${at(1)} ms`;
}

function say(text: string): void {
  console.log(text);
}
