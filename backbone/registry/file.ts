import { dirname } from 'node:path';
import { explain } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { removeLeftovers } from '../../core/replace-file.ts';
import type { Registry, RegistryEditor, RegistryView } from '../../telemetry/registry.ts';
import { editRegistryFile } from './edit.ts';
import { keepLastGood, lastGood, lastGoodPath, readLastGood } from './last-good.ts';
import { describeRegistryError, readRegistry, readRegistryText } from './text.ts';

const POLL_MS = 1_000;
/** An error in the registry may concern any farm: only those who may see the whole installation see it. */
const INSTALLATION = { kind: 'registry' } as const;
/** An edit that was begun so long ago was broken off. */
const LEFTOVER_MS = 60_000;

/**
 * The registry's file: read at the start, polled for changes (a shared volume reports none), and edited. A change by
 * another program comes into force when two polls in a row read the same text: the program may be half way through
 * writing, and half a list of sensors is a valid registry too. A file that cannot be read, is empty or is no registry
 * is logged once, and shown in `/readyz` until it is mended; the registry before it stays in force, also over a
 * restart: each that comes into force is kept beside the file (`lastGoodPath`).
 */
export class RegistryFile implements RegistryView, RegistryEditor {
  private readonly path: string;
  private readonly log: Logger;
  private readonly listeners = new Set<(registry: Registry) => void>();
  private timer: NodeJS.Timeout | undefined;
  private registry: Registry;
  private seen: string;
  /** The text that was read last, in force or not. */
  private settling: string | undefined;
  /** Why the file's present text is not in force; undefined when it is. */
  private refused: string | undefined;
  /** Why there is no such copy, as it was logged. */
  private notKept = '';
  /** The last requested reload. Reloads run one at a time: one that read before an edit must not take effect after it. */
  private reading: Promise<void> = Promise.resolve();

  private constructor(path: string, log: Logger, text: string, registry: Registry) {
    this.path = path;
    this.log = log;
    this.seen = text;
    this.registry = registry;
  }

  /**
   * Reads the file and begins to watch it. When it is not there, empty or not a registry, the last good one is in force;
   * where that is not there either, rejects with RegistryInvalid.
   */
  static async open(path: string, log: Logger): Promise<RegistryFile> {
    await removeLeftovers(dirname(path), LEFTOVER_MS);
    const file = await RegistryFile.read(path, log);
    await file.keep();
    file.poll();
    return file;
  }

  /** As `open`, but for a look: the file is not watched, and no copy is kept. */
  static async read(path: string, log: Logger): Promise<RegistryFile> {
    try {
      const text = await readRegistryText(path);
      return new RegistryFile(path, log, text, readRegistry(text));
    } catch (error) {
      const good = await lastGood(path);
      if (good === undefined) throw error;
      const file = new RegistryFile(path, log, good.text, good.registry);
      file.refuse(error);
      return file;
    }
  }

  current(): Registry {
    return this.registry;
  }

  watch(listener: (registry: Registry) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async edit(change: (text: string) => string): Promise<void> {
    await editRegistryFile(this.path, change);
    await this.reload('edited');
  }

  /** Ok when the file's text is in force. When it is not, work goes on with the registry that was read before. */
  health(): Health {
    const health = { name: 'registry', ok: this.refused === undefined, optional: true, only: INSTALLATION } as const;
    return this.refused === undefined ? health : { ...health, why: this.refused };
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.listeners.clear();
  }

  private poll(): void {
    this.timer = setTimeout(async () => {
      await this.reload('polled');
      if (this.timer) this.poll();
    }, POLL_MS);
    this.timer.unref();
  }

  private reload(why: 'edited' | 'polled'): Promise<void> {
    this.reading = this.reading.then(() => this.readAgain(why));
    return this.reading;
  }

  private async readAgain(why: 'edited' | 'polled'): Promise<void> {
    try {
      const text = await readRegistryText(this.path);
      const isSettled = why === 'edited' || text === this.settling;
      this.settling = text;
      if (text === this.seen) this.isMended();
      if (text === this.seen || !isSettled) return;
      const registry = readRegistry(text);
      this.seen = text;
      this.registry = registry;
      this.refused = undefined;
      this.log.info({ sensors: registry.sensors.length, users: registry.users.size }, 'registry reloaded');
      for (const listener of this.listeners) listener(registry);
      await this.keep();
    } catch (error) {
      this.refuse(error);
    }
  }

  private refuse(error: unknown): void {
    const why = `${describeRegistryError(this.path, error)}; the last good registry stays in force`;
    if (why !== this.refused) this.log.error({ event: 'registry_refused' }, why);
    this.refused = why;
  }

  /** Keeps the registry in force beside its file. Work goes on without the copy, as in a folder that can only be read. */
  private async keep(): Promise<void> {
    if ((await readLastGood(this.path)) === this.seen) return;
    try {
      await keepLastGood(this.path, this.seen);
      this.notKept = '';
    } catch (error) {
      const why = explain(error);
      const text = `the registry cannot be kept in ${lastGoodPath(this.path)}, so that a start with a broken one will fail: ${why}`;
      if (why !== this.notKept) this.log.info({ event: 'registry_not_kept' }, text);
      this.notKept = why;
    }
  }

  /** The file again holds the registry that is in force. */
  private isMended(): void {
    if (this.refused === undefined) return;
    this.refused = undefined;
    this.log.info('the registry is again what it was');
  }
}
