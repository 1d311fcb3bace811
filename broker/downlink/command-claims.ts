import type { Commands } from '../../backbone/commands/commands.ts';
import { clock } from '../../core/clock.ts';
import type { Claim } from '../../telemetry/command.ts';
import type { Subscriber } from '../sessions/subscribers.ts';

/** How long a claim keeps other brokers from sending. The claim of a broker that died blocks them no longer than this. */
const LEASE_MS = 30_000;
/** A broker renews its claim when the claim is this old. */
const RENEW_MS = 10_000;
/** A claim that was written to the log, and not read from it yet, is not written again for so long. */
const SETTLE_MS = 5_000;
/** Sensors whose claims are remembered. Without a claim a command may go to two sessions; its id makes that harmless. */
const MOST_CLAIMS = 100_000;

interface HeldClaim {
  readonly claim: Claim;
  /** When the claim was read from the log, or written to it; monotonic ms. */
  readonly at: number;
}

/**
 * Decides between brokers which session gets a sensor's commands. Before a broker sends, it writes a claim to the log
 * that all brokers follow. The sensor's own session comes before a bridge's, and a newer session before an older one.
 */
export class Claims {
  private readonly commands: Commands;
  private readonly broker: string;
  private readonly alone: boolean;
  private readonly held = new Map<string, HeldClaim>();
  /** Claims that were written to the log and not read from it yet. */
  private readonly asked = new Map<string, HeldClaim>();

  constructor(commands: Commands, broker: string, alone: boolean) {
    this.commands = commands;
    this.broker = broker;
    this.alone = alone;
  }

  /** Whether session `to` holds the claim on a sensor's commands. If not decided yet, claims it; `heard` reads the result. */
  holdsClaim(farm: string, sensor: string, to: Subscriber, own: boolean): boolean {
    if (this.alone) return true;
    const claim = { farm, sensor, session: `${this.broker}/${to.connection}`, since: to.since, own };
    const key = keyOf(claim);
    const now = clock.passed();
    const held = this.held.get(key);
    const age = now - (held?.at ?? Number.NEGATIVE_INFINITY);
    const mine = held?.claim.session === claim.session && age < LEASE_MS;
    const theirs = !mine && held !== undefined && age < LEASE_MS && isBefore(held.claim, claim);
    if (theirs || (mine && age < RENEW_MS)) return mine;
    const asked = this.asked.get(key);
    if (asked?.claim.session === claim.session && now - asked.at < SETTLE_MS) return mine;
    const asking = { claim, at: now };
    this.asked.set(key, asking);
    // Rejected while the log is away: the claim is written again when its sensor is tried again.
    this.commands.claim(claim).catch(() => {
      if (this.asked.get(key) === asking) this.asked.delete(key);
    });
    return mine;
  }

  /** Takes note of a claim that was read from the log. Returns whether this broker wrote it. */
  heard(claim: Claim): boolean {
    if (this.alone) return false;
    const key = keyOf(claim);
    const now = clock.passed();
    const held = this.held.get(key);
    const stands = held && held.claim.session !== claim.session && now - held.at < LEASE_MS;
    if (!stands || isBefore(claim, held.claim)) {
      this.held.delete(key);
      this.held.set(key, { claim, at: now });
      const oldest = this.held.size > MOST_CLAIMS ? this.held.keys().next().value : undefined;
      if (oldest !== undefined) this.held.delete(oldest);
    }
    if (!claim.session.startsWith(`${this.broker}/`)) return false;
    if (this.asked.get(key)?.claim.session === claim.session) this.asked.delete(key);
    return true;
  }

  /** Forgets claims that are too old. */
  sweep(): void {
    const now = clock.passed();
    for (const [key, { at }] of this.held) if (now - at > LEASE_MS) this.held.delete(key);
    for (const [key, { at }] of this.asked) if (now - at > SETTLE_MS) this.asked.delete(key);
  }
}

/** Whether claim `a` goes before claim `b`. */
function isBefore(a: Claim, b: Claim): boolean {
  if (a.own !== b.own) return a.own;
  return a.since !== b.since ? a.since > b.since : a.session > b.session;
}

function keyOf({ farm, sensor }: Claim): string {
  return `${farm}/${sensor}`;
}
