import { randomUUID } from 'node:crypto';
import type { Commands } from '../../backbone/commands/commands.ts';
import { explain } from '../../core/errors.ts';
import type { Part } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { backoff, pause, withDeadline } from '../../core/timing.ts';
import { type Command, type CommandEntry, commandEnvelope } from '../../telemetry/command.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { commandsTopic } from '../../telemetry/topic.ts';
import type { Sent } from '../sessions/session-state.ts';
import type { Subscriber, Subscribers } from '../sessions/subscribers.ts';
import { Claims } from './command-claims.ts';

const SWEEP_MS = 1_000;
/** Most waiting sensors that are tried again when one command was settled: enough to keep a session busy. */
const MOST_TRIED = 16;

export interface DownlinkOptions {
  readonly commands: Commands;
  readonly subscribers: Subscribers;
  readonly registry: RegistryView;
  readonly log: Logger;
  /** Whether no other broker follows the same log: then no claims are needed. */
  readonly alone: boolean;
}

/** A command that was handed to a session. */
interface Way {
  readonly to: Subscriber;
  /** The command was sent at QoS 0: it is sent again only on another connection. */
  unconfirmed: boolean;
}

/**
 * Sends commands to the sensors that are connected to this broker.
 *
 * The commands of a sensor go, in order, to its own newest session, or to that of a bridge that publishes for it.
 * `deliver` sends them. It is called whenever more may be possible: a command was queued, a session subscribed, a
 * PUBACK came, or a second has passed for a session without room. Acknowledgements are written to the log; until an
 * acknowledgement is in the log, its command is not sent again.
 */
export class Downlink implements Part {
  readonly name = 'downlink';
  private readonly options: DownlinkOptions;
  private readonly claims: Claims;
  private readonly ways = new Map<string, Way>();
  /** Commands whose PUBACK came and is not in the log yet. */
  private readonly acknowledged = new Set<string>();
  private readonly records = new Set<Promise<void>>();
  /** Sensors whose commands wait for room in a session, or for another broker's claim to end. */
  private readonly tryAgain = new Map<string, readonly [farm: string, sensor: string]>();
  private readonly stopping = new AbortController();
  private endings: (() => void)[] = [];
  private trying = false;

  constructor(options: DownlinkOptions) {
    this.options = options;
    this.claims = new Claims(options.commands, randomUUID(), options.alone);
  }

  /** How many commands were acknowledged by their sensors, but are not in the log as delivered yet. */
  get unrecorded(): number {
    return this.records.size;
  }

  async start(): Promise<void> {
    const { commands, subscribers } = this.options;
    const sweeper = setInterval(() => this.tryEvery(), SWEEP_MS);
    this.endings = [
      commands.watch({
        entry: (entry) => this.heard(entry),
        expired: ({ id }) => this.withdraw(id),
        reset: () => this.deliverAll(),
      }),
      subscribers.watch((farm, sensor) => {
        for (const each of sensor === '+' ? commands.sensorsWaiting(farm) : [sensor]) this.deliver(farm, each);
      }),
      () => clearInterval(sweeper),
    ];
  }

  /** Sends nothing more. Resolves when all acknowledgements are in the log; rejects when they are not by `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    for (const end of this.endings.splice(0)) end();
    try {
      await withDeadline(Promise.all(this.records), deadlineMs, 'acknowledged commands wait for the log');
    } finally {
      // Commands without their acknowledgement in the log are sent again by the next broker. Sensors know them by their ids.
      this.stopping.abort();
    }
  }

  private heard(entry: CommandEntry): void {
    if (entry.kind === 'queued') this.deliver(entry.command.farm, entry.command.sensor);
    if (entry.kind === 'claim' && this.claims.heard(entry.claim)) this.deliver(entry.claim.farm, entry.claim.sensor);
    if (entry.kind !== 'delivered') return;
    this.acknowledged.delete(entry.id);
    this.withdraw(entry.id);
  }

  /** Hands a sensor's waiting commands to the session that may have them, as many as it has room for. */
  private deliver(farm: string, sensor: string): void {
    const key = `${farm}/${sensor}`;
    this.tryAgain.delete(key);
    const waiting = this.options.commands.waitingFor(farm, sensor);
    const to = waiting.length > 0 ? this.receiver(farm, sensor) : undefined;
    if (!to) return;
    const own = to.identity.sensor === sensor;
    const mine = this.claims.holdsClaim(farm, sensor, to, own) && waiting.every((command) => this.hand(command, to));
    if (!mine) this.tryAgain.set(key, [farm, sensor]);
  }

