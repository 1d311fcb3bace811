import type { Batch, DeadLetter, Publish } from '../telemetry/batch.ts';
import {
  type Decoded,
  type PayloadContext,
  type Refusal,
  Refusals,
  type UplinkBytes,
} from '../telemetry/formats/decoded.ts';
import { decodePublish } from '../telemetry/formats/formats.ts';
import { takeCodecData } from '../telemetry/formats/uplink.ts';
import { decodeImported } from '../telemetry/imported.ts';
import { subOf } from '../telemetry/instant.ts';
import type { Reading } from '../telemetry/reading.ts';
import type { RegistryView } from '../telemetry/registry.ts';
import { Rulebook } from '../telemetry/sensor-rules.ts';
import { telemetryTopic } from '../telemetry/topic.ts';
import type { Codecs } from './codecs/codec.ts';

const MAX_EXPLANATION = 2_000;

/** What became of a batch: each publish gave readings, or a dead letter, or both when only parts of it were good. */
export interface Validated {
  readonly readings: Reading[];
  readonly dead: DeadLetter[];
  /** How many texts and nulls other systems sent among their values. They are no measurements. */
  readonly skipped: number;
}

/** Makes readings of raw publishes. Never throws or rejects: what is not understood becomes a dead letter. `now` is Unix ms. */
export type Validate = (batch: Batch, now: number) => Validated | Promise<Validated>;

export interface ValidatorParts {
  /** Names, units, clocks and codecs of sensors. Without it, only what Loam knows by itself is used. */
  readonly registry?: RegistryView | undefined;
  /** Without it, bytes that need a codec become dead letters. */
  readonly codecs?: Codecs | undefined;
}

/** Makes a `Validate`. Its result is a promise only when a publish has to go through a codec. */
export function createValidate({ registry, codecs }: ValidatorParts = {}): Validate {
  const rulebook = new Rulebook();
  return (batch, now) => {
    const outcome: ValidationOutcome = { readings: [], dead: [], skipped: 0 };
    const waiting: Promise<void>[] = [];
    const current = registry?.current();
    for (const publish of batch.publishes) {
      const rules = rulebook.of(publish.farm, publish.sensor, current);
      const decoded = batch.origin === 'import' ? decodeImported(publish) : decodePublish(publish, rules);
      add(outcome, publish, decoded, now);
      if (!decoded.bytes) continue;
      const context = { farm: publish.farm, sensor: publish.sensor, received: publish.received, rules };
      const done = throughCodec(decoded.bytes, context, codecs).then((read) => add(outcome, publish, read, now));
      waiting.push(done);
    }
    return waiting.length === 0 ? outcome : Promise.all(waiting).then(() => outcome);
  };
}

interface ValidationOutcome {
  readonly readings: Reading[];
  readonly dead: DeadLetter[];
  skipped: number;
}

function add(outcome: ValidationOutcome, publish: Publish, { readings, refused, skipped }: Decoded, now: number): void {
  for (const reading of readings) outcome.readings.push(reading);
  outcome.skipped += skipped;
  const [first] = refused;
  if (!first) return;
  const explanation = refused.map((part) => `${part.path || 'payload'}: ${part.explanation}`).join('; ');
  outcome.dead.push({ publish, reason: first.reason, explanation: explanation.slice(0, MAX_EXPLANATION), at: now });
}

async function throughCodec(
  uplink: UplinkBytes,
  context: PayloadContext,
  codecs: Codecs | undefined,
): Promise<Decoded> {
  const { codec } = context.rules;
  if (codec === undefined || !codecs) {
    return refused({
      reason: 'no_codec',
      path: '$',
      explanation: 'nobody decoded its bytes: the registry can name a codec',
    });
  }
  const { bytes, fPort, at = context.received } = uplink;
  const outcome = await codecs.decode(codec, { bytes, fPort, recvTime: at });
  if ('why' in outcome) return refused({ reason: 'codec_failed', path: codec, explanation: outcome.why });
  const refusals = new Refusals();
  const { readings, skipped } = takeCodecData(outcome.data, uplink, context, refusals);
  return { readings, refused: refusals.list(), skipped };
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

/**
 * The dead letter of one reading that the store refuses, as a payload that can be published again and is then the same
 * reading. A payload can tell a time in whole ms by a clock that is trusted. Any other time is told as the receipt of the
 * letter, by which a payload without a time is dated.
 */
export function rejectedByStore(reading: Reading, explanation: string, now: number): DeadLetter {
  const { farm, sensor, ts, values, received, deviceTs } = reading;
  const isTold = subOf(ts) === 0 && deviceTs === undefined;
  const payload = new TextEncoder().encode(JSON.stringify(isTold ? { ts, values } : { values }));
  const topic = telemetryTopic(farm, sensor);
  const publish: Publish = { farm, field: '', sensor, topic, payload, received: isTold ? received : ts };
  return { publish, reason: 'store_rejected', explanation: explanation.slice(0, MAX_EXPLANATION), at: now };
}
