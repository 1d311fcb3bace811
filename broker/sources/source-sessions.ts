import type { Log } from '../../backbone/ports/log.ts';
import { EncodingInvalid, explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { pause, withDeadline } from '../../core/timing.ts';
import { decodeSourceEntry, encodeSourceEntry } from '../../telemetry/source-entry.ts';
import { SourceSession } from './source-session.ts';

const READ_AT_ONCE = 100;
const RETRY_MS = 1_000;
/** Sources wait so long for what is known of them; then they connect without it. */
const MOST_WAIT_MS = 10_000;
/** What was seen is written down so often, and when Loam is stopped. */
const WRITE_MS = 30_000;
/** An entry is written anew after so many rounds, so that those of busier sources do not push it out of the log. */
const ROUNDS_UNWRITTEN = 120;
/** A source does not wait longer than this until it is written down what it subscribes. */
const MOST_WRITE_MS = 2_000;

/**
 * What Loam knows of its sessions at the sources, over restarts: in the log of sources, whose newest entry of a source
 * counts. After a kill what was seen in the last 30 s may be missing. Then a retained message may be stored twice.
 */
export class SourceSessions {
  private readonly log: Log | undefined;
  private readonly logger: Logger;
  private readonly known = new Map<string, SourceSession>();
  private readonly writtenAt = new Map<string, number>();
  private readonly stopping = new AbortController();
  private loading: Promise<void> = Promise.resolve();
  private writing: Promise<void> = Promise.resolve();
  private isLoaded = false;
  private said = false;
  private rounds = 0;
  private timer: NodeJS.Timeout | undefined;

  /** Without a log nothing is known of earlier runs. */
  constructor(log: Log | undefined, logger: Logger) {
    this.log = log;
    this.logger = logger;
  }

  start(): void {
    const { log } = this;
    if (log === undefined) return;
    this.loading = this.load(log);
    this.timer = setInterval(() => {
      this.rounds += 1;
      void this.writeNew();
    }, WRITE_MS);
    this.timer.unref();
  }

  /** Resolves when the log was read; when it cannot be, after ten seconds or when `signal` is aborted. */
  async ready(signal: AbortSignal): Promise<void> {
    const waiting = AbortSignal.any([signal, this.stopping.signal]);
    await Promise.race([this.loading, pause(MOST_WAIT_MS, waiting)]);
  }

  /** What is known of the source in this session. What was seen in an earlier one is kept. */
  of(source: string, session: string): SourceSession {
    const before = this.known.get(source);
    if (before?.session === session) return before;
    const fresh = new SourceSession(source, session, before);
    fresh.isNew = true;
    this.known.set(source, fresh);
    return fresh;
  }

  /** The sessions of sources that `isThere` does not know: they were taken out. Nothing more is to be known of them. */
  async forgetExcept(isThere: (source: string) => boolean): Promise<SourceSession[]> {
    await this.loading;
    const gone = [...this.known.values()].filter(({ source }) => !isThere(source));
    await Promise.all(gone.map((session) => this.forget(session)));
    return gone.filter(({ filters }) => filters.size > 0);
  }

  /** Nothing more is to be known of this session, unless there is another of its source. */
  async forget({ source, session }: SourceSession): Promise<void> {
    if (this.known.get(source)?.session !== session) return;
    this.known.delete(source);
    await this.append(new SourceSession(source, ''));
  }

  /** Writes down what is new of a session. Resolves when it is kept, when it cannot be, or after two seconds. */
  async keep(session: SourceSession): Promise<void> {
    if (this.isLoaded && this.known.get(session.source) === session) await this.append(session);
  }

  /** Writes down what is new, and takes nothing more. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort();
    await Promise.race([this.loading, pause(MOST_WRITE_MS)]);
    await this.writeNew();
  }

  private async load(log: Log): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        const found = await readAll(log);
        for (const [source, session] of found) {
          const now = this.known.get(source);
          if (now) now.addOlder(session);
          else this.known.set(source, session);
        }
        this.isLoaded = true;
        return;
      } catch (error) {
        this.say(error);
        await pause(RETRY_MS, this.stopping.signal);
      }
    }
  }

  private async writeNew(): Promise<void> {
    if (!this.isLoaded) return;
    for (const session of [...this.known.values()]) {
      const isOld = this.rounds - (this.writtenAt.get(session.source) ?? 0) >= ROUNDS_UNWRITTEN;
      if (session.isNew || isOld) await this.append(session);
    }
  }

  /** One after the other: the newest entry of a source is the one that counts. */
  private append(session: SourceSession): Promise<void> {
    const { log } = this;
    if (log === undefined) return Promise.resolve();
    this.writing = this.writing.then(async () => {
      session.isNew = false;
      try {
        await withDeadline(
          log.append(encodeSourceEntry(session.toEntry())),
          MOST_WRITE_MS,
          'the log of sources does not answer',
        );
        this.writtenAt.set(session.source, this.rounds);
        this.said = false;
      } catch (error) {
        session.isNew = true;
        this.say(error);
      }
    });
    return this.writing;
  }

  private say(error: unknown): void {
    if (!this.said)
      this.logger.warn(
        { event: 'source_sessions_unkept' },
        `what is known of sources cannot be kept: ${explain(error)}`,
      );
    this.said = true;
  }
}

/** The newest entry of each source. Rejects with LogUnavailable. */
async function readAll(log: Log): Promise<Map<string, SourceSession>> {
  const found = new Map<string, SourceSession>();
  const { epoch, first, next } = await log.head();
  let offset = first;
  while (offset < next) {
    const entries = await log.read({ offset, epoch }, READ_AT_ONCE);
    for (const { body } of entries) take(found, body);
    const last = entries.at(-1);
    if (!last) break;
    offset = last.offset + 1;
  }
  return found;
}

function take(found: Map<string, SourceSession>, body: Uint8Array): void {
  try {
    const entry = decodeSourceEntry(body);
    if (entry.session === '') found.delete(entry.source);
    else found.set(entry.source, SourceSession.from(entry));
  } catch (error) {
    // Of a newer version, or damaged: what it says is not known. The worst is a retained message that is stored twice.
    if (!(error instanceof EncodingInvalid)) throw error;
  }
}
