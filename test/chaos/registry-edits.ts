import { setTimeout as delay } from 'node:timers/promises';
import mqtt from 'mqtt';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { RegistryConflict, RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import type { Edit } from '../../telemetry/registry/registry.ts';
import { until } from '../services/wait.ts';
import type { Role } from './role.ts';

/** How long a fault lasts already when the edit is made. */
const AFTER_MS = 200;
const AGAIN_MS = 200;
const KNOWN_MS = 60_000;

/** A sensor that is added to the registry during each fault, and that every process must know when the fault is over. */
export class RegistryEdits {
  /** Of each edit: how often it was refused, and how long after the fault every process knew it, s. */
  readonly made: { readonly refused: number; readonly knownAfterS: number }[] = [];
  private readonly farm: string;
  private readonly registry: RegistryPort;
  private readonly roles: () => readonly Role[];
  private readonly before: number;
  private lastId = '';

  private constructor(farm: string, registry: RegistryPort, roles: () => readonly Role[]) {
    this.farm = farm;
    this.registry = registry;
    this.roles = roles;
    this.before = registry.current().sensorCount;
  }

  static async open(farm: string, url: string, things: readonly Edit[], roles: () => readonly Role[]) {
    const registry = await openPostgresRegistry(url, { log: silent });
    await registry.apply(things, 'chaos');
    return new RegistryEdits(farm, registry, roles);
  }

  /** Adds a sensor during a fault; resolves when every process knows it after that. */
  async during(mended: Promise<void>): Promise<void> {
    await delay(AFTER_MS);
    this.lastId = `edit-${this.made.length}`;
    const refused = await this.add(this.lastId);
    await mended;
    const from = performance.now();
    const wanted = this.before + this.made.length + 1;
    const known = async (role: Role) => (await role.metric('loam_registry_sensors')) === wanted;
    const everybody = async () => (await Promise.all(this.roles().map(known))).every(Boolean);
    await until(`every process to know ${this.lastId}`, everybody, { timeoutMs: KNOWN_MS });
    this.made.push({ refused, knownAfterS: (performance.now() - from) / 1_000 });
  }

  /** Resolves when the broker has let the sensor in that was added last. */
  async signIn(url: string): Promise<void> {
    const { lastId } = this;
    const options = { username: lastId, password: secretOf(lastId), clientId: lastId, reconnectPeriod: 0 };
    await until(`${lastId} to be let in`, async () => {
      const client = await mqtt.connectAsync(url, options, false).catch(() => undefined);
      await client?.endAsync();
      return client;
    });
  }

  async close(): Promise<void> {
    await this.registry.close();
  }

  /** Resolves when the sensor is in the registry, with how often that was refused. */
  private async add(id: string): Promise<number> {
    const value = { id, farm: this.farm, secret: hashSecret(secretOf(id)) };
    for (let refused = 0; ; refused++) {
      try {
        await this.registry.apply([{ kind: 'sensor', id: `${this.farm}/${id}`, seen: null, value }], 'chaos');
        return refused;
      } catch (error) {
        // One of which it was unknown whether it is kept was kept.
        if (error instanceof RegistryConflict && refused > 0) return refused;
        if (!(error instanceof RegistryUnavailable)) throw error;
      }
      await delay(AGAIN_MS);
    }
  }
}

function secretOf(id: string): string {
  return `the-secret-of-${id}`;
}
