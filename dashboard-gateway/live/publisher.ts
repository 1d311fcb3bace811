import type { LiveCounters } from './counters.ts';
import type { LiveFarm } from './farm.ts';
import { frames } from './protocol.ts';
import { topics } from './viewer.ts';

/** Makes the frames of farms and publishes each to whom it concerns; nothing is made that nobody would get. */
export class Publisher {
  private readonly send: (topic: string, text: string) => void;
  private readonly counters: LiveCounters;

  /** `send` reaches every socket that joined the topic, behind what was sent to it before. */
  constructor(send: (topic: string, text: string) => void, counters: LiveCounters) {
    this.send = send;
    this.counters = counters;
  }

  /** What came since the last tick, and then ticks up to `seq`. */
  rows(farm: LiveFarm, seq: number, now: number): void {
    const { fold, id } = farm;
    const told: string[] = [];
    for (const [field, rows] of fold.fields()) {
      if (!this.publish(farm, field, () => frames.readings(id, field, rows))) continue;
      if (farm.audienceOf(field).field) told.push(field);
      this.counters.frames.readings++;
      this.counters.frames.rows += rows.length;
    }
    if (farm.isLoaded) this.statuses(farm, fold.sensors(), now);
    // Behind all the rows: a tick says that everything up to it has been sent, whichever fields a socket watches.
    const tick = frames.tick(id, seq);
    for (const field of told) this.tick(topics.field(id, field), tick);
    if (farm.audienceOf('').farm) this.tick(topics.farm(id), tick);
    fold.clear();
  }

  /** Those of `sensors` that are another way than was last told. */
  statuses(farm: LiveFarm, sensors: Iterable<string>, now: number): void {
    for (const { sensor, ...status } of farm.newStatuses(sensors, now)) {
      this.publish(farm, farm.fieldOf(sensor), () => frames.status(farm.id, sensor, status));
      this.counters.frames.status++;
    }
  }

  /** A tick for everybody who watches something of the farm, unless they were told of `seq` before. */
  tickForAll(farm: LiveFarm, seq: number): void {
    if (farm.told === seq) return;
    farm.told = seq;
    this.tick(topics.all(farm.id), frames.tick(farm.id, seq));
  }

  private tick(topic: string, text: string): void {
    this.send(topic, text);
    this.counters.frames.tick++;
  }

  /** True when anybody gets it. */
  private publish(farm: LiveFarm, field: string, make: () => string): boolean {
    const audience = farm.audienceOf(field);
    if (!audience.field && !audience.farm) return false;
    const text = make();
    if (audience.farm) this.send(topics.farm(farm.id), text);
    if (audience.field) this.send(topics.field(farm.id, field), text);
    return true;
  }
}
