import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { LoamProcess } from '../e2e/loam-process.ts';
import { atEnd } from '../services/cleanup.ts';
import type { Host } from '../services/hosts.ts';
import { frozen } from '../services/process.ts';
import { until } from '../services/wait.ts';

const readiness = z.object({
  checks: z.array(
    z.object({ name: z.string(), ok: z.boolean(), optional: z.boolean().optional(), why: z.string().optional() }),
  ),
});

const HERE = { address: '127.0.0.1', through: [] };
const RESTART_MS = 300;
const READY = /is ready|Loam is running/;

/** A `loam` role that is started again whenever it ends, as a supervisor on a real machine does. */
export class Role {
  readonly name: string;
  private readonly args: readonly string[];
  private readonly env: Readonly<Record<string, string>>;
  private readonly host: Pick<Host, 'address' | 'through'>;
  private current: LoamProcess;
  private stopped = false;
  private readonly logs: string[] = [];
  private readonly forget: () => void;
  private isDown = false;
  restarts = 0;
  /** How it ended when nobody had killed it: exit codes, or names of signals. */
  readonly endings: (number | string)[] = [];

  constructor(
    name: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    host: Pick<Host, 'address' | 'through'> = HERE,
  ) {
    this.name = name;
    this.args = args;
    this.env = env;
    this.host = host;
    this.current = this.launch();
    const end = () => this.end();
    this.forget = atEnd({ end, exit: () => this.current.child.kill('SIGKILL') });
  }

  get pid(): number | undefined {
    return this.stopped ? undefined : this.current.child.pid;
  }

  /** Everything that the role has said, over all its lives. */
  get log(): string {
    return [...this.logs, this.current.stdout + this.current.stderr].join('');
  }

  /** Resolves with the first match in what the present process, or one after it, says; rejects with what was said instead. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    try {
      const heard = () => pattern.exec(this.current.stdout + this.current.stderr);
      return await until(`${this.name} says ${pattern}`, heard, { timeoutMs: 120_000 });
    } catch (error) {
      const seconds = await cpuOf(this.pid);
      throw new Error(`${String(error)}: it has used ${seconds} s of CPU\n${this.log.slice(-2_000)}`, { cause: error });
    }
  }

  /** SIGKILL. Resolves when the process that follows does its work. That is started when `meanwhile` has resolved. */
  async kill(meanwhile?: () => Promise<void>): Promise<void> {
    await this.killOnly(meanwhile);
    await this.says(READY);
  }

  /** As `kill`, by SIGTERM. */
  async restart(meanwhile?: () => Promise<void>): Promise<void> {
    await this.killOnly(meanwhile, 'SIGTERM');
    await this.says(READY);
  }

  /** As `kill`, but resolves when the next process has been started: it may not be able to do its work. */
  async killOnly(meanwhile: () => Promise<void> = async () => {}, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { current } = this;
    this.isDown = true;
    current.child.kill(signal);
    await current.ended;
    await meanwhile();
    this.isDown = false;
    this.current = this.launch();
  }

  /** SIGSTOP. Resolves when it does nothing any more. */
  async freeze(): Promise<void> {
    if (this.pid !== undefined) await frozen(this.pid);
  }

  /** SIGCONT. */
  thaw(): void {
    this.current.child.kill('SIGCONT');
  }

  /** Resolves when it does its work. */
  async ready(): Promise<void> {
    await this.says(READY);
  }

  /** SIGTERM, and no start after it. Resolves with the exit code. */
  async stop(): Promise<number | string> {
    this.stopped = true;
    return await this.current.stop('SIGTERM');
  }

  /** Ends it at once for good. */
  async end(): Promise<void> {
    this.stopped = true;
    this.forget();
    await this.current.stop('SIGKILL');
  }

  /** The port that `/metrics` is on. */
  async opsPort(): Promise<number> {
    const [, port] = await this.says(/"ops":"[^"]+:(\d+)"|ops: "[^"]+:(\d+)"/);
    return Number(port);
  }

  /** A figure from `/metrics`; undefined while nobody answers or it is not there. */
  async metric(name: string): Promise<number | undefined> {
    const line = (await this.metricLines()).find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  /** How many dead letters with a reason the present process has written. */
  async setAside(reason: string): Promise<number> {
    const lines = (await this.metricLines()).filter(
      (line) => line.startsWith('loam_set_aside_total{') && line.includes(`reason="${reason}"`),
    );
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  /** None while nobody answers. */
  private async metricLines(): Promise<readonly string[]> {
    try {
      return (await (await fetch(`http://${this.host.address}:${await this.opsPort()}/metrics`)).text()).split('\n');
    } catch {
      return [];
    }
  }

  /** What `/readyz` names as not ready; undefined while nobody answers. */
  async notReady(): Promise<readonly string[] | undefined> {
    try {
      const answer = await fetch(`http://${this.host.address}:${await this.opsPort()}/readyz`);
      const { checks } = readiness.parse(await answer.json());
      if (answer.status === 200) return [];
      return checks.flatMap(({ name, ok, optional, why }) => (ok || optional ? [] : [`${name}: ${why}`]));
    } catch {
      return undefined;
    }
  }

  private launch(): LoamProcess {
    const next = new LoamProcess(this.args, this.env, 'pipe', undefined, this.host.through);
    void next.ended.then((ending) => {
      if (this.stopped) return;
      this.logs.push(next.stdout + next.stderr);
      this.restarts += 1;
      if (this.isDown) return;
      this.endings.push(ending);
      setTimeout(() => {
        if (!this.stopped && !this.isDown && this.current === next) this.current = this.launch();
      }, RESTART_MS);
    });
    return next;
  }
}

/** Resident memory of a process on Linux, MB; undefined when there is none. */
export async function memoryOf(pid: number | undefined): Promise<number | undefined> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    // A process that has ended and was not waited for yet has no memory.
    const kb = /VmRSS:\s+(\d+) kB/.exec(status)?.[1];
    return kb === undefined ? undefined : Number(kb) / 1024;
  } catch {
    return undefined;
  }
}

/** Seconds of CPU that a process on Linux has used; undefined when there is none. */
export async function cpuOf(pid: number | undefined): Promise<number | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return undefined;
  }
}
