import { randomInt } from 'node:crypto';
import { microsOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';

/** Another value of the same farm, sensor, metric and time came before, in `batch`. */
export interface EarlierValue {
  readonly metric: string;
  readonly old: number;
  readonly new: number;
  readonly batch: string;
}

const NONE: readonly EarlierValue[] = [];
const TWO_32 = 2 ** 32;
/** What the link of a place says when a later value has replaced the one there. */
const REPLACED = 0xffff_ffff;

// A place is 32 bytes. These are the positions in it, by 4 bytes; the value takes the last 8 of them.
const PLACE = 8;
const READING = 0;
const VALUE_1 = 1;
const VALUE_2 = 2;
const ENTRY = 3;
const LINK = 4;
const NUMBER = 3;

/**
 * The latest values, at most `limit` of all farms together, by farm, sensor, time and metric; older ones are forgotten.
 * It finds a value that differs from the one that came before under the same key.
 *
 * Every value passes here, so nothing is allocated for one, and few places of memory are touched that are not in the
 * processor's cache: a value has 32 bytes of one buffer, beside the other values of its reading, which are all in one
 * bucket. Keys are compared by their hashes: 64 bits of farm, sensor and time, with the metric mixed in. Two keys of one
 * hash would be taken for the same; at ten thousand readings a second that is to be expected once in some centuries. The
 * hash begins with random numbers, so that nobody can choose ids for that.
 */
export class RecentValues {
  private readonly limit: number;
  private readonly mask: number;
  // A value's place is its number modulo `limit`: the next value takes the place of the oldest.
  private readonly places: Uint32Array;
  private readonly numbers: Float64Array;
  /** The first place of each bucket's list, plus one; 0 for none. Links are the next place likewise. */
  private readonly buckets: Uint32Array;
  /** The batch of each entry, at the entry's number modulo `limit`: no more entries than values are remembered. */
  private readonly batches: string[] = [];
  private readonly seed1 = randomInt(TWO_32);
  private readonly seed2 = randomInt(TWO_32);
  private hash1 = 0;
  private hash2 = 0;
  private next = 0;
  private taken = 0;
  private entry = 0;

  /** `limit` is a power of two. */
  constructor(limit: number) {
    this.limit = limit;
    this.mask = limit - 1;
    const buffer = new ArrayBuffer(limit * PLACE * 4);
    this.places = new Uint32Array(buffer);
    this.numbers = new Float64Array(buffer);
    this.buckets = new Uint32Array(limit);
  }

  /** The readings taken from now on are of one entry of the live log, with the id of its batch. */
  begin(batch: string): void {
    this.entry = (this.entry + 1) & this.mask;
    this.batches[this.entry] = batch;
  }

  /** Remembers a reading's values, and answers which of them differ from an earlier one. A batch that comes again has no news. */
  take({ farm, sensor, ts, values }: Reading): readonly EarlierValue[] {
    let found: EarlierValue[] | undefined;
    this.hash1 = this.seed1;
    this.hash2 = this.seed2;
    this.mix(farm);
    this.mix(sensor);
    const micros = microsOf(ts);
    this.mixNumber(micros % TWO_32);
    this.mixNumber(Math.floor(micros / TWO_32));
    const { hash1, hash2 } = this;
    const reading = finished(hash1, hash2);
    for (const metric in values) {
      const value = values[metric];
      if (value === undefined) continue;
      this.hash1 = hash1;
      this.hash2 = hash2;
      this.mix(metric);
      const earlier = this.replace(reading, value);
      if (earlier === undefined) continue;
      found ??= [];
      found.push({ metric, ...earlier, new: value });
    }
    return found ?? NONE;
  }

  /** Puts `value` under the key that was mixed; the earlier value when it was another one, of another message. */
  private replace(reading: number, value: number): { old: number; batch: string } | undefined {
    const value1 = finished(this.hash1, this.hash2);
    const value2 = finished(this.hash2, this.hash1);
    const before = this.unlink(reading, value1, value2);
    if (before === undefined) {
      this.place(reading, value1, value2, value);
      return undefined;
    }
    // It is read first: the place of the oldest value is taken next, and that may be this one.
    const old = this.numbers[before * (PLACE / 2) + NUMBER] ?? value;
    const entry = this.at(before, ENTRY);
    this.place(reading, value1, value2, value);
    return old === value || this.isSameAgain(entry) ? undefined : { old, batch: this.batches[entry] ?? '' };
  }

  /** Takes the value with this key out of its bucket's list, and answers its place; undefined when there is none. */
  private unlink(reading: number, value1: number, value2: number): number | undefined {
    const bucket = reading & this.mask;
    let before = -1;
    for (let link = this.buckets[bucket] ?? 0; link !== 0; ) {
      const place = link - 1;
      const following = this.at(place, LINK);
      if (
        this.at(place, VALUE_1) === value1 &&
        this.at(place, VALUE_2) === value2 &&
        this.at(place, READING) === reading
      ) {
        if (before < 0) this.buckets[bucket] = following;
        else this.places[before * PLACE + LINK] = following;
        this.places[place * PLACE + LINK] = REPLACED;
        return place;
      }
      before = place;
      link = following;
    }
    return undefined;
  }

  private place(reading: number, value1: number, value2: number, value: number): void {
    const { next, places } = this;
    if (this.taken < this.limit) this.taken++;
    else if (this.at(next, LINK) !== REPLACED) {
      this.unlink(this.at(next, READING), this.at(next, VALUE_1), this.at(next, VALUE_2));
    }
    const bucket = reading & this.mask;
    const first = next * PLACE;
    places[first + READING] = reading;
    places[first + VALUE_1] = value1;
    places[first + VALUE_2] = value2;
    places[first + ENTRY] = this.entry;
    places[first + LINK] = this.buckets[bucket] ?? 0;
    this.numbers[next * (PLACE / 2) + NUMBER] = value;
    this.buckets[bucket] = next + 1;
    this.next = (next + 1) & this.mask;
  }

  private at(place: number, position: number): number {
    return this.places[place * PLACE + position] ?? 0;
  }

  /**
   * Whether the batch of an earlier entry is delivered again now. A batch that is tried again in parts gives them ids
   * that begin with its own and `#`. Two readings of one entry are of two publishes, so they are not the same.
   */
  private isSameAgain(entry: number): boolean {
    if (entry === this.entry) return false;
    return rootOf(this.batches[entry] ?? '') === rootOf(this.batches[this.entry] ?? '');
  }

  private mix(text: string): void {
    let { hash1, hash2 } = this;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      hash1 = Math.imul(hash1 ^ code, 0x9e3779b1);
      hash2 = Math.imul(hash2 ^ code, 0x5f356495);
    }
    // The end of a text counts too, so that the same letters cut elsewhere are another key.
    this.hash1 = Math.imul(hash1 ^ (hash1 >>> 15) ^ 0x100, 0x9e3779b1);
    this.hash2 = Math.imul(hash2 ^ (hash2 >>> 13) ^ 0x100, 0x5f356495);
  }

  private mixNumber(number: number): void {
    const hash1 = Math.imul(this.hash1 ^ number, 0x9e3779b1);
    const hash2 = Math.imul(this.hash2 ^ number, 0x5f356495);
    this.hash1 = hash1 ^ (hash1 >>> 15);
    this.hash2 = hash2 ^ (hash2 >>> 13);
  }
}

function rootOf(batch: string): string {
  const end = batch.indexOf('#');
  return end < 0 ? batch : batch.slice(0, end);
}

/** Spreads what was mixed over all 32 bits. */
function finished(hash: number, other: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) ^ Math.imul(other ^ (other >>> 13), 0xc2b2ae35);
  return (once ^ (once >>> 16)) >>> 0;
}
