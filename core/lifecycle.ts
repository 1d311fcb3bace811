import { explain } from './errors.ts';
import type { Logger } from './logger.ts';
import { withDeadline } from './timing.ts';

/**
 * One part of a process. `start` resolves when the part does its work and rejects when it cannot; `stop` finishes the
 * work that the part has taken and resolves within `deadlineMs`.
 */
export interface Part {
  readonly name: string;
  start(): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
}

/** Whether one dependency can be worked with now; `why` says in a person's words what is wrong with it. */
export interface Health {
  readonly name: string;
  readonly ok: boolean;
  readonly why?: string;
  /** The process can work without this dependency: it is shown, but does not make the process unready. */
  readonly optional?: true;
  /** Who may see the name and the `why`, when not everybody who is signed in may. */
  readonly only?: HealthOf;
}

/** A part of one farm, or, without `farm`, of the whole installation. `kind` is its name where no more may be shown. */
export interface HealthOf {
  readonly kind: string;
  readonly farm?: string;
}

/** What `/readyz` answers: whether every dependency that is needed can be worked with, and each by name. */
export function readiness(given: readonly Health[]): { ok: boolean; checks: readonly Omit<Health, 'only'>[] } {
  const checks = joined(given).map(({ only: _, ...check }) => check);
  return { ok: checks.every((check) => check.ok || check.optional), checks };
}

/**
 * One check for each name: several roles may depend on one thing, and each knows something else of it. It is ok when
 * all its checks are, and otherwise `why` has all reasons. It is optional when every check that is not ok is (or every
 * check, when all are ok).
 */
export function joined(checks: readonly Health[]): Health[] {
  const byName = new Map<string, Health[]>();
  for (const check of checks) byName.set(check.name, [...(byName.get(check.name) ?? []), check]);
  return [...byName.values()].flatMap((ofName) => {
    const [first] = ofName;
    if (first === undefined || ofName.length === 1) return ofName;
    const { name, only } = first;
    const wrong = ofName.filter(({ ok }) => !ok);
    const why = [...new Set(wrong.flatMap((check) => check.why ?? []))].join('; ');
    const isOptional = (wrong.length > 0 ? wrong : ofName).every(({ optional }) => optional);
    return {
      name,
      ok: wrong.length === 0,
      ...(why === '' ? {} : { why }),
      ...(isOptional ? { optional: true as const } : {}),
      ...(only ? { only } : {}),
    };
  });
}

/**
 * Readiness as anybody may see it. Texts of errors are left out, because they name hosts, files and farms. A check that
 * only some people may see has its kind as its name.
 */
export function publicReadiness(given: readonly Health[]): ReturnType<typeof readiness> {
  return readiness(
    given.map(({ name, ok, optional, only }) => ({
      name: only?.kind ?? name,
      ok,
      ...(optional ? { optional } : {}),
    })),
  );
}

/** The state of a connection. Adapters without a connection are `up` until they are closed. */
export type ConnectionState =
  | { readonly is: 'up' }
  | { readonly is: 'down'; readonly since: number; readonly why: string }
  | { readonly is: 'closed' };

/**
 * A connection's state that others can watch. Listeners are called in order of registration, only when the state changes. While
 * it stays down `since` is when that began, and `why` is what was last said.
 */
export class Watched {
  private now: ConnectionState = { is: 'up' };
  private readonly listeners = new Set<(state: ConnectionState) => void>();

  get state(): ConnectionState {
    return this.now;
  }

  /** Calls `listener` at every change; returns a function that removes the listener. */
  watch(listener: (state: ConnectionState) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  set(next: ConnectionState): void {
    if (next.is === this.now.is) {
      if (next.is === 'down' && this.now.is === 'down') this.now = { ...next, since: this.now.since };
      return;
    }
    this.now = next;
    for (const listener of this.listeners) listener(next);
  }
}

/** A watched connection as one line of `/readyz`. */
export function healthOf(name: string, state: ConnectionState): Health {
  if (state.is === 'up') return { name, ok: true };
  return { name, ok: false, why: state.is === 'closed' ? 'closed' : state.why };
}

/**
 * Starts parts in order and stops what was started in reverse order, also when starting fails half way.
 *
 * The given order is from the screen to the sensor. A part that receives starts before the part that sends to it, and
 * the part that sends stops first.
 */
export class Lifecycle {
  private readonly started: { name: string; close: () => Promise<void> }[] = [];
  private readonly log: Logger;
  private end = 0;

  constructor(log: Logger) {
    this.log = log;
  }

  /** Starts one part. When it rejects, everything started before is stopped and the rejection is passed on. */
  async start(part: Part): Promise<void> {
    await this.hold(
      part.name,
      () => part.start(),
      () => part.stop(this.left()),
    );
  }

  /** Opens something that is closed in its turn when the lifecycle stops. Rejects as `start` does. */
  async hold<T>(name: string, open: () => Promise<T>, close: (held: T) => Promise<void>): Promise<T> {
    try {
      const held = await open();
      this.started.push({ name, close: () => close(held) });
      return held;
    } catch (error) {
      await this.stop(2_000);
      throw error;
    }
  }

  /** Stops every started part within `deadlineMs` in all. One that fails or is late is logged and does not hold up the others. */
  async stop(deadlineMs: number): Promise<void> {
    this.end = performance.now() + deadlineMs;
    for (let part = this.started.pop(); part; part = this.started.pop()) {
      const left = this.left();
      try {
        await withDeadline(part.close(), left, `${part.name} did not stop in ${left} ms`);
      } catch (error) {
        this.log.error({ part: part.name }, `stopping failed: ${explain(error)}`);
      }
    }
  }

  /** What is left of the deadline, ms. At least 200, so that the parts after a late one still have time to stop. */
  private left(): number {
    return Math.max(this.end - performance.now(), 200);
  }
}
