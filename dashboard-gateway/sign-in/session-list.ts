import type { Log } from '../../backbone/ports/log.ts';
import { RecentFollower } from '../../backbone/ports/recent-follower.ts';
import { EncodingInvalid, explain, LogUnavailable } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { backoff, pause, withDeadline } from '../../core/timing.ts';
import {
  decodeSessionEntry,
  encodeSessionEntry,
  type SessionBegun,
  type SessionEntry,
} from '../../telemetry/session-entry.ts';

/** Most sessions of all users, and of one. At one more the oldest is over. */
const MOST_SESSIONS = 50_000;
const MOST_OF_USER = 1_000;
/** So long after its begin a session is good though this gateway has not heard of it: the log takes a moment from one gateway to another. */
const UNHEARD_MS = 60_000;
/** How long who ends a session waits until all gateways can know. */
const WRITE_MS = 5_000;
/** Most entries that wait for the log. At the limit further ones are not written: other gateways then do not know. */
const MOST_WAITING = 1_000;
const FIRST_RETRY_MS = 100;
const MOST_RETRY_MS = 5_000;

/** A session that is good. Times are Unix ms. */
export interface KnownSession extends SessionBegun {
  /** When it was used last, to the hour, and from where. */
  readonly usedAt: number;
  readonly usedFrom: string;
}

interface Listed {
  session: KnownSession;
  isEnded: boolean;
}

interface WaitingEntry {
  readonly entry: SessionEntry;
  readonly written: () => void;
}

export interface SessionListOptions {
  readonly log: Log;
  readonly logger: Logger;
  /** Unix ms, counted on by the time that passes: that the clock is set ends no session. */
  readonly now: () => number;
  readonly metrics?: Metrics | undefined;
}

/**
 * Who is signed in where, and what of that was ended, as the log of sessions says: every gateway writes it, and every gateway follows it. What is
 * done here holds here at once, and elsewhere when the log has it.
 */
export class SessionList {
  readonly counts = { begun: 0, ended: 0, dropped: 0, unwritten: 0, unreadable: 0 };
  private readonly log: Log;
  private readonly logger: Logger;
  private readonly now: () => number;
  private readonly follower: RecentFollower;
  private readonly stopping = new AbortController();
  /** In the order of their begins. */
  private readonly sessions = new Map<string, Listed>();
  private readonly ofUsers = new Map<string, Set<string>>();
  private readonly listeners = new Set<() => void>();
  private waiting: WaitingEntry[] = [];
  private writing: Promise<void> | undefined;

  constructor({ log, logger, now, metrics }: SessionListOptions) {
    this.log = log;
    this.logger = logger;
    this.now = now;
    this.follower = new RecentFollower(log, logger, ({ body }) => this.heard(body));
    metrics?.gauge('loam_sessions', 'Sessions of people and programs that are signed in', () => this.size);
    metrics?.counts('loam_sessions_total', 'Sessions by what became of them, and entries of their log', () => ({
      ...this.counts,
    }));
  }

  /** How many sessions are good. */
  get size(): number {
    let count = 0;
    for (const { isEnded, session } of this.sessions.values()) if (!isEnded && session.ends > this.now()) count += 1;
    return count;
  }

  /** Resolves when the log was read, or after ten seconds: then it goes on in the background. Never rejects. */
  start(): Promise<void> {
    return this.follower.start();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.follower.stop();
    await this.writing;
  }

  /** Whether a session may be used: it was begun at `begun` (Unix ms), and nobody has ended it. */
  isGood(id: string, begun: number): boolean {
    const known = this.sessions.get(id);
    if (known) return !known.isEnded;
    return this.now() - begun < UNHEARD_MS;
  }

  begin(entry: SessionBegun): void {
    this.counts.begun += 1;
    this.take(entry);
    this.write(entry, () => {});
  }

  used(id: string, address: string): void {
    const entry = { kind: 'used', id, address, at: this.now() } as const;
    this.take(entry);
    this.write(entry, () => {});
  }

  /**
   * Ends a session. It is over here at once. Resolves when the other gateways can know; rejects with LogUnavailable when that takes too long, and
   * goes on trying.
   */
  async end(id: string): Promise<void> {
    const entry = { kind: 'ended', id, at: this.now() } as const;
    this.counts.ended += 1;
    this.take(entry);
    const written = new Promise<void>((resolve) => this.write(entry, resolve));
    try {
      await withDeadline(written, WRITE_MS, 'the log of sessions does not take it');
    } catch (cause) {
      throw new LogUnavailable('it has ended here, and other gateways do not know yet', { cause });
    }
  }

