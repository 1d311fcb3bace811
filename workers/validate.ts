import { clockRunOf, isDoubted } from '../telemetry/account/batch-place.ts';
import type { Batch, DeadLetter, Publish } from '../telemetry/batch.ts';
import {
  type Decoded,
  type PayloadContext,
  type Refusal,
  Refusals,
  type UplinkBytes,
} from '../telemetry/formats/decoded.ts';
import { type Around, decodePublish } from '../telemetry/formats/formats.ts';
import { takeCodecData } from '../telemetry/formats/uplink.ts';
import { decodeImported } from '../telemetry/imported.ts';
import { sensorIdOf } from '../telemetry/mappings/sensor-name.ts';
import type { Reading } from '../telemetry/reading.ts';
import type { ReadingRegistry } from '../telemetry/reading-registry.ts';
import { Rulebook, type SensorRules } from '../telemetry/sensor-rules.ts';
import type { Codecs } from './codecs/codec.ts';
import { GatewayDevices } from './gateway-devices.ts';
import { SaidOnce } from './said-once.ts';

const MAX_EXPLANATION = 2_000;
/** A receipt that is so much later leaves no time ahead of it, ms: 80 years. */
const ANOTHER_MS = 80 * 365 * 86_400_000;

/** What became of a batch: each publish gave readings, or a dead letter, or both when only parts of it were good. */
export interface Validated {
  readonly readings: Reading[];
  readonly dead: DeadLetter[];
  /** Publishes that were not read here. */
  readonly apart: Publish[];
  /** Publishes whose readings depend on their receipts, which are by a clock that nobody believes. Nothing of them is in the rest. */
  readonly undated: Publish[];
  /** How many publishes of the batch this is about: all, or the first of them. */
  taken: number;
  /** How many texts and nulls other systems sent among their values, which are no measurements, and what was said before of the same names. */
  skipped: number;
}

/**
 * Makes readings of raw publishes. Never throws: what is not understood becomes a dead letter. `now` is Unix ms. `begins` is called before each
 * publish, with its place in the batch.
 */
export type Validate = (batch: Batch, now: number, begins?: (place: number) => void) => Validated;

export interface ValidatorParts {
  /** Names, units, clocks and codecs of sensors. Without it, only what Loam knows by itself is used. */
  readonly registry?: { current(): ReadingRegistry | undefined } | undefined;
  /** Without it, publishes that need a codec are left `apart`. */
  readonly codecs?: Codecs | undefined;
  /** Sensors, as `farm/id`, whose publishes are left `apart` unread. */
  readonly apart?: ReadonlySet<string> | undefined;
  /** Whether publishes are left `undated`; otherwise every clock is taken for right. */
  readonly waits?: boolean | undefined;
  /** With so many readings no further publish of the batch is taken. A publish may have 10,000. */
  readonly mostReadings?: number | undefined;
}

/** Makes a `Validate`. */
export function createValidate(parts: ValidatorParts = {}): Validate {
  const { registry, codecs, apart, waits, mostReadings = Number.POSITIVE_INFINITY } = parts;
  const rulebook = new Rulebook();
  const said = new SaidOnce();
  const devices = new GatewayDevices();
  return (batch, now, begins) => {
    const outcome: Validated = { readings: [], dead: [], apart: [], undated: [], taken: 0, skipped: 0 };
    const current = registry?.current();
    const run = clockRunOf(batch.id);
    const around = current === undefined ? {} : aroundIn(current, rulebook, devices);
    const doubted = waits && batch.origin !== 'import' && isDoubted(batch.id);
    for (const [place, publish] of batch.publishes.entries()) {
      if (outcome.readings.length >= mostReadings) break;
      begins?.(place);
      outcome.taken += 1;
      const { farm, sensor, via } = publish;
      if (apart?.size && apart.has(`${farm}/${sensor}`)) {
        outcome.apart.push(publish);
        continue;
      }
      const rules = rulebook.of(farm, sensor, current, via);
      const found = batch.origin === 'import' ? [decodeImported(publish)] : decoded(publish, rules, codecs, around);
      if (found === 'needs a codec') {
        outcome.apart.push(publish);
        continue;
      }
      if (doubted && needsReceipt(publish, rules, codecs, around, found)) {
        outcome.undated.push(publish);
        continue;
      }
      for (const one of found) add(outcome, publish, one, { now, run, said });
    }
    return outcome;
  };
}

