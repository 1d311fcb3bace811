import { createHistogram, type EventLoopUtilization, performance, type RecordableHistogram } from 'node:perf_hooks';
import { clock } from '../../core/clock.ts';
import { PromiseLines } from './acknowledged-readings.ts';
import { MqttConnection } from './connection.ts';
import { type Message, Numbering, Payloads, publishPacket } from './messages.ts';
import type { FullPlan } from './plan.ts';
import { Schedule } from './schedule.ts';

/** Counts since the start. */
export interface Counts {
  /** Publishes that were due and sent for the first time. */
  sent: number;
  acknowledged: number;
  resent: number;
  /** Connections lost after they had been up, and attempts to connect that failed. */
  lost: number;
  refused: number;
}

/** What a driver reports. Histograms, in µs, hold what came since the last report. */
export interface ThreadReport extends Readonly<Counts> {
  /** Publishes due by now; with a closed loop those sent. */
  readonly due: number;
  readonly connected: number;
  readonly inFlight: number;
  readonly latency: RecordableHistogram;
  /** How late the generator itself was with publishes that nothing else held up. */
  readonly lateness: RecordableHistogram;
  /** Share of the time since the last report in which the thread's event loop was busy, 0 to 1. */
  readonly busy: number;
  /** Errors since the start, each with how often it occurred. */
  readonly errors: Readonly<Record<string, number>>;
  /** Lines for the promise file. */
  readonly promises: string;
}

/** A broker's refusal of a connection: `code` is the CONNACK's. */
export interface ConnectRefusal {
  readonly clientId: string;
  readonly why: string;
  readonly code: number | undefined;
}

export interface DriverEvents {
  /** Every connection is up. Called once. */
  ready(): void;
  refused(refusal: ConnectRefusal): void;
  /** All publishes that the driver had to send (`total`, or those before `halt`) are acknowledged. */
  finished(): void;
}

/** How often publishes that are due are given to their connections, ms. */
const TICK_MS = 1;
const TEND_MS = 1_000;
const MOST_KINDS_OF_ERRORS = 20;
const LONGEST_US = 3_600_000_000;

/** Runs the connections of one thread by a plan: connects them, gives them the publishes that are due, and measures. */
export class Driver {
  private readonly plan: FullPlan;
  private readonly events: DriverEvents;
  private readonly connections: MqttConnection<Message>[];
  private readonly schedule: Schedule | undefined;
  private readonly counts: Counts = { sent: 0, acknowledged: 0, resent: 0, lost: 0, refused: 0 };
  private readonly lines = new PromiseLines();
  private readonly payloads: Payloads;
  private readonly errors = new Map<string, number>();
  private readonly toOpen: MqttConnection<Message>[] = [];
  private opening = 0;
  private connected = 0;
  private ready = false;
  private running = false;
  private finished = false;
  private startedAt = 0;
  /** Open loop: how many publishes were given to their connections so far. */
  private dispatched = 0;
  private ticking = false;
  private latency = newHistogram();
  private lateness = newHistogram();
  private utilization: EventLoopUtilization = performance.eventLoopUtilization();
  private timers: NodeJS.Timeout[] = [];

  constructor(plan: FullPlan, events: DriverEvents) {
    this.plan = plan;
    this.events = events;
    this.payloads = new Payloads(plan.metrics);
    const { pace } = plan;
    this.schedule = pace.loop === 'open' ? new Schedule(pace.rate, pace.rampMs) : undefined;
    this.connections = plan.connections.map((_, index) => this.connection(index));
  }

  /** Begins to connect. */
  connect(): void {
    this.toOpen.push(...this.connections);
    this.openMore();
    this.timers.push(setInterval(() => this.tend(), TEND_MS));
  }

  /** Begins to publish. */
  begin(): void {
    this.running = true;
    this.startedAt = clock.passed();
    if (this.schedule) this.timers.push(setInterval(() => this.tick(), TICK_MS));
    else for (const connection of this.connections) connection.pump();
  }

  /** Open loop: from now on `rate` publishes a second are due. */
  changeRate(rate: number): void {
    this.schedule?.change(clock.passed() - this.startedAt, rate);
  }

  /** Sends no new publish from now on; publishes that were sent may still be acknowledged. */
  halt(): void {
    if (this.schedule && this.running) this.dispatched = this.dueNow();
    this.running = false;
    this.finishIfDone();
  }

  /** Disconnects from the broker for good. */
  end(): void {
    this.running = false;
    for (const timer of this.timers) clearInterval(timer);
    for (const connection of this.connections) connection.end();
  }

  destroy(): void {
    for (const connection of this.connections) connection.destroy();
  }

