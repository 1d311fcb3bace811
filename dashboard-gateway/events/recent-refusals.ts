import { LRUCache } from 'lru-cache';
import type { Log } from '../../backbone/ports/log.ts';
import { RecentFollower } from '../../backbone/ports/recent-follower.ts';
import type { Logger } from '../../core/logger.ts';
import type { Noted } from '../../telemetry/noted.ts';
import { readEvent } from './event-source.ts';

/** Most sensors, and most names of no certain farm, whose newest refusal is remembered. One more replaces the one that was refused longest ago. */
const MOST = 20_000;

/** The newest refusal of a sensor, and the newest time that another client with its client id took its connection over. */
export interface RefusedSensor {
  readonly refused?: Noted | undefined;
  readonly takenOver?: Noted | undefined;
}

/** Follows the log of refusals and remembers the newest one of each sensor. */
export class RecentRefusals {
  private readonly follower: RecentFollower;
  private readonly ofSensor = new LRUCache<string, RefusedSensor>({ max: MOST });
  /** By the id that a client gave as its name, without saying of which farm. */
  private readonly ofName = new LRUCache<string, Noted>({ max: MOST });

  constructor(refusals: Log, logger: Logger) {
    this.follower = new RecentFollower(refusals, logger, ({ body }) => {
      const event = readEvent(body);
      if (event?.kind === 'mqtt_refused' || event?.kind === 'taken_over') this.take(event);
    });
  }

  /** Returns at once; what is in the log already is taken in soon. */
  start(): void {
    void this.follower.start();
  }

  async stop(): Promise<void> {
    await this.follower.stop();
  }

  /** What is certainly about this sensor. */
  of(farm: string, sensor: string): RefusedSensor {
    return this.ofSensor.get(`${farm}/${sensor}`) ?? {};
  }

  /** The newest refusal of a client that gave only this id: it may be a sensor of any farm that has one of this id. */
  named(id: string): Noted | undefined {
    return this.ofName.get(id);
  }

  private take(event: Noted): void {
    const { kind, farm, sensor, who } = event;
    if (farm !== '' && sensor !== '') {
      const key = `${farm}/${sensor}`;
      const news = kind === 'taken_over' ? { takenOver: event } : { refused: event };
      this.ofSensor.set(key, { ...this.ofSensor.get(key), ...news });
    } else if (farm === '' && who !== '' && kind === 'mqtt_refused') this.ofName.set(who, event);
  }
}