/** What is in a publish: by its format, and by its codec where it has bytes for one. */
function decoded(
  publish: Publish,
  rules: SensorRules,
  codecs: Codecs | undefined,
  around: Around,
): Decoded[] | 'needs a codec' {
  const { farm, sensor, received } = publish;
  const found = decodePublish(publish, rules, around);
  if (!found.bytes) return [found];
  if (codecOf(found.bytes, rules) !== undefined && !codecs) return 'needs a codec';
  return [found, throughCodec(found.bytes, { farm, sensor, received, rules }, codecs)];
}

/** What the registry says of publishes beside their sensor. */
function aroundIn(registry: ReadingRegistry, rulebook: Rulebook, devices: GatewayDevices): Around {
  return {
    mappedBy: ({ farm, sensor, topic, via }) => registry.mappings.find(farm, via?.id ?? sensor, topic),
    deviceOf: ({ farm, received, via }, name) => {
      const device = sensorIdOf(name);
      if (device === undefined) return 'no_sensor';
      const sensor = devices.idOf(registry, farm, device);
      if (sensor === undefined) return 'too_many_sensors';
      return { farm, sensor, received, rules: rulebook.of(farm, sensor, registry, via) };
    },
  };
}

function codecOf({ mapped }: UplinkBytes, rules: SensorRules): string | undefined {
  return mapped?.codec ?? rules.codec;
}

/** Whether another receipt would make other readings of a publish, or refuse others. It is only asked about doubted clocks. */
function needsReceipt(
  publish: Publish,
  rules: SensorRules,
  codecs: Codecs | undefined,
  around: Around,
  found: readonly Decoded[],
): boolean {
  const other = decoded({ ...publish, received: publish.received + ANOTHER_MS }, rules, codecs, around);
  return other === 'needs a codec' || timesIn(other) !== timesIn(found);
}

function timesIn(found: readonly Decoded[]): string {
  return JSON.stringify(found.map(({ readings, refused }) => [readings.map(({ ts }) => ts), refused.length]));
}

function add(
  outcome: Validated,
  publish: Publish,
  { readings, refused, skipped, clock: error }: Decoded,
  { now, run, said }: { readonly now: number; readonly run: string; readonly said: SaidOnce },
): void {
  for (const reading of readings) outcome.readings.push(reading);
  outcome.skipped += skipped;
  if (refused.length === 0) return;
  const news = said.news(publish.farm, publish.sensor, refused);
  outcome.skipped += refused.length - news.length;
  const [first] = news;
  if (!first) return;
  const explanation = news.map((part) => `${part.path || 'payload'}: ${part.explanation}`).join('; ');
  const { reason } = first;
  const letter = { publish, reason, explanation: explanation.slice(0, MAX_EXPLANATION), at: now, run };
  outcome.dead.push(error ? { ...letter, clock: error } : letter);
}

function throughCodec(uplink: UplinkBytes, context: PayloadContext, codecs: Codecs | undefined): Decoded {
  const codec = codecOf(uplink, context.rules);
  if (codec === undefined || !codecs) {
    return refused({
      reason: 'no_codec',
      path: '$',
      explanation: 'nobody decoded its bytes: the registry can name a codec',
    });
  }
  const { bytes, fPort, at = context.received } = uplink;
  const outcome = codecs.decode(codec, { bytes, fPort, recvTime: at, topic: uplink.mapped?.topic });
  if ('why' in outcome) return refused({ reason: 'codec_failed', path: codec, explanation: outcome.why });
  const refusals = new Refusals();
  const { readings, skipped } = takeCodecData(outcome.data, uplink, context, refusals);
  const { clock } = refusals;
  return { readings, refused: refusals.list(), skipped, ...(clock ? { clock } : {}) };
}

function refused(refusal: Refusal): Decoded {
  return { readings: [], refused: [refusal], skipped: 0 };
}

/** The dead letter of a queue message that is no batch. Its farm is unknown; it was acknowledged, so it stays whole. */
export function unreadable(body: Uint8Array, now: number): DeadLetter {
  const publish: Publish = { farm: '', field: '', sensor: '', topic: '', payload: body, received: now };
  return {
    publish,
    reason: 'unreadable_batch',
    explanation: 'the queue message is not a batch that this version writes',
    at: now,
  };
}
