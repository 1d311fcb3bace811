import { isEmbedded } from '../backbone/open.ts';
import type { PolicyHarm, RabbitPlace } from '../backbone/rabbitmq/policies.ts';
import { vhostOf } from '../backbone/rabbitmq/refusal.ts';
import type { Config } from '../core/config.ts';
import { explain } from '../core/errors.ts';
import type { Health, Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import { pause } from '../core/timing.ts';

const EVERY_MS = 60_000;
/** How many harms `/readyz` tells; the log has all of them. */
const MOST_TOLD = 5;

type PolicySettings = Pick<Config, 'queue' | 'log' | 'rabbitmqApi'>;

/**
 * Asks RabbitMQ every minute whether a policy deletes what was acknowledged, and says so. Without `LOAM_RABBITMQ_API`
 * nobody knows, and that is said too.
 */
export class ServerPolicies implements Part {
  readonly name = 'rabbitmq policies';
  private readonly config: PolicySettings;
  private readonly log: Logger;
  private readonly everyMs: number;
  private readonly closing = new AbortController();
  private harms: readonly PolicyHarm[] = [];
  private unknown: string | undefined = 'not asked yet';
  private looking: Promise<void> | undefined;

  constructor(
    config: PolicySettings,
    { log, metrics, everyMs = EVERY_MS }: { log: Logger; metrics?: Metrics; everyMs?: number },
  ) {
    this.config = config;
    this.log = log;
    this.everyMs = everyMs;
    if (usesRabbit(config))
      metrics?.gauge(
        'loam_rabbitmq_harmful_policies',
        'Keys of RabbitMQ policies that delete what was acknowledged; absent while that is not known',
        () => (this.unknown === undefined ? this.harms.length : undefined),
      );
  }

  async start(): Promise<void> {
    if (usesRabbit(this.config)) this.looking = this.keepLooking();
  }

  async stop(): Promise<void> {
    this.closing.abort();
    await this.looking;
  }

  health(): Health[] {
    if (!usesRabbit(this.config)) return [];
    const { name } = this;
    if (this.unknown !== undefined) return [{ name, ok: false, optional: true, why: `unknown: ${this.unknown}` }];
    if (this.harms.length === 0) return [{ name, ok: true, optional: true }];
    const more = this.harms.length > MOST_TOLD ? ['…'] : [];
    return [
      { name, ok: false, optional: true, why: [...this.harms.slice(0, MOST_TOLD).map(inWords), ...more].join('; ') },
    ];
  }

  private async keepLooking(): Promise<void> {
    while (!this.closing.signal.aborted) {
      await this.look();
      await pause(this.everyMs, this.closing.signal);
    }
  }

  private async look(): Promise<void> {
    try {
      const harms = await policiesOf(this.config);
      if (this.unknown !== undefined && harms.length === 0)
        this.log.info('no policy of RabbitMQ deletes what was acknowledged');
      const before = new Set(this.harms.map(inWords));
      for (const harm of harms.map(inWords)) if (!before.has(harm)) this.log.error({ event: 'harmful_policy' }, harm);
      this.harms = harms;
      this.unknown = undefined;
    } catch (error) {
      const why = explain(error);
      if (why !== this.unknown)
        this.log.warn(
          { event: 'policies_unknown' },
          `nobody knows whether a policy of RabbitMQ deletes what was acknowledged: ${why}`,
        );
      this.unknown = why;
    }
  }
}

/** What the policies of RabbitMQ do to the queues and logs of `config`. Rejects with an Error that says why that is not known. */
export async function policiesOf(config: PolicySettings): Promise<PolicyHarm[]> {
  if (config.rabbitmqApi === undefined) throw new Error('LOAM_RABBITMQ_API is not set');
  const { harmfulPolicies } = await import('../backbone/rabbitmq/policies.ts');
  return await harmfulPolicies(config.rabbitmqApi, placesOf(config));
}

/** A harm as a sentence, without a full stop. */
export function inWords({ name, policy, key, value, harm }: PolicyHarm): string {
  return `${policy} sets ${key} = ${value} for "${name}": it ${harm}`;
}

export function usesRabbit({ queue, log }: PolicySettings): boolean {
  return !isEmbedded(queue) || !isEmbedded(log);
}

function placesOf({ queue, log }: PolicySettings): RabbitPlace[] {
  const servers = new Set([queue, log].filter((url) => !isEmbedded(url)).map((url) => new URL(url).host));
  if (servers.size > 1)
    throw new Error('LOAM_QUEUE and LOAM_LOG are on two servers, and LOAM_RABBITMQ_API is one of them');
  const at = (url: string, kind: RabbitPlace['kind'], names: readonly string[]): RabbitPlace[] =>
    isEmbedded(url) ? [] : names.map((name) => ({ vhost: vhostOf(url), name: `loam.${name}`, kind }));
  return [
    ...at(queue, 'queue', ['readings', 'slow', 'undated']),
    ...at(log, 'stream', ['live', 'dead', 'events', 'refusals', 'commands', 'trials', 'clocks', 'sessions', 'sources']),
  ];
}
