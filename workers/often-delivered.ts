import type { Log } from '../backbone/ports/log.ts';
import type { Logger } from '../core/logger.ts';
import type { DeadLetter } from '../telemetry/batch.ts';
import type { PublishRange } from './decoding/decoder.ts';
import { isOutage, type OutageGate } from './outage-gate.ts';
import { PoisonIsolation } from './poison-isolation.ts';

export interface OftenDeliveredParts {
  /** Opens the log `trials`, where attempts are recorded, when it is needed for the first time. */
  readonly openTrials: () => Promise<Log>;
  readonly log: Logger;
  /** Aborted when the worker gives up what it has at work. */
  readonly signal: AbortSignal;
  /** Those of the ports that a message may wait for. */
  readonly gates: readonly OutageGate[];
  /** Works on publishes of a message. Resolves when all that became of them is on disk. */
  readonly workOn: (body: Uint8Array, part: PublishRange) => Promise<void>;
  readonly setAside: (letter: DeadLetter) => Promise<void>;
}

/** The two ways in which a message can be worked on. */
export interface WaysToWork {
  /** Beside others. */
  readonly inCompany: () => Promise<void>;
  /** Calls `work` when nothing else is at work in the process, and lets nothing in until it has ended. */
  readonly alone: (work: () => Promise<void>) => Promise<void>;
}

/** Works on messages that were delivered so often that they may be what kills workers, as `PoisonIsolation` says. */
export class OftenDelivered {
  private readonly parts: OftenDeliveredParts;
  private readonly isolation: PoisonIsolation;

  constructor(parts: OftenDeliveredParts) {
    this.parts = parts;
    const { openTrials: open, log, signal } = parts;
    this.isolation = new PoisonIsolation({ open, log, signal });
  }

  /** Resolves when the message was worked off; what cannot be is set aside. Rejects as the two ways do. */
  async process(body: Uint8Array, { inCompany, alone }: WaysToWork): Promise<void> {
    const attempt = await this.isolation.inCompany(body);
    if (!attempt) return await alone(() => this.partByPart(body));
    const unwatch = this.whenAway(attempt.ended);
    try {
      await inCompany();
      await attempt.ended();
    } catch (error) {
      if (this.isNoFault(error)) await attempt.ended();
      throw error;
    } finally {
      unwatch();
    }
  }

  private async partByPart(body: Uint8Array): Promise<void> {
    const isolated = await this.isolation.of(body);
    const unwatch = this.whenAway(() => isolated.interrupted());
    try {
      for (let verdict = await isolated.next(); verdict; verdict = await isolated.next()) {
        if (verdict.is === 'poison') {
          await this.parts.setAside(verdict.letter);
          continue;
        }
        try {
          await this.parts.workOn(body, verdict.part);
          await isolated.done();
        } catch (error) {
          if (this.isNoFault(error)) {
            await isolated.interrupted();
            throw error;
          }
          isolated.failed(error);
        }
      }
    } finally {
      unwatch();
    }
  }

  /** Whether work that ended with this error ended because of something else than what was worked on. */
  private isNoFault(error: unknown): boolean {
    return this.parts.signal.aborted || isOutage(error);
  }

  /** Calls `end` when a port is away: a worker that is stopped while it waits has not died of what it holds. Returns a function to stop that. */
  private whenAway(end: () => Promise<void>): () => void {
    // An attempt that is cut off may not await it; its rejection reaches who ends the attempt.
    const interrupt = () => void end().catch(() => {});
    const unwatch = this.parts.gates.map((gate) => gate.whenAway(interrupt));
    return () => {
      for (const stop of unwatch) stop();
    };
  }
}
