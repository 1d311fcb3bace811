import { randomUUID } from 'node:crypto';
import { type Clock, clock as machineClock, steadyFrom } from '../../core/clock.ts';
import { ClockWatch } from '../../core/clock-watch.ts';
import { EncodingInvalid, explain, LogUnavailable, TooManyCommands } from '../../core/errors.ts';
import { type Health, healthOf } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { pause, withDeadline } from '../../core/timing.ts';
import {
  type Claim,
  COMMAND_MS,
  type Command,
  type CommandEntry,
  decodeCommandEntry,
  encodeCommandEntry,
} from '../../telemetry/command.ts';
import {
  COMMAND_INDEX_LIMITS,
  CommandIndex,
  type CommandIndexLimits,
  type CommandRecord,
} from '../../telemetry/command-index.ts';
import type { Follower, Log, LogEntry } from '../ports/log.ts';

const RETRY_MS = 1_000;
const SWEEP_MS = 1_000;
/** How long `send` waits to see its own entry in the log. */
const SEEN_MS = 10_000;

/** What somebody wants a sensor to do. `payload` is JSON text, `lifeMs` how long it is kept at most, up to `COMMAND_MS`. */
export interface CommandRequest {
  readonly farm: string;
  readonly sensor: string;
  readonly payload: Uint8Array;
  readonly by: string;
  readonly lifeMs?: number;
}

export interface CommandListener {
  /** Called for every entry from now on. */
  entry(entry: CommandEntry): void;
  /** Called when a command was not acknowledged in time. */
  expired(command: Command): void;
  /** Called when the log was read anew or the clock was set: the state of any command may have changed. */
  reset(): void;
}

export interface CommandCounts {
  queued: number;
  refused: number;
  delivered: number;
  expired: number;
}

/**
 * Commands for sensors, kept in a log: gateways append them, brokers deliver them, and all follow the log to know the
 * state of each.
 *
 * When following ends (the log was started over, or our offset was trimmed) the log is read anew; until that is done
 * the old state is used.
 */
export class Commands {
  private readonly log: Log;
  private readonly logger: Logger;
  private readonly limits: CommandIndexLimits;
  private readonly listeners = new Set<CommandListener>();
  private readonly verdicts = new Map<string, (taken: boolean) => void>();
  private readonly stopping = new AbortController();
  private readonly counts: CommandCounts = { queued: 0, refused: 0, delivered: 0, expired: 0 };
  private index: CommandIndex;
  private follower: Follower | undefined;
  private running: Promise<void> = Promise.resolve();
  private sweeper: NodeJS.Timeout | undefined;
  private down: string | undefined = 'not read yet';
  private unreadable = 0;
  private readonly clock: Clock;
  private readonly clockWatch: ClockWatch;
  /** The wall clock when it was believed last, counted on by the time that passes. */
  private believed: () => number;

  private constructor(log: Log, logger: Logger, limits: CommandIndexLimits, clock: Clock) {
    this.log = log;
    this.logger = logger;
    this.limits = limits;
    this.clock = clock;
    this.clockWatch = new ClockWatch(clock);
    this.believed = steadyFrom(clock);
    this.index = new CommandIndex(limits);
  }

  /** Resolves when the log was read to its end. Rejects with LogUnavailable. Closing leaves `log` open. */
  static async open(
    log: Log,
    logger: Logger,
    limits: CommandIndexLimits = COMMAND_INDEX_LIMITS,
    clock = machineClock,
  ): Promise<Commands> {
    const commands = new Commands(log, logger, limits, clock);
    const follower = await commands.follow();
    commands.running = commands.keepFollowing(follower);
    commands.sweeper = setInterval(() => commands.look(), SWEEP_MS);
    return commands;
  }

  /**
   * As `open`, for a log that may be unreachable: it is read as soon as it can be. Until then no command counts as
   * waiting.
   */
  static openLate(log: Log, logger: Logger, limits: CommandIndexLimits = COMMAND_INDEX_LIMITS): Commands {
    const commands = new Commands(log, logger, limits, machineClock);
    commands.running = commands.keepFollowing(undefined);
    commands.sweeper = setInterval(() => commands.look(), SWEEP_MS);
    return commands;
  }

  /** By what the life of commands is counted, Unix ms: the clock; after it was set, for an hour the clock as it was, so that nothing expires by that. */
  now(): number {
    return Math.round(this.believed());
  }

  get counters(): Readonly<CommandCounts> {
    return this.counts;
  }

  /** How many commands wait for their sensors. */
  get waiting(): number {
    return this.index.waiting;
  }

  health(): Health {
    if (this.down !== undefined) return { name: 'commands log', ok: false, why: this.down };
    return healthOf('commands log', this.log.state);
  }

  /** Resolves when the command is in the log and counts as queued. Rejects with TooManyCommands (it is not kept) or LogUnavailable (it may be). */
  async send({ farm, sensor, payload, by, lifeMs = COMMAND_MS }: CommandRequest): Promise<Command> {
    const at = this.now();
    const command = { id: randomUUID(), farm, sensor, payload, at, expires: at + Math.min(lifeMs, COMMAND_MS), by };
    // Most refusals are known before anything is written. Between simultaneous commands the log's order decides.
    if (!this.index.hasRoom(command)) throw this.refusal(sensor);
    const verdict = new Promise<boolean>((resolve) => this.verdicts.set(command.id, resolve));
    try {
      await this.log.append(encodeCommandEntry({ kind: 'queued', command }));
      if (await withDeadline(verdict, SEEN_MS, 'the command was written and not seen again')) return command;
    } catch (cause) {
      throw new LogUnavailable('whether the command is kept is unknown', { cause });
    } finally {
      this.verdicts.delete(command.id);
    }
    throw this.refusal(sensor);
  }

