import { createHash } from 'node:crypto';
import { MESSAGE_BYTES, SEEN_BYTES, type SourceEntry, TOPIC_BYTES } from '../../telemetry/source-entry.ts';

/** Topics of a source whose last message is known. At one more, the topic that was quiet longest is forgotten. */
const MOST_TOPICS = 10_000;
/** Topics that may be subscribed in a session: those of the registry, and those that could not be unsubscribed yet. */
const MOST_FILTERS = 500;

/** What Loam knows of its session at one source: what it has subscribed there, and the last message of each topic. */
export class SourceSession {
  readonly source: string;
  /** Names the session at the other broker. */
  readonly session: string;
  /** What may be subscribed, with the QoS that was granted; -1 while that is not known. */
  readonly filters = new Map<string, number>();
  /** By the digest of a topic, that of its last message. */
  private readonly seen: Map<string, string>;
  /** Whether it has changed since it was written down. */
  isNew = false;

  /** `before` is what was known of the source, also in another session. */
  constructor(source: string, session: string, before?: SourceSession) {
    this.source = source;
    this.session = session;
    this.seen = new Map(before?.seen);
  }

  /** The session in an entry of the log of sources. */
  static from({ source, session, filters, seen }: SourceEntry): SourceSession {
    const found = new SourceSession(source, session);
    for (const [filter, qos] of filters) found.filters.set(filter, qos);
    const bytes = Buffer.from(seen);
    for (let at = 0; at < bytes.length; at += SEEN_BYTES) {
      const key = bytes.toString('base64', at, at + TOPIC_BYTES);
      found.seen.set(key, bytes.toString('base64', at + TOPIC_BYTES, at + SEEN_BYTES));
    }
    return found;
  }

  toEntry(): SourceEntry {
    const digests = [...this.seen].flatMap(([key, message]) => [
      Buffer.from(key, 'base64'),
      Buffer.from(message, 'base64'),
    ]);
    return { source: this.source, session: this.session, filters: [...this.filters], seen: Buffer.concat(digests) };
  }

  /** What was read from the log later is older than what is known here. */
  addOlder(older: SourceSession): void {
    for (const [key, message] of [...older.seen].reverse()) {
      if (this.seen.size < MOST_TOPICS && !this.seen.has(key)) this.seen.set(key, message);
    }
    if (older.session !== this.session) return;
    for (const [filter, qos] of older.filters) if (!this.filters.has(filter)) this.subscribed(filter, qos);
  }

  subscribed(filter: string, qos: number): void {
    this.filters.set(filter, qos);
    const [oldest] = this.filters.keys();
    if (this.filters.size > MOST_FILTERS && oldest !== undefined) this.filters.delete(oldest);
    this.isNew = true;
  }

  unsubscribed(filters: readonly string[]): void {
    for (const filter of filters) this.filters.delete(filter);
    this.isNew = true;
  }

  /** Whether the last message of this topic had the same bytes. */
  wasLast(topic: string, payload: Buffer): boolean {
    return this.seen.get(keyOf(topic)) === digestOf(topic, payload);
  }

  /** Keeps it as the last message of its topic. Returns whether another topic had to be forgotten for it. */
  saw(topic: string, payload: Buffer): boolean {
    const key = keyOf(topic);
    // The map keeps the order of insertion, so the first is the topic that was quiet longest.
    this.seen.delete(key);
    this.seen.set(key, digestOf(topic, payload));
    this.isNew = true;
    const [oldest] = this.seen.keys();
    if (this.seen.size <= MOST_TOPICS || oldest === undefined) return false;
    this.seen.delete(oldest);
    return true;
  }
}

function keyOf(topic: string): string {
  return createHash('sha256').update(topic).digest().toString('base64', 0, TOPIC_BYTES);
}

function digestOf(topic: string, payload: Buffer): string {
  const hash = createHash('sha256').update(topic).update('\0').update(payload);
  return hash.digest().toString('base64', 0, MESSAGE_BYTES);
}
