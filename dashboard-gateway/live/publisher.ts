import { clock } from '../../core/clock.ts';
import type { LiveCounters } from './counters.ts';
import { frames } from './sockets/protocol.ts';
import { topics } from './sockets/viewer.ts';
import type { LiveFarm, OnlyField } from './state/farm.ts';

/** A viewer gets a tick without rows only when it was last told of a `seq` at least this long ago, ms. */
const QUIET_MS = 900;

/** Makes the frames of farms and publishes each to the viewers that it concerns. A frame without such viewers is not made. */
export class FramePublisher {
  private readonly send: (topic: string, text: string) => void;
  private readonly counters: LiveCounters;

  /** `send` reaches every socket that joined the topic, after everything that was sent to it before. */
  constructor(send: (topic: string, text: string) => void, counters: LiveCounters) {
    this.send = send;
    this.counters = counters;
  }

  /** Publishes to viewers of only `field`: the rows since it last published to them, and a tick up to `seq`. */
  only(farm: LiveFarm, field: string, only: OnlyField, seq: number, now: number): void {
    const { fold } = only;
    const topic = topics.only(farm.id, field);
    for (const [, rows] of fold.fields()) {
      this.send(topic, frames.readings(farm.id, field, rows));
      this.counters.frames.readings++;
      this.counters.frames.rows += rows.length;
    }
    if (farm.isLoaded) this.statuses(farm, fold.sensors(), now);
    this.tick(topic, frames.tick(farm.id, seq, now));
    only.told = clock.passed();
    only.toldSeq = seq;
    fold.clear();
  }

  /** Publishes to viewers of more than one field: the rows since the last tick, and then ticks up to `seq`. */
  rows(farm: LiveFarm, seq: number, now: number): void {
    const { fold, id } = farm;
    const told: string[] = [];
    for (const [field, rows] of fold.fields()) {
      const audience = farm.audienceOf(field);
      if (!audience.field && !audience.farm) continue;
      const text = frames.readings(id, field, rows);
      if (audience.farm) this.send(topics.farm(id), text);
      if (audience.field) this.send(topics.field(id, field), text);
      if (audience.field) told.push(field);
      this.counters.frames.readings++;
      this.counters.frames.rows += rows.length;
    }
    if (farm.isLoaded) this.statuses(farm, fold.sensors(), now);
    // After all the rows: a tick says that everything up to its `seq` has been sent, whichever fields a socket watches.
    const tick = frames.tick(id, seq, now);
    for (const field of told) this.tick(topics.field(id, field), tick);
    if (farm.audienceOf('').farm) this.tick(topics.farm(id), tick);
    fold.clear();
  }

  /** Publishes the statuses of those `sensors` whose status differs from the one told last. */
  statuses(farm: LiveFarm, sensors: Iterable<string>, now: number): void {
    for (const { sensor, ...status } of farm.newStatuses(sensors, now)) {
      this.publish(farm, farm.fieldOf(sensor), () => frames.status(farm.id, sensor, status));
      this.counters.frames.status++;
    }
  }

  /** Publishes a tick to viewers that were told of no `seq` lately, and for whose fields everything up to `seq` has been published. */
  tickForQuiet(farm: LiveFarm, published: number, seq: number, now: number): void {
    const passed = clock.passed();
    for (const [field, only] of farm.only) {
      if (only.fold.rowCount > 0 || passed - only.told < QUIET_MS || only.toldSeq === seq) continue;
      only.told = passed;
      only.toldSeq = seq;
      this.tick(topics.only(farm.id, field), frames.tick(farm.id, seq, now));
    }
    if (farm.told === published) return;
    farm.told = published;
    this.tick(topics.wide(farm.id), frames.tick(farm.id, published, now));
  }

  private tick(topic: string, text: string): void {
    this.send(topic, text);
    this.counters.frames.tick++;
  }

  private publish(farm: LiveFarm, field: string, make: () => string): void {
    const audience = farm.audienceOf(field);
    if (!audience.field && !audience.farm && !audience.only) return;
    const text = make();
    if (audience.farm) this.send(topics.farm(farm.id), text);
    if (audience.field) this.send(topics.field(farm.id, field), text);
    if (audience.only) this.send(topics.only(farm.id, field), text);
  }
}
