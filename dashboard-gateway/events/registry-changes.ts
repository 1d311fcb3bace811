import type { RegistryChange, RegistryPort } from '../../backbone/ports/registry.ts';
import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { MOST_WHAT, type RegistryChanged } from '../../telemetry/event.ts';
import { type Kind, type Things, versionOf } from '../../telemetry/registry/things.ts';

const AT_ONCE = 100;
/** Keys whose values nobody may read, not even as a hash. */
const SECRET_KEYS: ReadonlySet<string> = new Set(['secret', 'token', 'password']);
const SEALED = 'sealed:';

/** Writes down who changed what in the registry, where the registry itself does not keep that. */
export class RegistryChanges {
  /** Changes that were forgotten before they could be written down: too many came at once. */
  readonly counters = { registryMissed: 0 };
  private readonly registry: RegistryPort;
  private readonly write: (event: RegistryChanged) => void;
  private readonly logger: Logger;
  private last = 0;
  private following: Promise<void> = Promise.resolve();
  private unwatch = () => {};

  constructor(registry: RegistryPort, write: (event: RegistryChanged) => void, logger: Logger) {
    this.registry = registry;
    this.write = write;
    this.logger = logger;
  }

  start(): void {
    if (this.registry.keepsChanges) return;
    this.unwatch = this.registry.watch(() => {
      this.following = this.following.then(() => this.follow());
    });
  }

  /** Resolves when what was changed so far is on its way to the log. */
  async stop(): Promise<void> {
    this.unwatch();
    await this.following;
  }

  private async follow(): Promise<void> {
    try {
      for (;;) {
        const changes = await this.registry.changes(this.last, AT_ONCE);
        for (const change of changes) this.record(change);
        if (changes.length < AT_ONCE) return;
      }
    } catch (error) {
      this.logger.warn(`changes of the registry are written down later: ${explain(error)}`);
    }
  }

  private record(change: RegistryChange): void {
    const missed = change.seq - this.last - 1;
    if (missed > 0) {
      this.counters.registryMissed += missed;
      this.logger.warn(`${missed} changes of the registry are not written down: too many came at once`);
    }
    this.last = change.seq;
    this.write(eventOf(change));
  }
}

/** A change as an event, without its secrets. */
export function eventOf({ kind, id, before, after, who, when }: RegistryChange): RegistryChanged {
  const versions = [before, after].map((thing) => (thing ? versionOf(kind, id, thing) : '-'));
  return {
    kind: 'registry_changed',
    id: `registry:${kind}:${id}:${versions.join(':')}:${when}`,
    at: when,
    who,
    thing: kind,
    thingId: id,
    what: differenceOf(before, after),
  };
}

function differenceOf(before: Things[Kind] | undefined, after: Things[Kind] | undefined): string {
  const [was, is] = [new Map(Object.entries(before ?? {})), new Map(Object.entries(after ?? {}))];
  const keys = [...new Set([...was.keys(), ...is.keys()])].filter(
    (key) => JSON.stringify(was.get(key)) !== JSON.stringify(is.get(key)),
  );
  const found = keys.map((key) => [key, [shown(key, was.get(key)), shown(key, is.get(key))]] as const);
  const text = JSON.stringify(Object.fromEntries(found));
  return text.length <= MOST_WHAT ? text : JSON.stringify(Object.fromEntries(keys.map((key) => [key, [null, null]])));
}

function shown(key: string, value: unknown): unknown {
  if (value === undefined) return null;
  const isSecret = SECRET_KEYS.has(key) || JSON.stringify(value).includes(`"${SEALED}`);
  return isSecret ? '(secret)' : value;
}