  /** The good sessions of a user who has the password of `fingerprint`, the newest first. */
  of(user: string, fingerprint: string): KnownSession[] {
    const all = [...(this.ofUsers.get(user) ?? [])].flatMap((id) => this.sessions.get(id) ?? []);
    const good = all.filter(({ isEnded, session }) => {
      return !isEnded && session.fingerprint === fingerprint && session.ends > this.now();
    });
    return good.map(({ session }) => session).reverse();
  }

  /** Calls `listener` when a session was ended, here or elsewhere; returns the function that stops that. */
  watchEnds(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private heard(body: Uint8Array): void {
    try {
      this.take(decodeSessionEntry(body));
    } catch (error) {
      // Of a newer version, or damaged.
      if (!(error instanceof EncodingInvalid)) throw error;
      this.counts.unreadable += 1;
    }
  }

  /** An entry comes twice where it was made: at once, and by the log. */
  private take(entry: SessionEntry): void {
    const known = this.sessions.get(entry.id);
    if (entry.kind === 'begun') {
      if (!known) this.add(entry);
    } else if (entry.kind === 'used') {
      // The log may tell what is older than what was taken here.
      if (known && known.session.usedAt <= entry.at)
        known.session = { ...known.session, usedAt: entry.at, usedFrom: entry.address };
    } else if (!known?.isEnded) {
      if (known) known.isEnded = true;
      // Its begin was not heard of yet: whoever says now that it has begun is too late.
      else this.put({ session: unheard(entry.id, entry.at), isEnded: true });
      for (const listener of this.listeners) listener();
    }
  }

  private add(session: SessionBegun): void {
    this.put({ session: { ...session, usedAt: session.at, usedFrom: session.address }, isEnded: false });
    const own = this.ofUsers.get(session.user) ?? new Set();
    this.ofUsers.set(session.user, own.add(session.id));
    for (const id of own) {
      const ends = this.sessions.get(id)?.session.ends ?? 0;
      if (ends > this.now() && own.size <= MOST_OF_USER) continue;
      if (ends > this.now()) this.counts.dropped += 1;
      this.forget(id);
    }
  }

  private put(listed: Listed): void {
    this.sessions.set(listed.session.id, listed);
    for (const id of this.sessions.keys()) {
      if (this.sessions.size <= MOST_SESSIONS) break;
      this.counts.dropped += 1;
      this.forget(id);
    }
  }

  private forget(id: string): void {
    const user = this.sessions.get(id)?.session.user ?? '';
    this.sessions.delete(id);
    const own = this.ofUsers.get(user);
    own?.delete(id);
    if (own?.size === 0) this.ofUsers.delete(user);
  }

  private write(entry: SessionEntry, written: () => void): void {
    if (this.waiting.length >= MOST_WAITING || this.stopping.signal.aborted) {
      this.counts.unwritten += 1;
      return;
    }
    this.waiting.push({ entry, written });
    this.writing ??= this.writeAll();
  }

  /** Never rejects. What the log does not take is tried again until the gateway stops. */
  private async writeAll(): Promise<void> {
    for (let failures = 0, next = this.waiting[0]; next; next = this.waiting[0]) {
      try {
        await this.log.append(encodeSessionEntry(next.entry));
        this.waiting.shift();
        failures = 0;
        next.written();
      } catch (error) {
        if (this.stopping.signal.aborted) break;
        if (failures === 0) this.logger.warn(`the log of sessions is away: ${explain(error)}`);
        await pause(backoff(failures++, FIRST_RETRY_MS, MOST_RETRY_MS), this.stopping.signal);
      }
    }
    this.counts.unwritten += this.waiting.splice(0).length;
    this.writing = undefined;
  }
}

/** In the place of a session of which only its end is known. */
function unheard(id: string, at: number): KnownSession {
  const from = { user: '', fingerprint: '', address: '', agent: '', by: 'program' } as const;
  return { kind: 'begun', id, ...from, at, ends: at, usedAt: at, usedFrom: '' };
}
