import { encode, malformed, mostReadings } from '../payloads.ts';
import { Probe } from '../probe.ts';
import { noise } from '../random.ts';
import type { SimulatedValues } from '../sensor.ts';
import type { Device, DeviceConnection } from './devices.ts';
import type { ProfileFault } from './schema.ts';

/** A message that a device sends `at` ms after the start. */
export interface Sending {
  readonly at: number;
  readonly topic: string;
  readonly payload: string;
  readonly qos: 0 | 1;
  /** The sequence numbers of its readings; none when it cannot be read. */
  readonly seqs: readonly number[];
  readonly kind: 'reading' | 'again' | 'malformed';
}

/** A connection breaks or comes back `at` ms after the start. */
export interface LinkChange {
  readonly at: number;
  readonly change: 'leave' | 'come-back';
}

type FaultOf<K extends ProfileFault['fault']> = Extract<ProfileFault, { fault: K }>;

/**
 * All that a device sends in a run that starts at `start` (Unix ms), in order of time and without end: the same bytes
 * for the same profile and start, whatever the network does. Every reading has the metric `seq`, which counts from
 * `firstSeq(start)`.
 */
export function* sendingsOf(device: Device, start: number): Generator<Sending> {
  const source = new MessageMaker(device, start);
  const { group, seed } = device;
  const offline = one(device, 'offline');
  let at = noise(seed, 900) * group.interval;
  if (offline) {
    yield* source.backlog(offline);
    at += offline.back;
  }
  for (let turn = 0; ; turn++) {
    yield* source.turn(at, turn);
    at += source.intervalAt(at, turn);
  }
}

/**
 * The first sequence number of a run. Two runs must not share numbers, so that neither takes the other's readings for
 * its own: the second in which a run starts makes the difference.
 */
export function firstSeq(start: number): number {
  return Math.floor(start / 1_000) * 100_000 + 1;
}

/** Makes a device's messages. */
class MessageMaker {
  private readonly device: Device;
  private readonly start: number;
  private readonly probe: Probe;
  private readonly clockError: number;
  private stuckAt: number | undefined;
  private lastTs = 0;
  private seq: number;
  private uplink = 0;

  constructor(device: Device, start: number) {
    this.device = device;
    this.start = start;
    this.probe = new Probe(device.group.kind, device.seed, 'full');
    this.clockError = one(device, 'wrong-clock')?.by ?? 0;
    this.seq = firstSeq(start) - 1;
  }

  /** What was measured while the link was away, in as few messages as the format allows. */
  *backlog({ away, back, step }: FaultOf<'offline'>): Generator<Sending> {
    const most = mostReadings(this.device.group.format);
    const from = Math.ceil((this.start - away) / step) * step;
    for (let ts = from; ts < this.start + back; ) {
      const lot: SimulatedValues[] = [];
      for (; lot.length < most && ts < this.start + back; ts += step) lot.push(this.measure(ts));
      yield this.sending(back, lot, 'reading');
    }
  }

  /** One regular reading, and the duplicate or malformed message that a fault adds to it. */
  *turn(at: number, turn: number): Generator<Sending> {
    const { seed } = this.device;
    const reading = this.sending(at, [this.measure(this.start + Math.floor(at))], 'reading');
    yield reading;
    if (noise(seed, 2_000_000 + turn) < (one(this.device, 'duplicates')?.share ?? 0))
      yield { ...reading, kind: 'again' };
    if (noise(seed, 3_000_000 + turn) < (one(this.device, 'malformed')?.share ?? 0)) yield this.unreadable(at, turn);
  }

  intervalAt(at: number, turn: number): number {
    const { group, seed } = this.device;
    const runaway = one(this.device, 'runaway');
    if (runaway && at >= runaway.from && at < runaway.from + runaway.for) return Math.max(1, runaway.every);
    const usual = group.interval * (1 + group.jitter * (2 * noise(seed, 4_000_000 + turn) - 1));
    return Math.max(1, runaway && at < runaway.from ? Math.min(usual, runaway.from - at) : usual);
  }

  private measure(moment: number): SimulatedValues {
    this.seq += 1;
    // Two readings of a sensor in the same millisecond would be stored as one.
    const ts = Math.max(moment + this.clockError, this.lastTs + 1);
    this.lastTs = ts;
    return { ts, values: { seq: this.seq, ...this.stuck(moment, this.probe.valuesAt(moment)) } };
  }

  private stuck(moment: number, values: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
    const stuck = one(this.device, 'stuck');
    if (!stuck || moment < this.start + stuck.from || values[stuck.metric] === undefined) return values;
    this.stuckAt ??= values[stuck.metric];
    return { ...values, [stuck.metric]: this.stuckAt ?? 0 };
  }

  private sending(at: number, readings: readonly SimulatedValues[], kind: Sending['kind']): Sending {
    const { group, id } = this.device;
    this.uplink += 1;
    const encoded = encode(group.format, { farm: group.farm, id, uplink: this.uplink }, readings);
    return { at, ...encoded, qos: group.qos, seqs: readings.map(({ values }) => values.seq ?? 0), kind };
  }

  private unreadable(at: number, turn: number): Sending {
    const { group, id, seed } = this.device;
    const which = Math.floor(noise(seed, 5_000_000 + turn) * 1_000);
    const encoded = malformed(group.format, { farm: group.farm, id, uplink: this.uplink }, which);
    return { at, ...encoded, qos: group.qos, seqs: [], kind: 'malformed' };
  }
}

/** When a connection breaks and comes back, in order of time; without end for the fault `flapping`. */
export function* linkChangesOf({ devices }: DeviceConnection): Generator<LinkChange> {
  const [device] = devices;
  if (!device) return;
  const offline = one(device, 'offline');
  const thundering = one(device, 'thundering');
  const flapping = one(device, 'flapping');
  const once: LinkChange[] = [
    ...(offline ? [leave(0), comeBack(offline.back)] : []),
    ...(thundering ? [leave(thundering.at), comeBack(thundering.at + 500)] : []),
  ].sort((a, b) => a.at - b.at);
  if (!flapping) return yield* once;
  // Each connection has its own times, so that they do not all break together.
  const first = (offline?.back ?? 0) + flapping.every * (0.5 + noise(device.seed, 901) / 2);
  for (let at = first; ; at += flapping.every) {
    while (once[0] && once[0].at <= at) yield once.shift() ?? leave(at);
    yield leave(at);
    yield comeBack(at + Math.min(flapping.down, flapping.every));
  }
}

function leave(at: number): LinkChange {
  return { at, change: 'leave' };
}

function comeBack(at: number): LinkChange {
  return { at, change: 'come-back' };
}

function one<K extends ProfileFault['fault']>(device: Device, kind: K): FaultOf<K> | undefined {
  return device.faults.find((fault): fault is FaultOf<K> => fault.fault === kind);
}
