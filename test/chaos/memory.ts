import { readdir, readFile } from 'node:fs/promises';
import { memoryOf } from './role.ts';
import type { Stage } from './stage.ts';

/** Resident memory, MB, of every process at one time, s after the beginning. */
export interface MemorySample {
  readonly at: number;
  readonly mb: Readonly<Record<string, number>>;
}

/** Looks at the memory of every process of a stage, and of the servers that this process started, every so often. */
export class MemoryWatch {
  readonly samples: MemorySample[] = [];
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

  private async look(): Promise<void> {
    const at = (Date.now() - this.began) / 1_000;
    const mb: Record<string, number> = {};
    for (const [name, role] of Object.entries(this.stage.roles)) {
      const memory = await role.memoryMb();
      if (memory !== undefined) mb[name] = memory;
    }
    for (const [name, pid] of await servers()) {
      const memory = await memoryOf(pid);
      if (memory !== undefined) mb[name] = (mb[name] ?? 0) + memory;
    }
    this.samples.push({ at, mb });
  }
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