  /** Appends that the sensor has acknowledged the command, and resolves when that is durable. Rejects with LogUnavailable. */
  async delivered({ id, farm, sensor }: Command): Promise<void> {
    await this.log.append(encodeCommandEntry({ kind: 'delivered', id, farm, sensor, at: this.now() }));
  }

  /** Says that a session wants a sensor's commands. Resolves and rejects as `delivered` does. */
  async claim(claim: Claim): Promise<void> {
    await this.log.append(encodeCommandEntry({ kind: 'claim', claim }));
  }

  /** The commands that wait for a sensor, oldest first. */
  waitingFor(farm: string, sensor: string): Command[] {
    return this.index.waitingFor(farm, sensor, this.now());
  }

  /** How many commands wait for sensors of a farm. */
  waitingIn(farm: string): number {
    return this.index.waitingIn(farm, this.now());
  }

  /** The sensors of a farm for which commands wait. */
  sensorsWaiting(farm: string): string[] {
    return this.index.sensorsWaiting(farm);
  }

  /** What is remembered of a sensor's commands, newest first. */
  recordsOf(farm: string, sensor: string): CommandRecord[] {
    return this.index.recordsOf(farm, sensor);
  }

  /** Calls `listener` from now on; returns the function that ends it. */
  watch(listener: CommandListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.stopping.abort();
    clearInterval(this.sweeper);
    await this.follower?.stop();
    await this.running;
    this.listeners.clear();
  }

  private refusal(sensor: string): TooManyCommands {
    this.counts.refused += 1;
    return new TooManyCommands(
      `as many commands wait for ${sensor} as may: ${this.limits.waitingPerSensor}, or too many in all`,
    );
  }

  /**
   * Looks at the clock, and whether a command has expired by it; called every second. For an hour after the clock was set it may be wrong: expired commands are not delivered then, but not given up
   * either.
   */
  look(): void {
    const state = this.clockWatch.look();
    if (state === 'set') {
      this.logger.warn({ event: 'clock_set' }, 'the clock was set: for an hour no command is given up as expired');
      // A command that seemed expired when its sensor came may be due again.
      for (const listener of this.listeners) listener.reset();
    }
    if (state !== 'settled') return;
    this.believed = steadyFrom(this.clock);
    for (const command of this.index.expire(this.now())) {
      this.counts.expired += 1;
      for (const listener of this.listeners) listener.expired(command);
    }
  }

  private async keepFollowing(first: Follower | undefined): Promise<void> {
    let follower = first;
    while (!this.stopping.signal.aborted) {
      try {
        follower ??= await this.follow();
        await follower.ended;
      } catch (error) {
        const why = explain(error);
        // Logged once for each cause, not for each attempt.
        if (why !== this.down) this.logger.warn({ why }, 'the commands log cannot be followed, reading it anew');
        this.down = why;
        await pause(RETRY_MS, this.stopping.signal);
      }
      follower = undefined;
    }
  }

  /** Begins to follow from the oldest entry, and resolves when all that was there at the start was read. */
  private async follow(): Promise<Follower> {
    const index = new CommandIndex(this.limits);
    const mark = randomUUID();
    let caughtUp = () => {};
    const complete = new Promise<void>((resolve) => {
      caughtUp = resolve;
    });
    const follower = await this.log.follow('first', (entries) => {
      for (const entry of this.readable(entries)) {
        if (entry.kind === 'mark' && entry.id === mark) {
          this.index = index;
          caughtUp();
        }
        this.take(index, entry);
      }
    });
    this.follower = follower;
    try {
      await this.log.append(encodeCommandEntry({ kind: 'mark', id: mark }));
      await Promise.race([complete, follower.ended]);
    } catch (error) {
      await follower.stop();
      throw error;
    }
    this.down = undefined;
    if (this.stopping.signal.aborted) await follower.stop();
    for (const listener of this.listeners) listener.reset();
    return follower;
  }

  private take(index: CommandIndex, entry: CommandEntry): void {
    const folded = index.fold(entry);
    if (index !== this.index) return;
    if (folded === 'taken') this.counts.queued += 1;
    if (folded === 'delivered') this.counts.delivered += 1;
    if (entry.kind === 'queued') this.verdicts.get(entry.command.id)?.(folded === 'taken');
    for (const listener of this.listeners) listener.entry(entry);
  }

  private *readable(entries: readonly LogEntry[]): Generator<CommandEntry> {
    for (const { body } of entries) {
      try {
        yield decodeCommandEntry(body);
      } catch (error) {
        if (!(error instanceof EncodingInvalid)) throw error;
        // No retry can make this entry readable. It is skipped, since stopping here would stop every command for good.
        this.unreadable += 1;
        if (this.unreadable === 1) this.logger.error(`an entry of the commands log cannot be read: ${error.message}`);
      }
    }
  }
}