  /** The report since the last call. */
  report(): ThreadReport {
    const utilization = performance.eventLoopUtilization();
    const { latency, lateness } = this;
    const told: ThreadReport = {
      ...this.counts,
      due: this.schedule ? (this.running ? this.dueNow() : this.dispatched) : this.counts.sent,
      connected: this.connected,
      inFlight: this.connections.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0),
      latency,
      lateness,
      busy: performance.eventLoopUtilization(utilization, this.utilization).utilization,
      errors: Object.fromEntries(this.errors),
      promises: this.lines.take(),
    };
    this.utilization = utilization;
    this.latency = newHistogram();
    this.lateness = newHistogram();
    return told;
  }

  private connection(index: number): MqttConnection<Message> {
    const { url, ca, connections, keepaliveS, inFlight, qos, firstSeq, times } = this.plan;
    const plan = connections[index];
    if (!plan) throw new RangeError(`no connection ${index}`);
    const { clientId, username, password, sensors } = plan;
    const numbering = new Numbering(sensors, firstSeq);
    const given = times.are === 'due' ? 'due' : times;
    let taken = 0;
    const connection: MqttConnection<Message> = new MqttConnection(
      {
        url: new URL(url),
        ...(ca === undefined ? {} : { ca }),
        clientId,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
        keepaliveS,
        inFlight,
        qos,
      },
      {
        next: () => {
          const due = this.dueOf(index, taken);
          if (due === undefined) return undefined;
          taken += 1;
          this.counts.sent += 1;
          if (this.ticking) this.lateness.record(microseconds(clock.passed() - due));
          return numbering.take(due, given);
        },
        packet: ({ sensor, seq, ts }, messageId, again) =>
          publishPacket(sensors[sensor]?.topic ?? '', this.payloads.of(seq, ts), messageId, again),
        done: (message) => this.done(message, sensors[message.sensor]),
        resent: () => {
          this.counts.resent += 1;
        },
        up: () => this.cameUp(),
        lost: (why) => this.wentDown(why),
        refused: (why, code) => this.wasRefused({ clientId, why, code }),
      },
      () => {
        this.toOpen.push(connection);
        this.openMore();
      },
    );
    return connection;
  }

  /**
   * When the next publish of connection `index`, which has had `taken`, is due (ms of `clock.passed()`); undefined
   * when it is not due yet, or when there is none.
   */
  private dueOf(index: number, taken: number): number | undefined {
    const { total } = this.plan;
    if (!this.running || (total !== undefined && this.counts.sent >= total)) return undefined;
    if (!this.schedule) return clock.passed();
    const k = index + taken * this.connections.length;
    return k < this.dispatched ? this.startedAt + this.schedule.dueAt(k) : undefined;
  }

  private dueNow(): number {
    const due = this.schedule?.dueBy(clock.passed() - this.startedAt) ?? 0;
    return Math.min(due, this.plan.total ?? due);
  }

  /** Lets connections publish what has become due, by turns. One without room does so when it has room. */
  private tick(): void {
    if (!this.running) return;
    const due = this.dueNow();
    const from = this.dispatched;
    this.dispatched = due;
    this.ticking = true;
    const turns = Math.min(due - from, this.connections.length);
    for (let i = 0; i < turns; i++) {
      const connection = this.connections[(from + i) % this.connections.length];
      // A full connection publishes later by itself, and then it is not the generator that was late.
      if (connection?.hasRoom) connection.pump();
    }
    this.ticking = false;
  }

  private done({ seq, ts, due }: Message, sensor: { farm: string; sensor: string } | undefined): void {
    this.counts.acknowledged += 1;
    if (this.plan.qos === 1) this.latency.record(microseconds(clock.passed() - due));
    if (sensor && this.plan.promises !== undefined)
      this.lines.add({ farm: sensor.farm, sensor: sensor.sensor, seq, ts });
    this.finishIfDone();
  }

  private finishIfDone(): void {
    const { sent, acknowledged } = this.counts;
    const over = !this.running || sent >= (this.plan.total ?? Number.POSITIVE_INFINITY);
    if (!over || sent !== acknowledged || this.finished) return;
    this.finished = true;
    this.events.finished();
  }

  private cameUp(): void {
    this.opening -= 1;
    this.connected += 1;
    this.openMore();
    if (this.ready || this.connected < this.connections.length) return;
    this.ready = true;
    this.events.ready();
  }

  private wentDown(why: string): void {
    this.connected -= 1;
    this.counts.lost += 1;
    this.note(`connection lost: ${why}`);
  }

  private wasRefused(refusal: ConnectRefusal): void {
    this.opening -= 1;
    this.counts.refused += 1;
    this.note(`connection refused: ${refusal.why}`);
    this.events.refused(refusal);
    this.openMore();
  }

  private openMore(): void {
    while (this.opening < this.plan.connecting) {
      const connection = this.toOpen.shift();
      if (!connection) return;
      if (connection.state === 'ended') continue;
      this.opening += 1;
      connection.open();
    }
  }

  private tend(): void {
    const now = clock.passed();
    for (const connection of this.connections) connection.tend(now);
  }

  private note(what: string): void {
    const known = this.errors.has(what) || this.errors.size < MOST_KINDS_OF_ERRORS;
    const kind = known ? what : 'other';
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }
}

function newHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: LONGEST_US, figures: 3 });
}

function microseconds(ms: number): number {
  return Math.min(LONGEST_US, Math.max(1, Math.round(ms * 1_000)));
}
