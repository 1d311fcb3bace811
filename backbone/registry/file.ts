import { readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { explain, RegistryInvalid } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { replaceFile } from '../../core/replace-file.ts';
import { pause } from '../../core/timing.ts';
import { parseRegistry, type Registry, type RegistryEditor, type RegistryView } from '../../telemetry/registry.ts';

export { replaceFile };

const POLL_MS = 1_000;
/** An error in the registry may concern any farm: only those who may see the whole installation see it. */
const INSTALLATION = { kind: 'registry' } as const;
const LOCK_WAIT_MS = 5_000;
/** An editor holds the lock for milliseconds: one this old was left by a process that died. */
const LOCK_STALE_MS = 30_000;

/**
 * The registry's file: read at the start, polled for changes (a shared volume reports none), and edited. A change by
 * another program comes into force when two polls in a row read the same text: the program may be half way through
 * writing, and half a list of sensors is a valid registry too. A file that cannot be read, is empty or is no registry
 * is logged once, and shown in `/readyz` until it is mended; the registry before it stays in force.
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
  /** The last requested reload. Reloads run one at a time: one that read before an edit must not take effect after it. */
  private reading: Promise<void> = Promise.resolve();

  private constructor(path: string, log: Logger, text: string, registry: Registry) {
    this.path = path;
    this.log = log;
    this.seen = text;
    this.registry = registry;
  }

  /** Reads the file and begins to watch it. Rejects with RegistryInvalid when it is not there, empty, or not a registry. */
  static async open(path: string, log: Logger): Promise<RegistryFile> {
    const text = await readRegistryText(path);
    const file = new RegistryFile(path, log, text, readRegistry(text));
    file.poll();
    return file;
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
    return this.refused === undefined ? health : { ...health, why: `${this.refused}; the one before is in force` };
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
    } catch (error) {
      const why = describeRegistryError(this.path, error);
      if (why !== this.refused) this.log.error(`${why}; the registry before it stays in force`);
      this.refused = why;
    }
  }

  /** The file again holds the registry that is in force. */
  private isMended(): void {
    if (this.refused === undefined) return;
    this.refused = undefined;
    this.log.info('the registry is again what it was');
  }
}

/**
 * Replaces the file's text by `change(text)` in one step, so that no reader sees half of it, and under a lock against a
 * second editor. If `path` is a link, the file that it leads to is replaced. Rejects with RegistryInvalid when the file
 * or the result is not a registry, or the file cannot be replaced; the file is unchanged then.
 */
export async function editRegistryFile(path: string, change: (text: string) => string): Promise<void> {
  const file = await realFile(path);
  const lock = `${file}.lock`;
  await takeLock(lock);
  try {
    const before = await readRegistryText(file);
    // Refuses a file that was emptied by mistake: the edit alone would become the whole registry.
    readRegistry(before);
    const text = change(before);
    readRegistry(text);
    await replaceRegistry(file, text);
  } finally {
    await rm(lock, { force: true });
  }
}

async function realFile(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new RegistryInvalid('cannot be read', { cause });
  }
}

async function replaceRegistry(file: string, text: string): Promise<void> {
  try {
    await replaceFile(file, text);
  } catch (cause) {
    throw new RegistryInvalid('cannot be edited', { cause });
  }
}

/** One line that names the file, the line in it and what is wrong. */
export function describeRegistryError(path: string, error: unknown): string {
  const line = error instanceof RegistryInvalid && error.line !== undefined ? `:${error.line}` : '';
  return `${path}${line}: ${explain(error)}`;
}

async function readRegistryText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new RegistryInvalid('cannot be read', { cause });
  }
}

/** Throws RegistryInvalid. A text without any farm or user was emptied by mistake, or is still to be written: it would lock everybody out. */
function readRegistry(text: string): Registry {
  const registry = parseRegistry(text);
  if (registry.farms.size === 0 && registry.users.size === 0) {
    throw new RegistryInvalid('is empty: it has neither a farm nor a user');
  }
  return registry;
}

async function takeLock(lock: string): Promise<void> {
  const end = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      return await writeFile(lock, String(process.pid), { flag: 'wx' });
    } catch (cause) {
      if (!isExisting(cause)) throw new RegistryInvalid('cannot be edited', { cause });
      const age =
        Date.now() -
        (await stat(lock).then(
          (s) => s.mtimeMs,
          () => Date.now(),
        ));
      if (age > LOCK_STALE_MS) await rm(lock, { force: true });
      else if (performance.now() > end)
        throw new RegistryInvalid(`is being edited by another process (${lock})`, { cause });
      else await pause(50);
    }
  }
}

function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}