  private receiver(farm: string, sensor: string): Subscriber | undefined {
    const known = this.options.registry.current().sensor(farm, sensor);
    const hasSecret = known?.secret !== undefined || known?.token !== undefined;
    const hearing = this.options.subscribers.hearing(farm, sensor);
    const own = hearing.find(({ identity }) => identity.sensor === sensor);
    // A sensor with a secret may connect by itself. Only a bridge that published for it or subscribed to it by name gets
    // its commands.
    return own ?? hearing.find((bridge) => !hasSecret || bridge.brings(sensor));
  }

  /** Sends one command to a session, unless that session has it. False when the session has no room now. */
  private hand(command: Command, to: Subscriber): boolean {
    const { id, farm, sensor } = command;
    const way = this.ways.get(id);
    if (this.acknowledged.has(id) || (way && isOn(way, to))) return true;
    const sent = to.send(id, commandsTopic(farm, sensor), commandEnvelope(command));
    if (sent === 'busy') return false;
    way?.to.withdraw(id);
    const next = { to, unconfirmed: false };
    this.ways.set(id, next);
    void sent.then((how) => this.settled(command, next, how));
    return true;
  }

  private settled(command: Command, way: Way, how: Sent): void {
    const { id, farm, sensor } = command;
    if (how === 'unconfirmed') {
      way.unconfirmed = true;
      return;
    }
    if (this.ways.get(id) === way) this.ways.delete(id);
    if (how === 'acknowledged') this.record(command);
    else if (!this.stopping.signal.aborted) this.deliver(farm, sensor);
    this.trySome();
  }

  /** Writes to the log that a sensor has its command. Tries again until the log takes it or the downlink stops. */
  private record(command: Command): void {
    if (this.acknowledged.has(command.id)) return;
    this.acknowledged.add(command.id);
    const recorded = this.append(command);
    this.records.add(recorded);
    void recorded.then(() => this.records.delete(recorded));
  }

  private async append(command: Command): Promise<void> {
    const { commands, log } = this.options;
    for (let attempt = 0; !this.stopping.signal.aborted; attempt++) {
      try {
        return await commands.delivered(command);
      } catch (error) {
        if (attempt === 0) log.warn({ event: 'command_unrecorded', sensor: command.sensor }, explain(error));
        await pause(backoff(attempt), this.stopping.signal);
      }
    }
  }

  private withdraw(id: string): void {
    this.ways.get(id)?.to.withdraw(id);
    this.ways.delete(id);
  }

  private deliverAll(): void {
    for (const [farm, sensor] of this.options.subscribers.heard()) {
      for (const each of sensor === '+' ? this.options.commands.sensorsWaiting(farm) : [sensor])
        this.deliver(farm, each);
    }
  }

  private tryEvery(): void {
    this.claims.sweep();
    for (const [farm, sensor] of [...this.tryAgain.values()]) this.deliver(farm, sensor);
  }

  /** A session may have room again: tries some of the sensors that wait for room. */
  private trySome(): void {
    if (this.trying || this.tryAgain.size === 0) return;
    this.trying = true;
    setImmediate(() => {
      this.trying = false;
      for (const [farm, sensor] of [...this.tryAgain.values()].slice(0, MOST_TRIED)) this.deliver(farm, sensor);
    });
  }
}

/** Whether the command was sent to `to` already and need not be sent again. */
function isOn({ to: before, unconfirmed }: Way, to: Subscriber): boolean {
  return unconfirmed ? before.connection === to.connection : before.session === to.session;
}
