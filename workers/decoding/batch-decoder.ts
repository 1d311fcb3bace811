import { LRUCache } from 'lru-cache';
import { type Batch, decodeBatch, encodeBatch } from '../../telemetry/batch.ts';
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
import { UNPACKING } from './thread-messages.ts';

/** For so long after it stopped the thread, a sensor's publishes are left to the slow queue unread, ms. */
const SUSPECT_MS = 600_000;
const MOST_SUSPECTS = 10_000;
/** When the thread was stopped so often by one message, the rest of the message is left to the slow queue. */
const MOST_FAILURES = 3;

/**
 * Decodes whole messages, without codecs. A publish that needs one, or that stops the thread, is left to the slow queue: the others of its
 * message are decoded at once. So it takes others the time limit, and at most three of them for a message. A sensor that stopped the
 * thread is then left to the slow queue for ten minutes.
 */
export class BatchDecoder implements Decoder {
  private readonly parts: DecoderParts;
  private readonly thread: DecodeThread;
  private readonly suspects = new LRUCache<string, true>({ max: MOST_SUSPECTS, ttl: SUSPECT_MS });

  constructor(parts: DecoderParts) {
    this.parts = parts;
    const { registry, limitMs, waits, progressed, lost } = parts;
    const apart = () => [...this.suspects.keys()];
    this.thread = new DecodeThread({ registry, limitMs, apart, waits, progressed, lost });
    this.thread.start();
  }

  get trouble(): string | undefined {
    return this.thread.trouble;
  }

  get isStarting(): boolean {
    return this.thread.isStarting;
  }

  async *decode(body: Uint8Array, whole: PublishRange = WHOLE): AsyncIterable<DecodedBatch> {
    const waiting = [whole];
    let failures = 0;
    for (let part = waiting.shift(); part; part = waiting.shift()) {
      const outcome = await this.thread.run(body, part);
      if (outcome.is === 'decoded') {
        if (outcome.rest !== undefined) waiting.unshift({ from: outcome.rest, to: part.to });
        yield decodedOf(outcome);
      } else if (outcome.is === 'unreadable') yield decodedOfUnreadable(body);
      else {
        failures += 1;
        const { why, place } = outcome;
        // It has not come to any publish.
        if (place === UNPACKING) {
          if (failures < MOST_FAILURES) waiting.unshift(part);
          else yield decodedOfUnreadable(body);
          continue;
        }
        const batch = decodeBatch(body);
        const { from } = part;
        const to = Math.min(part.to, batch.publishes.length);
        const isKnown = place >= from && place < to && failures < MOST_FAILURES;
        yield this.leftApart(batch, isKnown ? { from: place, to: place + 1 } : { from, to }, why);
        if (!isKnown) continue;
        if (place + 1 < to) waiting.unshift({ from: place + 1, to });
        if (from < place) waiting.unshift({ from, to: place });
      }
    }
  }

  close(): Promise<void> {
    return this.thread.close();
  }

  private leftApart(batch: Batch, { from, to }: PublishRange, why: string): DecodedBatch {
    const publishes = batch.publishes.slice(from, to);
    const [first] = publishes;
    if (first && publishes.length === 1) {
      const { farm, sensor } = first;
      this.suspects.set(`${farm}/${sensor}`, true);
      this.parts.log.warn({ farm, sensor }, `a publish is left to the slow queue: ${why}`);
    } else {
      this.parts.log.warn({ batch: batch.id }, `${publishes.length} publishes are left to the slow queue: ${why}`);
    }
    const id = `${batch.id}#${from}-${to}#apart`;
    return { ...NOTHING_DECODED, apart: [encodeBatch({ ...batch, id, publishes })] };
  }
}
