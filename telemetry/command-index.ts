import type { Command, CommandEntry } from './command.ts';

export type CommandState = 'queued' | 'delivered' | 'expired';

/** A command and what became of it. `deliveredAt` is Unix ms. */
export interface CommandRecord {
  readonly command: Command;
  readonly deliveredAt: number | undefined;
}

export interface CommandIndexLimits {
  /** Most commands that wait for one sensor. One more is refused. As many finished ones of a sensor are remembered. */
  readonly waitingPerSensor: number;
  /** Most bytes of payloads that wait in all. A command that would exceed it is refused. */
  readonly waitingBytes: number;
  /** Most commands remembered in all, with those that wait. Those that finished longest ago are forgotten. */
  readonly remembered: number;
}

export const COMMAND_INDEX_LIMITS: CommandIndexLimits = {
  waitingPerSensor: 50,
  waitingBytes: 64 * 1024 ** 2,
  remembered: 20_000,
};

/** What an entry of the log changed. */
export type CommandEffect = 'taken' | 'refused' | 'delivered' | 'nothing';

interface Page {
  readonly waiting: Map<string, CommandRecord>;
  readonly done: Map<string, CommandRecord>;
}

/**
 * What all entries of the commands log together say: which commands wait for which sensor, and what became of the
 * others. Every reader of the log gets the same result, because limits are applied here, in the order of the log, and
 * by the times in its entries.
 */
export class CommandIndex {
  private readonly limits: CommandIndexLimits;
  private readonly pages = new Map<string, Page>();
  /** Finished commands that are remembered, each with its page, in the order in which they finished. */
  private readonly done = new Map<string, Page>();
  private waitingCount = 0;
  private bytes = 0;

  constructor(limits: CommandIndexLimits = COMMAND_INDEX_LIMITS) {
    this.limits = limits;
  }

  /** How many commands wait. */
  get waiting(): number {
    return this.waitingCount;
  }

  fold(entry: CommandEntry): CommandEffect {
    if (entry.kind === 'queued') return this.take(entry.command);
    if (entry.kind !== 'delivered') return 'nothing';
    const page = this.pages.get(keyOf(entry.farm, entry.sensor));
    const record = page?.waiting.get(entry.id) ?? page?.done.get(entry.id);
    if (!page || !record || record.deliveredAt !== undefined) return 'nothing';
    const delivered = { ...record, deliveredAt: entry.at };
    // It may have expired while its acknowledgement was on the way.
    if (page.done.has(entry.id)) page.done.set(entry.id, delivered);
    else this.finish(page, delivered);
    return 'delivered';
  }

  /** Whether a command would be taken now. */
  hasRoom({ farm, sensor, payload, at }: Command): boolean {
    const { waitingPerSensor, waitingBytes, remembered } = this.limits;
    const waiting = this.waitingFor(farm, sensor, at).length;
    return waiting < waitingPerSensor && this.bytes + payload.length <= waitingBytes && this.waitingCount < remembered;
  }

  /** The commands that wait for a sensor at the time `now`, oldest first. */
  waitingFor(farm: string, sensor: string, now: number): Command[] {
    const page = this.pages.get(keyOf(farm, sensor));
    return [...(page?.waiting.values() ?? [])].map(({ command }) => command).filter(({ expires }) => expires > now);
  }

  /** How many commands wait for sensors of a farm. */
  waitingIn(farm: string, now: number): number {
    return this.sensorsWaiting(farm).reduce((sum, sensor) => sum + this.waitingFor(farm, sensor, now).length, 0);
  }

  /** Every sensor of a farm for which commands wait. */
  sensorsWaiting(farm: string): string[] {
    const prefix = keyOf(farm, '');
    return [...this.pages]
      .filter(([key, page]) => key.startsWith(prefix) && page.waiting.size > 0)
      .map(([key]) => key.slice(prefix.length));
  }

  /** What is remembered of a sensor's commands, newest first. */
  recordsOf(farm: string, sensor: string): CommandRecord[] {
    const page = this.pages.get(keyOf(farm, sensor));
    const records = [...(page?.waiting.values() ?? []), ...(page?.done.values() ?? [])];
    return records.sort((a, b) => b.command.at - a.command.at);
  }

  /** Removes the commands that expired by `now` from those that wait, and returns them. */
  expire(now: number): Command[] {
    return [...this.pages.values()].flatMap((page) => this.expireIn(page, now));
  }

  private take(command: Command): CommandEffect {
    const key = keyOf(command.farm, command.sensor);
    const page: Page = this.pages.get(key) ?? { waiting: new Map(), done: new Map() };
    if (page.waiting.has(command.id) || page.done.has(command.id)) return 'nothing';
    this.expireIn(page, command.at);
    if (!this.hasRoom(command)) return 'refused';
    this.pages.set(key, page);
    page.waiting.set(command.id, { command, deliveredAt: undefined });
    this.waitingCount += 1;
    this.bytes += command.payload.length;
    this.forget();
    return 'taken';
  }

  private expireIn(page: Page, now: number): Command[] {
    const expired = [...page.waiting.values()].filter(({ command }) => command.expires <= now);
    for (const record of expired) this.finish(page, record);
    return expired.map(({ command }) => command);
  }

  private finish(page: Page, record: CommandRecord): void {
    const { id, payload } = record.command;
    page.waiting.delete(id);
    page.done.set(id, record);
    this.done.set(id, page);
    this.waitingCount -= 1;
    this.bytes -= payload.length;
    const oldest = page.done.size > this.limits.waitingPerSensor ? page.done.keys().next().value : undefined;
    if (oldest !== undefined) this.forgetOne(oldest, page);
    this.forget();
  }

  private forget(): void {
    for (const [id, page] of this.done) {
      if (this.done.size + this.waitingCount <= this.limits.remembered) return;
      this.forgetOne(id, page);
    }
  }

  private forgetOne(id: string, page: Page): void {
    const command = page.done.get(id)?.command;
    page.done.delete(id);
    this.done.delete(id);
    if (command && page.done.size === 0 && page.waiting.size === 0)
      this.pages.delete(keyOf(command.farm, command.sensor));
  }
}

/** What became of a command by `now`. */
export function stateOf({ command, deliveredAt }: CommandRecord, now: number): CommandState {
  if (deliveredAt !== undefined) return 'delivered';
  return command.expires > now ? 'queued' : 'expired';
}

/** No id has a "/", so keys are unique. */
function keyOf(farm: string, sensor: string): string {
  return `${farm}/${sensor}`;
}
