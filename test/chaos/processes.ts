import { readdir, readFile } from 'node:fs/promises';
import { frozen } from '../services/process.ts';
import { type Fault, lasting } from './fault.ts';
import { cpuOf, memoryOf } from './role.ts';
import type { Stage } from './stage.ts';

/** Resident memory, MB, of every process at one time, s after the beginning, and the seconds of CPU it had used by then. */
export interface ProcessSample {
  readonly at: number;
  readonly mb: Readonly<Record<string, number>>;
  readonly cpu: Readonly<Record<string, number>>;
}

/** The load generator's name among the processes: it is this one. */
const GENERATOR = 'generator';

/** Looks at every process of a stage, at the servers that this process started, and at itself, every so often. */
export class ProcessWatch {
  readonly samples: ProcessSample[] = [];
  private readonly stage: Stage;
  private readonly began = Date.now();
  private readonly timer: NodeJS.Timeout;

  constructor(stage: Stage, everyMs = 1_000) {
    this.stage = stage;
    this.timer = setInterval(() => void this.look(), everyMs);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Seconds since the beginning. */
  get now(): number {
    return (Date.now() - this.began) / 1_000;
  }

  private async look(): Promise<void> {
    const at = this.now;
    const mb: Record<string, number> = {};
    const cpu: Record<string, number> = {};
    const roles = Object.entries(this.stage.roles).map(([name, { pid }]) => [name, pid] as const);
    for (const [name, pid] of [...roles, ...(await servers()), [GENERATOR, process.pid] as const]) {
      const [memory, seconds] = [await memoryOf(pid), await cpuOf(pid)];
      if (memory !== undefined) mb[name] = (mb[name] ?? 0) + memory;
      if (seconds !== undefined) cpu[name] = (cpu[name] ?? 0) + seconds;
    }
    this.samples.push({ at, mb, cpu });
  }
}

/** What share of one core each process took between two times, s after the beginning, by name. */
export function coresOf(samples: readonly ProcessSample[], from: number, to: number): Record<string, number> {
  const within = samples.filter(({ at }) => at >= from && at <= to);
  const [first, last] = [within[0], within.at(-1)];
  if (!first || !last || first === last) return {};
  const seconds = last.at - first.at;
  return Object.fromEntries(
    Object.entries(last.cpu).map(([name, cpu]) => [name, (cpu - (first.cpu[name] ?? 0)) / seconds]),
  );
}

const SHOWN: Readonly<Record<string, string>> = { 'beam.smp': 'RabbitMQ', influxd: 'InfluxDB' };

/** The servers among this process's children, by name. Linux only; elsewhere none. */
async function servers(): Promise<[string, number][]> {
  const found: [string, number][] = [];
  const entries = await readdir('/proc').catch(() => []);
  for (const entry of entries) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const [, program = '', parent] = /^\d+ \((.*)\) \S (\d+)/.exec(stat) ?? [];
    const name = SHOWN[program];
    if (name !== undefined && Number(parent) === process.pid) found.push([name, Number(entry)]);
  }
  return found;
}

/** A server that stands still for a while, with SIGSTOP. It is one of this process's children, and the only one of its name. */
export function frozenServer(name: 'RabbitMQ' | 'InfluxDB'): Fault {
  let pid: number | undefined;
  return lasting(
    `${name} frozen`,
    async () => {
      pid = (await servers()).find(([each]) => each === name)?.[1];
      if (pid === undefined) throw new Error(`${name} is no process of this one's`);
      await frozen(pid);
    },
    async () => {
      if (pid !== undefined) process.kill(pid, 'SIGCONT');
    },
  );
}
