import type { Disks } from '../backbone/files/disk.ts';
import { clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { explain } from '../core/errors.ts';
import type { Lifecycle } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { startWithRoom } from './room-to-start.ts';

const DRAIN_MS = 9_000;
/** When npm runs Loam, one Ctrl-C arrives twice: from the terminal, and passed on by npm. */
const SAME_SIGNAL_MS = 500;

export interface RunContext {
  readonly name: string;
  readonly config: Config;
  readonly log: Logger;
  /** The disks on which the process keeps files. */
  readonly disks: Disks;
}

/** Starts a role's parts in `lifecycle` and resolves when all of them do their work. */
export type StartRole = (lifecycle: Lifecycle, running: RunContext) => Promise<void>;

/**
 * Runs a role until SIGTERM or SIGINT, then drains it and exits 0; a second signal exits at once. While a disk has no
 * room to start, it waits. A signal takes effect in that time, but otherwise after the start. Rejects when the start
 * fails; all started parts are stopped by then.
 */
export async function runUntilSignal(running: RunContext, start: StartRole): Promise<void> {
  const { log, name } = running;
  const asked = firstSignal(log);
  exitOnUnexpectedError(log);
  const lifecycle = await startWithRoom(running, start, asked);
  const signal = await asked;
  log.info({ signal }, `${name} is stopping: finishing what was taken`);
  await lifecycle?.stop(DRAIN_MS);
  log.info(`${name} has stopped`);
  process.exit(0);
}

function firstSignal(log: Logger): Promise<string> {
  return new Promise((resolve) => {
    let askedAt: number | undefined;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        const now = clock.passed();
        if (askedAt === undefined) askedAt = now;
        else if (now - askedAt > SAME_SIGNAL_MS) {
          log.warn({ signal }, 'second signal: exiting at once');
          process.exit(1);
        }
        resolve(signal);
      });
    }
  });
}

/** Ends the process after a bug, for its state is unknown. What is unacknowledged comes again after a restart. */
function exitOnUnexpectedError(log: Logger): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.fatal({ stack: error instanceof Error ? error.stack : undefined }, `${event}: ${explain(error)}`);
      process.exit(1);
    });
  }
}
