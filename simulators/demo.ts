import { clock } from '../core/clock.ts';
import { explain } from '../core/errors.ts';
import type { Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/timing.ts';
import { Probe } from './probe.ts';
import { inRounds } from './rounds.ts';
import { type SimulatedValues, VirtualSensor } from './sensor.ts';
import { HOUR_MS } from './weather.ts';

/** What a virtual sensor needs to publish as a registered one. `kind` and `seed` say what it measures (see `Probe`). */
export interface DemoCredential {
  readonly id: string;
  readonly farm: string;
  readonly secret: string;
  readonly kind: string;
  readonly seed: number;
}

export interface DemoOptions {
  /** `mqtt://HOST:PORT` */
  readonly url: string;
  readonly sensors: readonly DemoCredential[];
  /** Between two readings of one sensor; default: 2 s. */
  readonly intervalMs?: number;
  /** How much of the past is published first, so that charts are not empty. 0: none. */
  readonly backfillHours?: number;
  readonly log: Logger;
}

interface DemoMember {
  readonly sensor: VirtualSensor;
  readonly probe: Probe;
}

const BACKFILL_STEP_MS = 5 * 60_000;
const READINGS_A_MESSAGE = 48;
/** Between two messages of the past, so that they do not delay the present ones. */
const PACE_MS = 10;
const FAREWELL_MS = 2_000;

/** Built-in sensors that show what Loam does: virtual sensors that publish over real MQTT, as any sensor would. */
export class DemoSensors implements Part {
  readonly name = 'demo sensors';
  private readonly options: DemoOptions;
  private readonly members: DemoMember[];
  private readonly stopping = new AbortController();
  private stopPublishing: () => void = () => {};
  private past: Promise<void> | undefined;

  constructor(options: DemoOptions) {
    this.options = options;
    this.members = options.sensors.map(({ id, farm, secret, kind, seed }) => ({
      sensor: new VirtualSensor({ url: options.url, id, farm, secret }),
      probe: new Probe(kind, seed),
    }));
  }

  /** Begins to connect and publish; does not wait for the broker. */
  async start(): Promise<void> {
    const { intervalMs = 2_000, backfillHours = 24 } = this.options;
    for (const { sensor } of this.members) sensor.start();
    this.stopPublishing = inRounds(this.members.length, intervalMs, (turn) => this.publish(turn));
    this.past = this.publishPast(clock.now(), backfillHours * HOUR_MS);
  }

  async stop(deadlineMs: number): Promise<void> {
    this.stopPublishing();
    this.stopping.abort();
    const wait = Math.min(FAREWELL_MS, deadlineMs / 2);
    await Promise.all(this.members.map(({ sensor }) => sensor.stop(wait)));
    await this.past;
  }

  /** Resolves when the past has been published, or given up. */
  async backfilled(): Promise<void> {
    await this.past;
  }

  private publish(turn: number): void {
    const member = this.members[turn];
    const now = clock.now();
    void member?.sensor.send([{ ts: now, values: member.probe.valuesAt(now) }]);
  }

  private async publishPast(now: number, spanMs: number): Promise<void> {
    const { log } = this.options;
    try {
      for (const { sensor, probe } of this.members) {
        for (const stretch of stretches(now - spanMs, now)) {
          if (this.stopping.signal.aborted) return;
          await sensor.send(stretch.map((ts): SimulatedValues => ({ ts, values: probe.valuesAt(ts) })));
          await pause(PACE_MS, this.stopping.signal);
        }
      }
    } catch (error) {
      log.warn({ event: 'demo_backfill_failed' }, explain(error));
    }
  }
}

/**
 * The times from `from` to `to` (Unix ms) of the past readings, one list per message. They are multiples of the step: a
 * second run gives the same times.
 */
function stretches(from: number, to: number): number[][] {
  const lists: number[][] = [];
  let list: number[] = [];
  for (let ts = Math.ceil(from / BACKFILL_STEP_MS) * BACKFILL_STEP_MS; ts < to; ts += BACKFILL_STEP_MS) {
    list.push(ts);
    if (list.length < READINGS_A_MESSAGE) continue;
    lists.push(list);
    list = [];
  }
  return list.length > 0 ? [...lists, list] : lists;
}
