import { dirname } from 'node:path';
import { NoRoom } from '../backbone/files/disk.ts';
import { isEmbedded } from '../backbone/open.ts';
import { clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { Lifecycle } from '../core/lifecycle.ts';
import { Metrics } from '../core/metrics.ts';
import { OpsServer } from '../core/ops-server.ts';
import { isWantOfRoom } from '../core/system-error.ts';
import { backoff, pause } from '../core/timing.ts';
import type { RunContext, StartRole } from './run.ts';

const STOP_MS = 9_000;
/** How often the free room is looked at. */
const LOOK_MS = 1_000;
/** Where it is enough and the start fails for want of room all the same, as at a quota: the pauses between two starts. */
const FIRST_PAUSE_MS = 2_000;
const MOST_PAUSE_MS = 30_000;

/**
 * Starts a process when its disks have room for it, however long that takes: ended with an error it would be started
 * again and again by whatever looks after it, and would say nothing to those who ask how it is. Meanwhile it says in the
 * log once what is full and how much is needed, and `/healthz` and `/readyz` are answered where their port is free.
 *
 * Resolves with what was started; with undefined when `asked` resolved before, which asks to stop. Rejects as `start`
 * does for anything but want of room; all started parts are stopped by then.
 */
export async function startWithRoom(
  running: RunContext,
  start: StartRole,
  asked: Promise<unknown>,
): Promise<Lifecycle | undefined> {
  const stopped = new AbortController();
  void asked.then(() => stopped.abort());
  const waiting = new Waiting(running);
  for (let failures = 0; ; failures++) {
    const lifecycle = new Lifecycle(running.log);
    try {
      await start(lifecycle, running);
      waiting.isOver();
      return lifecycle;
    } catch (error) {
      // If a part failed to start, the lifecycle has stopped already. This is for a failure between the parts.
      await lifecycle.stop(STOP_MS);
      if (!isForWantOfRoom(error)) throw error;
      await waiting.because((await shortage(running)) ?? explain(error));
    }
    const isShort = await untilThereIsRoom(running, waiting, stopped.signal);
    if (!isShort) await pause(FIRST_PAUSE_MS + backoff(failures, FIRST_PAUSE_MS, MOST_PAUSE_MS), stopped.signal);
    await waiting.giveWay();
    if (stopped.signal.aborted) return undefined;
  }
}

/** Rejects with NoRoom when the parts that keep files on this machine could not be opened now, before any is touched. */
export async function assertRoomToStart(running: RunContext): Promise<void> {
  const why = await shortage(running);
  if (why !== undefined) throw new NoRoom(why);
}

/** Resolves when there is enough room, or the signal is aborted; with whether there was too little. */
async function untilThereIsRoom(running: RunContext, waiting: Waiting, stopped: AbortSignal): Promise<boolean> {
  let isShort = false;
  for (let why = await shortage(running); why !== undefined; why = await shortage(running)) {
    isShort = true;
    await waiting.because(why);
    await pause(LOOK_MS, stopped);
    if (stopped.aborted) break;
  }
  return isShort;
}

/** What a person and a supervisor are told while a start waits. */
class Waiting {
  private readonly running: RunContext;
  private since: number | undefined;
  private why = '';
  private ops: OpsServer | undefined;

  constructor(running: RunContext) {
    this.running = running;
  }

  async because(why: string): Promise<void> {
    const { log, name } = this.running;
    this.why = `${name} waits with its start: ${why}`;
    if (this.since === undefined) {
      this.since = clock.passed();
      log.warn({ event: 'start_waits' }, `${this.why}. It goes on by itself when there is room`);
    }
    this.ops ??= await this.answer();
  }

  /** Leaves the port to the next start. */
  async giveWay(): Promise<void> {
    await this.ops?.stop();
    this.ops = undefined;
  }

  /** The start has come. */
  isOver(): void {
    if (this.since === undefined) return;
    const seconds = Math.round((clock.passed() - this.since) / 1_000);
    this.running.log.info({ event: 'start_went_on', seconds }, 'there was room to start again');
  }

  private async answer(): Promise<OpsServer | undefined> {
    const { config, log } = this.running;
    const health = () => [{ name: 'disk', ok: false, why: this.why }];
    const ops = new OpsServer({ host: config.opsHost, port: config.opsPort, health, metrics: new Metrics() });
    try {
      await ops.start();
      log.info({ ops: `${config.opsHost}:${ops.port}` }, 'answering /healthz and /readyz meanwhile');
      return ops;
    } catch (error) {
      if (!(error instanceof ConfigInvalid)) throw error;
      return undefined;
    }
  }
}

/** Why the embedded parts could not be opened now, for a person; undefined when they can be. */
async function shortage({ name, config, disks }: RunContext): Promise<string | undefined> {
  const folders = name === 'up' ? embeddedFolders(config) : [];
  if (name === 'broker' && config.spool !== undefined) folders.push(pathOf(config.spool));
  const short = await Promise.all(folders.map((folder) => disks.shortage(folder, 'done')));
  return short.find((why) => why !== undefined);
}

/** The folders on this machine in which queue, log and store keep files. They may not be there yet. */
export function embeddedFolders({ queue, log, store }: Config): string[] {
  const folders = [queue, log].filter(isEmbedded).map(pathOf);
  return isEmbedded(store) ? [...folders, dirname(pathOf(store))] : folders;
}

export function pathOf(url: string): string {
  return url.slice(url.indexOf(':') + 1);
}

/** DuckDB tells the system's errors in texts of its own. */
const IN_A_TEXT = /no space left on device|disk quota exceeded/i;

function isForWantOfRoom(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return (
    error instanceof NoRoom || isWantOfRoom(error) || IN_A_TEXT.test(error.message) || isForWantOfRoom(error.cause)
  );
}
