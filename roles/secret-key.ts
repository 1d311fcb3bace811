import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { makeFile } from '../core/replace-file.ts';
import type { SecretKey } from '../core/secret-key.ts';
import { newSecret } from '../core/secrets.ts';
import type { RegistryView } from '../telemetry/registry/registry.ts';
import { prepareDataFolder, readIfThere, SHORTEST_SECRET, secretKeyPath } from './data-folder.ts';

/** Most things that a message names of those that need the key. */
const MOST_NAMED = 5;

/**
 * The secret key from the setting, or else from its file in the data folder. The file is made at first need, and never
 * replaced. Another process may make it: when the registry needs a key and there is none, the file is looked for again
 * at each change of the registry.
 */
export class KeptSecretKey implements SecretKey {
  private readonly config: Config;
  private readonly registry: RegistryView;
  private readonly log: Logger;
  private key: string | undefined;
  /** What was logged to need the key, so that it is logged once. */
  private said = '';

  private constructor(config: Config, registry: RegistryView, log: Logger) {
    this.config = config;
    this.registry = registry;
    this.log = log;
    this.key = config.secretKey;
  }

  /** Rejects with ConfigInvalid, which names LOAM_SECRET_KEY, when the registry needs a key and there is none. */
  static async open(config: Config, registry: RegistryView, log: Logger): Promise<KeptSecretKey> {
    const key = new KeptSecretKey(config, registry, log);
    await key.readIfNeeded();
    registry.watch(() => void key.follow());
    return key;
  }

  current(): string | undefined {
    return this.key;
  }

  async make(): Promise<string> {
    await this.readIfNeeded();
    this.key ??= await this.makeFile();
    return this.key;
  }

  private async follow(): Promise<void> {
    try {
      await this.readIfNeeded();
      this.said = '';
    } catch (error) {
      const why = explain(error);
      if (why !== this.said) this.log.error({ event: 'secret_key_missing' }, why);
      this.said = why;
    }
  }

  /** Reads the file. Rejects when something in the registry needs the key and the file has none. */
  private async readIfNeeded(): Promise<void> {
    const { keyed } = this.registry.current();
    if (this.key !== undefined) return;
    const path = secretKeyPath(this.config);
    let problem: unknown = 'it is not there';
    try {
      const text = (await readIfThere(path))?.trim();
      if (text !== undefined && text.length >= SHORTEST_SECRET) {
        this.key = text;
        return;
      }
      if (text !== undefined) problem = `it has fewer than ${SHORTEST_SECRET} characters`;
    } catch (error) {
      problem = error;
    }
    if (keyed.length === 0) return;
    const named = keyed.slice(0, MOST_NAMED).join(', ') + (keyed.length > MOST_NAMED ? ' and others' : '');
    const why = typeof problem === 'string' ? problem : explain(problem);
    throw new ConfigInvalid(
      'LOAM_SECRET_KEY',
      `LOAM_SECRET_KEY: is not set, and ${path} cannot take its place (${why}), but the registry has what is of no use without it: ${named}`,
    );
  }

  private async makeFile(): Promise<string> {
    const path = secretKeyPath(this.config);
    await prepareDataFolder(this.config);
    try {
      // When another process was quicker, its key counts.
      await makeFile(path, newSecret() + newSecret());
      const kept = (await readIfThere(path))?.trim();
      if (kept !== undefined && kept.length >= SHORTEST_SECRET) return kept;
      throw new Error(`it has fewer than ${SHORTEST_SECRET} characters`);
    } catch (cause) {
      throw new ConfigInvalid(
        'LOAM_SECRET_KEY',
        `LOAM_SECRET_KEY: is not set, and no key can be kept in ${path}: ${explain(cause)}`,
        {
          cause,
        },
      );
    }
  }
}
