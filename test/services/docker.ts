import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { output } from './process.ts';
import { until } from './wait.ts';

/** Whether a Docker daemon answers. */
export async function dockerAnswers(): Promise<boolean> {
  return await output('docker', ['info']).then(
    () => true,
    () => false,
  );
}

/** A server in a container whose data outlives `stop` and `kill`, the counterpart of `ServerProcess`. */
export class Container {
  readonly #name = `loam-test-${randomBytes(4).toString('hex')}`;
  readonly #create: string[];
  #created = false;

  /** `create` is what follows `docker run`: options, then the image. */
  constructor(...create: string[]) {
    this.#create = create;
  }

  async start(ready: () => Promise<unknown>, timeoutMs: number): Promise<void> {
    if (this.#created) {
      await output('docker', ['start', this.#name]);
    } else {
      this.#created = true;
      await output('docker', ['run', '--detach', '--name', this.#name, ...this.#create]);
    }
    await until(`container ${this.#name} to be up`, () => ready().then(() => true), { timeoutMs, everyMs: 100 });
  }

  async stop(timeoutMs: number): Promise<void> {
    await output('docker', ['stop', '--time', String(Math.ceil(timeoutMs / 1_000)), this.#name]);
  }

  async kill(): Promise<void> {
    await output('docker', ['kill', this.#name]);
  }

  async pause(): Promise<void> {
    await output('docker', ['pause', this.#name]);
  }

  async unpause(): Promise<void> {
    await output('docker', ['unpause', this.#name]);
  }

  async exec(...command: string[]): Promise<string> {
    return await output('docker', ['exec', this.#name, ...command]);
  }

  async end(): Promise<void> {
    await output('docker', ['rm', '--force', '--volumes', this.#name]);
  }

  endNow(): void {
    execFileSync('docker', ['rm', '--force', '--volumes', this.#name], { stdio: 'ignore' });
  }
}
