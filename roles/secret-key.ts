import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import type { Health } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { makeFile } from '../core/replace-file.ts';
import { areSecretKeys, type SecretKey, SecretKeys, SHORTEST_KEY } from '../core/secret-key.ts';
import { newSecret } from '../core/secrets.ts';
import { type KeyedValue, keyedName, sealedIn, tokenOf, whyOff } from '../telemetry/registry/keyed.ts';
import type { Change, RegistryView } from '../telemetry/registry/registry.ts';
import { prepareDataFolder, readIfThere, secretKeyPath } from './data-folder.ts';

/** Most things that a message names of those that need the key. */
const MOST_NAMED = 5;
const NOT_THERE = 'it is not there';
const NO_KEYS = `it has fewer than ${SHORTEST_KEY} characters, or one of its keys has`;

/**
 * The secret key from the setting, or else from its file in the data folder. The first start of `loam up` makes the file
 * (`makeFirst`), and nothing replaces it. It may come later: when the registry needs a key and there is none, the file is
 * looked for again at each change of the registry. What the registry has that is of no use with this key is off, and named.
 */
export class KeptSecretKey implements SecretKey {
  private readonly config: Config;
  private readonly registry: RegistryView;
  private readonly log: Logger;
  private keys: SecretKeys | undefined;
  /** Why the key is missing; undefined while it is there, or nothing needs it. */
  private missing: string | undefined;
  /** What is off, by its name, and why. */
  private readonly off = new Map<string, string>();
  /** What was logged, so that it is logged once. */
  private said: string | undefined;

  private constructor(config: Config, registry: RegistryView, log: Logger) {
    this.config = config;
    this.registry = registry;
    this.log = log;
    this.keys = config.secretKey === undefined ? undefined : new SecretKeys(config.secretKey);
  }

  /** Rejects with ConfigInvalid, which names LOAM_SECRET_KEY, when the registry needs a key and there is none. */
  static async open(config: Config, registry: RegistryView, log: Logger): Promise<KeptSecretKey> {
    const key = new KeptSecretKey(config, registry, log);
    await key.readIfNeeded();
    key.lookAtAll();
    key.say();
    registry.watch((changes) => void key.follow(changes));
    return key;
  }

  current(): SecretKeys | undefined {
    return this.keys;
  }

  async required(): Promise<SecretKeys> {
    if (this.keys !== undefined) return this.keys;
    const why = await this.read();
    if (this.keys === undefined) throw this.missingKey(why);
    this.lookAtAll();
    return this.keys;
  }

  /**
   * Makes the key where there is none yet, keeps it in the data folder, and says so in the log. Only a start that nobody
   * else can be a part of calls it: two machines with keys of their own would not open each other's secrets. Rejects with
   * ConfigInvalid when the key cannot be kept.
   */
  async makeFirst(): Promise<void> {
    if (this.keys !== undefined) return;
    const path = secretKeyPath(this.config);
    const before = await this.read();
    if (before === NOT_THERE) await this.makeFile(path);
    const why = before === NOT_THERE ? await this.read() : before;
    if (why !== undefined) {
      this.log.error(
        { event: 'secret_key_missing' },
        `${path}: ${why}; nothing needs it yet: restore it, or remove it`,
      );
    } else if (before === NOT_THERE) {
      const text = `LOAM_SECRET_KEY is made, and kept in ${path}: it belongs into the backup, but not in the same place as the registry`;
      this.log.info({ event: 'secret_key_made' }, text);
    }
  }

  /** How many values in the registry are off. */
  get countOff(): number {
    return this.off.size;
  }

  /** Optional: everything else works. Only who may see everything is told what is off. */
  health(): Health[] {
    const why = this.why();
    const only = { kind: 'secret key' };
    const check = { name: 'secret key', ok: why === undefined, optional: true, only } as const;
    return [why === undefined ? check : { ...check, why }];
  }

  private why(): string | undefined {
    if (this.missing !== undefined) return this.missing;
    if (this.off.size === 0) return undefined;
    const named = [...this.off].slice(0, MOST_NAMED).map(([name, why]) => `${name} (${why})`);
    return `LOAM_SECRET_KEY: of no use with its keys, and off: ${withOthers(named, this.off.size)}`;
  }

  private async follow(changes: readonly Change[]): Promise<void> {
    const before = this.keys;
    try {
      await this.readIfNeeded();
      this.missing = undefined;
    } catch (error) {
      this.missing = explain(error);
    }
    if (this.keys === before) for (const change of changes) this.lookAt(change);
    else this.lookAtAll();
    this.say();
  }

  private lookAtAll(): void {
    this.off.clear();
    for (const value of this.registry.current().keyedValues()) this.note(value);
  }

  private lookAt(change: Change): void {
    for (const value of valuesIn(change, change.before)) this.off.delete(keyedName(value));
    for (const value of valuesIn(change, change.after)) this.note(value);
  }

  private note(value: KeyedValue): void {
    const why = this.keys && whyOff(value, this.keys);
    if (why !== undefined) this.off.set(keyedName(value), why);
  }

  private say(): void {
    const why = this.why();
    const event = this.missing === undefined ? 'secret_key_wrong' : 'secret_key_missing';
    if (why !== undefined && why !== this.said) this.log.error({ event }, why);
    this.said = why;
  }

  /** Rejects when something in the registry needs the key and there is none. */
  private async readIfNeeded(): Promise<void> {
    if (this.keys !== undefined) return;
    const why = await this.read();
    if (this.registry.current().keyed.length > 0 && this.keys === undefined) throw this.missingKey(why);
  }

  /** Reads the file. Resolves with why it gives no key; undefined when it does. */
  private async read(): Promise<string | undefined> {
    try {
      const text = (await readIfThere(secretKeyPath(this.config)))?.trim();
      if (text === undefined) return NOT_THERE;
      if (!areSecretKeys(text)) return NO_KEYS;
      this.keys = new SecretKeys(text);
      return undefined;
    } catch (error) {
      return explain(error);
    }
  }

  private missingKey(why = NOT_THERE): ConfigInvalid {
    const { keyed } = this.registry.current();
    const named = withOthers(keyed.slice(0, MOST_NAMED), keyed.length);
    const needed =
      keyed.length === 0
        ? '. The first start of `loam up` makes it there, when queue, log and registry are its own; otherwise set it, the same for every broker and gateway'
        : `, but the registry has what is of no use without it: ${named}`;
    const path = secretKeyPath(this.config);
    return new ConfigInvalid(
      'LOAM_SECRET_KEY',
      `LOAM_SECRET_KEY: is not set, and ${path} cannot take its place (${why})${needed}`,
    );
  }

  private async makeFile(path: string): Promise<void> {
    try {
      await prepareDataFolder(this.config);
      await makeFile(path, newSecret() + newSecret());
    } catch (cause) {
      const why = `LOAM_SECRET_KEY: is not set, and no key can be kept in ${path}: ${explain(cause)}`;
      throw new ConfigInvalid('LOAM_SECRET_KEY', why, { cause });
    }
  }
}

/** What in a changed thing is of use with the key only. */
function valuesIn({ kind, id }: Change, thing: Change['after']): KeyedValue[] {
  if (thing === undefined) return [];
  const token = 'token' in thing ? tokenOf(thing) : [];
  return [...token, ...sealedIn(kind, id, thing)];
}

function withOthers(named: readonly string[], count: number): string {
  return named.join(', ') + (count > named.length ? ` and others` : '');
}
