import { parentPort, workerData } from 'node:worker_threads';
import { clock } from '../../core/clock.ts';
import { EncodingInvalid, explain } from '../../core/errors.ts';
import { isLate } from '../../telemetry/backfill.ts';
import { type Batch, decodeBatch, encodeBatch, encodeLive } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { ReadingRegistryCopy } from '../../telemetry/reading-registry.ts';
import { CODEC_LIMITS } from '../codecs/codec.ts';
import { CodecFiles } from '../codecs/codec-files.ts';
import { RegistryCodecs } from '../codecs/registry-codecs.ts';
import { Sandbox } from '../codecs/sandbox.ts';
import { createValidate, type Validate } from '../validate.ts';
import {
  type DecodedInThread,
  type DecodeJob,
  type DecodeSettings,
  type FromThread,
  type JobOutcome,
  PACKING,
  PLACE,
  PLACE_BYTES,
  PLACES,
  STEPS,
  type ToThread,
  UNPACKING,
} from './thread-messages.ts';

/**
 * The thread that decodes: everything that looks into a payload runs here, so that nothing in a payload can stop the process. It may be
 * ended at any moment.
 */
const settings: DecodeSettings = workerData;
const progress = new Int32Array(settings.progress);
const input = new Uint8Array(settings.input);
// Text decoders do not take shared memory.
const copied = new Uint8Array(PLACE_BYTES);
/** Undefined until something of a registry has come. */
let registry: ReadingRegistryCopy | undefined;
/** With more readings than these, the rest of a message is another part: memory has to be bounded, whatever is in a message. */
const MOST_READINGS = 20_000;

// Not awaited: V8 (of Node 20) aborts the whole process when a thread is ended while a module of it waits to be loaded.
void begin();

/** Begins to take messages. */
async function begin(): Promise<void> {
  const { codecFolder, apart, waits } = settings;
  const sandbox = codecFolder === undefined ? undefined : await Sandbox.open(CODEC_LIMITS);
  const codecs =
    sandbox && codecFolder !== undefined
      ? new RegistryCodecs(() => registry?.codecs, sandbox, new CodecFiles(codecFolder, sandbox))
      : undefined;
  const validate = createValidate({
    mostReadings: MOST_READINGS,
    registry: { current: () => registry },
    codecs,
    apart: new Set(apart),
    waits,
  });
  parentPort?.on('message', (message: ToThread) => {
    if ('rules' in message) {
      registry ??= new ReadingRegistryCopy();
      registry.apply(message.rules);
      return;
    }
    const outcome = outcomeOf(message, validate);
    // The main thread counts only steps: without this one it would take the time until its next look for a hang.
    Atomics.add(progress, STEPS, 1);
    const answer: FromThread = { id: message.id, outcome };
    parentPort?.postMessage(answer, outcome.is === 'decoded' ? [...buffersOf(outcome)] : []);
  });
  const ready: FromThread = { ready: true };
  parentPort?.postMessage(ready);
}

function outcomeOf(job: DecodeJob, validate: Validate): JobOutcome {
  enter(UNPACKING);
  try {
    return decode(job, validate);
  } catch (error) {
    const place = Atomics.load(progress, PLACE);
    if (place === UNPACKING && error instanceof EncodingInvalid) return { is: 'unreadable' };
    return { is: 'failed', why: explain(error), place };
  }
}

function decode({ id: jobId, body, from, to }: DecodeJob, validate: Validate): DecodedInThread {
  const begun = clock.passed();
  const now = clock.now();
  const whole = decodeBatch(typeof body === 'number' ? fromInput(jobId % PLACES, body) : body);
  const asked = partOf(whole, from, to);
  const {
    readings: found,
    dead,
    apart,
    undated,
    taken,
    skipped,
  } = validate(asked, now, (place) => enter(from + place));
  enter(PACKING);
  const batch = taken === asked.publishes.length ? asked : partOf(whole, from, from + taken);
  const { id, origin, publishes } = batch;
  const readings = origin === 'replay' ? asBackfill(found, now) : found;
  const left = new Set([...apart, ...undated]);
  const done = left.size === 0 ? publishes : publishes.filter((publish) => !left.has(publish));
  return {
    is: 'decoded',
    batch: id,
    rest: from + taken < Math.min(to, whole.publishes.length) ? from + taken : undefined,
    origin,
    // A copy that fits: the packer's buffer is larger than what it packs, and is used again.
    live: new Uint8Array(encodeLive({ id, readings })),
    dead,
    apart: apart.length === 0 ? undefined : encodedPart(batch, 'apart', apart),
    undated: undated.length === 0 ? undefined : encodedPart(batch, 'undated', undated),
    publishes: countByFarm(done),
    // A replayed publish was received long ago, but has not waited since: its receipt must not count as its age.
    oldest: origin === 'replay' || publishes.length === 0 ? undefined : oldestOf(publishes),
    skipped,
    ms: clock.passed() - begun,
  };
}

function fromInput(place: number, bytes: number): Uint8Array {
  const begin = place * PLACE_BYTES;
  copied.set(input.subarray(begin, begin + bytes));
  return copied.subarray(0, bytes);
}

function enter(place: number): void {
  Atomics.store(progress, PLACE, place);
  Atomics.add(progress, STEPS, 1);
}

/** Publishes `from` to `to` of a batch. A part is a batch of its own, with the same id each time that it is divided in this way. */
function partOf(batch: Batch, from: number, to: number): Batch {
  const publishes = batch.publishes.slice(from, to);
  if (publishes.length === batch.publishes.length) return batch;
  return { ...batch, id: `${batch.id}#${from}-${from + publishes.length}`, publishes };
}

/** A copy of its own, with an id of its own. */
function encodedPart(batch: Batch, name: string, publishes: Batch['publishes']): Uint8Array {
  return new Uint8Array(encodeBatch({ ...batch, id: `${batch.id}#${name}`, publishes }));
}

/**
 * Marks the readings of a replay that are old by now as backfill. One without a time of its own is dated by its
 * receipt, so comparing it with its receipt would never show that it is old.
 */
function asBackfill(readings: readonly Reading[], now: number): readonly Reading[] {
  return readings.map((reading) =>
    isLate({ ts: reading.ts, received: now }) ? { ...reading, backfill: true } : reading,
  );
}

function countByFarm(publishes: Batch['publishes']): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { farm } of publishes) counts.set(farm, (counts.get(farm) ?? 0) + 1);
  return counts;
}

function oldestOf(publishes: Batch['publishes']): number {
  return publishes.reduce((oldest, { received }) => Math.min(oldest, received), Number.POSITIVE_INFINITY);
}

/** What is handed over to the main thread instead of being copied. */
function* buffersOf({ live, apart, undated }: DecodedInThread): Iterable<ArrayBuffer> {
  for (const bytes of [live, apart, undated]) if (bytes?.buffer instanceof ArrayBuffer) yield bytes.buffer;
}
