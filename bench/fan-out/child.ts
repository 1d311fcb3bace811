import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { withDeadline } from '../../core/timing.ts';
import { atEnd } from '../../test/services/cleanup.ts';

/** What a process has used so far: CPU in seconds, memory in bytes. */
export const usage = z.object({ cpuSeconds: z.number(), rss: z.number() });
export type Usage = z.infer<typeof usage>;

/** The usage of this process. */
export function usageNow(): Usage {
  const { user, system } = process.cpuUsage();
  return { cpuSeconds: (user + system) / 1e6, rss: process.memoryUsage.rss() };
}

const answer = z.object({ call: z.number(), result: z.unknown().optional(), error: z.string().optional() });
const call = z.object({ call: z.number(), name: z.string(), argument: z.unknown().optional() });

/** A part of a benchmark in a process of its own, which is called by messages. */
export class Child {
  private readonly process: ChildProcess;
  private readonly waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  private calls = 0;

  /** `file`: a file of this folder. */
  constructor(file: string) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    this.process = fork(path, { execArgv: ['--import', 'tsx'], serialization: 'advanced' });
    const forget = atEnd({ end: () => this.close(), exit: () => this.process.kill('SIGKILL') });
    this.process.on('message', (message) => {
      const { call: id, result, error } = answer.parse(message);
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.process.once('exit', (code, signal) => {
      forget();
      for (const { reject } of this.waiting.values()) reject(new Error(`${file} ended with ${code ?? signal}`));
      this.waiting.clear();
    });
  }

  /** Resolves with what `schema` takes of the answer; rejects when there is none within two minutes. */
  async ask<T>(name: string, argument: unknown, schema: z.ZodType<T>): Promise<T> {
    const id = this.calls++;
    const answered = new Promise<unknown>((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    this.process.send({ call: id, name, argument });
    return schema.parse(await withDeadline(answered, 120_000, `no answer to ${name}`));
  }

  /** Sends what needs no answer. */
  tell(name: string, argument: unknown): void {
    if (this.process.connected) this.process.send({ call: -1, name, argument });
  }

  async close(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }
}

/** Answers the calls of the process that started this one. */
export function answerCalls(calls: Readonly<Record<string, (argument: unknown) => unknown>>): void {
  // Whoever started it is gone, however that came about.
  process.on('disconnect', () => process.exit());
  process.on('message', (message) => {
    const { call: id, name, argument } = call.parse(message);
    const run = async () => calls[name]?.(argument);
    run().then(
      (result) => id >= 0 && process.send?.({ call: id, result }),
      (error: unknown) => process.send?.({ call: id, error: String(error) }),
    );
  });
}
