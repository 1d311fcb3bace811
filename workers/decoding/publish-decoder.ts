import pLimit from 'p-limit';
import { clock } from '../../core/clock.ts';
import { clockRunOf } from '../../telemetry/account/batch-place.ts';
import { type Batch, type DeadLetter, encodeBatch, encodeLive, type Publish } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { readable } from '../readable.ts';
import { DecodeThread } from './decode-thread.ts';
import { decodedOf } from './decoded-in-thread.ts';
import {
  type DecodedBatch,
  type Decoder,
  type DecoderParts,
  decodedOfUnreadable,
  NOTHING_DECODED,
  type PublishRange,
  WHOLE,
} from './decoder.ts';
import type { JobOutcome } from './thread-messages.ts';
import { TimeBudget } from './time-budget.ts';

/** A publish that did not end in time is tried once more, alone in a fresh thread, with so many times the limit. */
const LAST_TRY = 10;
/** What a publish takes up to this is not counted, ms: every codec needs that much. */
const FREE_MS = 100;

/**
 * Decodes messages publish by publish, with codecs. A publish that stops the thread is tried once more, alone in a fresh thread with ten
 * times the time, while others go on; if that fails too, it becomes a dead letter.
 *
 * Time is given out by sensor and by farm (`TimeBudget`): whoever has used up theirs gets dead letters unread, and the others go on.
 */
export class PublishDecoder implements Decoder {
  private readonly parts: DecoderParts;
  private readonly thread: DecodeThread;
  /** Two at once: one is decoded while the other is on its way. The others wait here, where it can still be seen that their time is used up. */
  private readonly tries = pLimit(2);
  private readonly oneLastTry = pLimit(1);
  private readonly lastThreads = new Set<DecodeThread>();
  private readonly budget: TimeBudget;

  constructor(parts: DecoderParts) {
    this.parts = parts;
    this.thread = new DecodeThread(parts);
    this.budget = new TimeBudget(parts.limitMs);
  }

  get trouble(): string | undefined {
    return this.thread.trouble;
  }

  get isStarting(): boolean {
    return this.thread.isStarting;
  }

  async *decode(body: Uint8Array, { from, to }: PublishRange = WHOLE): AsyncIterable<DecodedBatch> {
    const batch = readable(body);
    if (!batch) return yield decodedOfUnreadable(body);
    const publishes = batch.publishes.slice(from, to);
    const found: Promise<DecodedBatch>[] = [];
    // One after the other, so that what the first ones took counts for the next.
    for (const publish of publishes) {
      const { answer } = await this.tried(batch, publish);
      // It is awaited below, unless another publish rejects before: then nobody is left to hear of it.
      answer.catch(() => {});
      found.push(answer);
    }
    const id = publishes.length === batch.publishes.length ? batch.id : `${batch.id}#${from}-${to}`;
    yield joined(id, batch, await Promise.all(found));
  }

  async close(): Promise<void> {
    await Promise.all([this.thread, ...this.lastThreads].map((thread) => thread.close()));
  }

  /** Resolves after the first try. The answer may come later, after the last try. */
  private async tried(batch: Batch, publish: Publish): Promise<{ readonly answer: Promise<DecodedBatch> }> {
    const body = encodeBatch({ ...batch, publishes: [publish] });
    const outcome = await this.tries(async () => (this.budget.isSpent(publish) ? 'paused' : this.thread.run(body)));
    if (outcome === 'paused') {
      return { answer: Promise.resolve(refused(batch, publish, 'decoding_paused', PAUSED)) };
    }
    const answer = this.answered(publish, outcome, this.parts.limitMs);
    return { answer: answer ? Promise.resolve(answer) : this.oneLastTry(() => this.lastTry(batch, publish, body)) };
  }

  private async lastTry(batch: Batch, publish: Publish, body: Uint8Array): Promise<DecodedBatch> {
    const { farm, sensor } = publish;
    const limitMs = this.parts.limitMs * LAST_TRY;
    let why = `it took longer than ${this.parts.limitMs} ms, and was not tried again: ${PAUSED}`;
    if (!this.budget.isSpent(publish)) {
      const outcome = await this.alone(body, limitMs);
      const answer = this.answered(publish, outcome, limitMs);
      if (answer) return answer;
      why = outcome.is === 'failed' ? `tried alone once more: ${outcome.why}` : '';
    }
    this.parts.log.warn({ farm, sensor }, `a publish cannot be decoded and is set aside: ${why}`);
    return refused(batch, publish, 'decoding_failed', why);
  }

  private async alone(body: Uint8Array, limitMs: number): Promise<JobOutcome> {
    const thread = new DecodeThread({ ...this.parts, limitMs });
    this.lastThreads.add(thread);
    try {
      return await thread.run(body);
    } finally {
      this.lastThreads.delete(thread);
      await thread.close();
    }
  }

  /** What became of a publish; undefined when it stopped its thread. `mostMs` is what it has taken then. */
  private answered(publish: Publish, outcome: JobOutcome, mostMs: number): DecodedBatch | undefined {
    if (outcome.is === 'decoded') this.budget.spend(publish, Math.min(outcome.ms, mostMs) - FREE_MS);
    else this.budget.spend(publish, mostMs);
    return outcome.is === 'decoded' ? decodedOf(outcome) : undefined;
  }
}

const PAUSED =
  'the sensor, or its farm, has used up the time for decoding. Mend the codec, or what the sensor sends, and replay it';

function refused(batch: Batch, publish: Publish, reason: string, explanation: string): DecodedBatch {
  const run = clockRunOf(batch.id);
  const dead: DeadLetter[] = [{ publish, reason, explanation, at: clock.now(), run }];
  const oldest = batch.origin === 'replay' ? undefined : publish.received;
  return { ...NOTHING_DECODED, dead, publishes: new Map([[publish.farm, 1]]), oldest };
}

/** The answers of all publishes of a message as one. */
function joined(id: string, { origin }: Batch, found: readonly DecodedBatch[]): DecodedBatch {
  const readings: Reading[] = [];
  const dead: DeadLetter[] = [];
  const undated: Uint8Array[] = [];
  const publishes = new Map<string, number>();
  let oldest: number | undefined;
  let skipped = 0;
  for (const one of found) {
    for (const reading of one.readings) readings.push(reading);
    dead.push(...one.dead);
    undated.push(...one.undated);
    for (const [farm, count] of one.publishes) publishes.set(farm, (publishes.get(farm) ?? 0) + count);
    if (one.oldest !== undefined) oldest = Math.min(oldest ?? one.oldest, one.oldest);
    skipped += one.skipped;
  }
  const live = encodeLive({ id, readings });
  return { id, origin, readings, live, dead, apart: [], undated, publishes, oldest, skipped };
}
