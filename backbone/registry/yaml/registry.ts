import { clock } from '../../../core/clock.ts';
import { Closed } from '../../../core/errors.ts';
import type { ConnectionState, Health } from '../../../core/lifecycle.ts';
import type { Logger } from '../../../core/logger.ts';
import { backoff } from '../../../core/timing.ts';
import type { Applied, Change, Edit, Registry } from '../../../telemetry/registry/registry.ts';
import { RegistryState } from '../../../telemetry/registry/state.ts';
import type { Kind } from '../../../telemetry/registry/things.ts';
import type { RegistryChange, RegistryPort } from '../../ports/registry.ts';
import { FilesClient, type FilesListener } from './files-client.ts';
import { RecentChanges } from './recent-changes.ts';
import { AUTO_KINDS } from './text.ts';

const POLL_MS = 500;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** When the files were not looked at for so long, what others change is not followed: their disk hangs. */
const UNSEEN_MS = 60_000;
/** An error in the registry may concern any farm: only those who may see the whole installation see it. */
const INSTALLATION = { kind: 'registry' } as const;

export interface YamlRegistryOptions {
  readonly log: Logger;
  /** For a look, or for one edit: the files are not followed, and nothing is kept beside them until an edit is made. */
  readonly once?: boolean;
  /** Read and edit in this thread rather than in one of its own: for who has nothing else to do meanwhile. */
  readonly here?: boolean;
  /** Of these kinds new things go into the file that programs write. */
  readonly autoKinds?: readonly Kind[];
}

/**
 * The registry in a YAML file that people edit while Loam runs, and that Loam edits without touching their comments. A
 * thread reads, checks and edits it; this side gets what has changed. It is allowed on a folder that several machines
 * share: the file is looked at twice a second, because a shared volume reports no changes.
 *
 * When the thread ends, another one is started, and what is known stays in force meanwhile.
 */
export class YamlRegistry implements RegistryPort {
  /** What was changed longer ago is forgotten: who wants to know it writes it down. */
  readonly keepsChanges = false;
  private readonly path: string;
  private readonly options: YamlRegistryOptions;
  private readonly registry = new RegistryState();
  private readonly recent = new RecentChanges();
  private readonly listeners = new Set<(changes: readonly Change[]) => void>();
  private files: FilesClient | undefined;
  private isOpen = false;
  private isClosed = false;
  /** Why the files' present text is not in force; undefined when it is. */
  private whyRefused: string | undefined;
  /** Why there is no thread now. */
  private whyLost: string | undefined;
  private since = clock.now();
  private looked = clock.passed();
  private failedStarts = 0;
  private restarting: NodeJS.Timeout | undefined;

  private constructor(path: string, options: YamlRegistryOptions) {
    this.path = path;
    this.options = options;
  }

  /**
   * Reads the file and begins to follow it. When it is not there, empty or not a registry, the last good one is in force;
   * where that is not there either, rejects with RegistryInvalid.
   */
  static async open(path: string, options: YamlRegistryOptions): Promise<YamlRegistry> {
    const registry = new YamlRegistry(path, options);
    try {
      await new Promise<void>((resolve, reject) => registry.start(resolve, reject));
    } catch (error) {
      await registry.close();
      throw error;
    }
    return registry;
  }

  current(): Registry {
    return this.registry;
  }

  watch(listener: (changes: readonly Change[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async apply(edits: readonly Edit[], who: string): Promise<Applied> {
    if (this.isClosed || !this.files) throw new Closed('the registry');
    return await this.files.edit(edits, who);
  }

  async changes(from: number, limit: number): Promise<readonly RegistryChange[]> {
    return this.recent.after(from, limit);
  }

  async newestChanges(before = Number.POSITIVE_INFINITY, limit = 0): Promise<readonly RegistryChange[]> {
    return this.recent.before(before, limit);
  }

  get state(): ConnectionState {
    if (this.isClosed) return { is: 'closed' };
    const why = this.why;
    return why === undefined ? { is: 'up' } : { is: 'down', since: this.since, why };
  }

  /** Ok when the file's text is in force. When it is not, work goes on with the registry that was read before. */
  health(): Health[] {
    const { why } = this;
    const health = { name: 'registry', ok: why === undefined, optional: true, only: INSTALLATION } as const;
    return [why === undefined ? health : { ...health, why }];
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.restarting);
    this.listeners.clear();
    await this.files?.close();
  }

  private get why(): string | undefined {
    if (this.whyLost !== undefined)
      return `${this.path}: ${this.whyLost}; the registry that was read before stays in force`;
    if (this.whyRefused !== undefined) return this.whyRefused;
    const unseen = clock.passed() - this.looked;
    if (this.options.once || unseen < UNSEEN_MS) return undefined;
    return `${this.path}: was not read for ${Math.round(unseen / 1_000)} s; the registry that was read before stays in force`;
  }

  private start(opened: () => void = () => {}, failed: (error: Error) => void = () => {}): void {
    const { log, once = false, here = once, autoKinds = AUTO_KINDS } = this.options;
    const settings = { path: this.path, autoKinds, pollMs: once ? 0 : POLL_MS };
    const listener: FilesListener = {
      changed: (changes, who, when) => this.changed(changes, who, when),
      opened: () => {
        this.isOpen = true;
        this.whyLost = undefined;
        this.failedStarts = 0;
        this.looked = clock.passed();
        // From now on it must not keep the process alive.
        files.unref();
        opened();
      },
      failed,
      refused: (why) => {
        if (this.whyRefused === undefined) this.since = clock.now();
        this.whyRefused = why;
      },
      looked: () => {
        this.looked = clock.passed();
      },
      said: (level, event, text) => log[level](event === undefined ? {} : { event }, text),
      lost: (why) => {
        if (this.isOpen) this.startAgain(why);
        else failed(new Error(why));
      },
    };
    const files = new FilesClient(settings, listener, here);
    this.files = files;
    void files.open(this.registry.things());
  }

  private changed(changes: readonly Change[], who: string, when: number): void {
    this.registry.apply(changes);
    // What is read at the start is not a change.
    if (!this.isOpen) return;
    this.recent.add(changes, who, when);
    for (const listener of this.listeners) listener(changes);
  }

  private startAgain(why: string): void {
    if (this.isClosed) return;
    if (this.whyLost === undefined) this.since = clock.now();
    this.whyLost = `the thread that reads it ended (${why}) and is started again`;
    this.options.log.error({ event: 'registry_thread_lost' }, this.whyLost);
    const pause = backoff(this.failedStarts, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
    this.failedStarts += 1;
    this.restarting = setTimeout(() => this.start(), pause).unref();
  }
}
