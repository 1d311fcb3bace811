import { RegistryUnavailable } from '../../../core/errors.ts';
import type { Applied, Change, Edit } from '../../../telemetry/registry/registry.ts';
import type { NamedThing } from '../../../telemetry/registry/things.ts';
import { channelHere, channelToThread, type FilesChannel } from './files-channel.ts';
import { type FilesSettings, type FromFiles, PART, receivedError } from './messages.ts';

/** Most edits that wait; each has at most the size of a request. */
const MOST_WAITING = 1_000;

export interface FilesListener {
  /** What comes into force together. */
  changed(changes: readonly Change[], who: string, when: number): void;
  opened(): void;
  /** The files cannot be put into force, and nothing is known instead. */
  failed(error: Error): void;
  refused(why: string | undefined): void;
  looked(): void;
  said(level: 'info' | 'error', event: string | undefined, text: string): void;
  /** The thread has ended though nobody ended it. */
  lost(why: string): void;
}

interface PendingEdit {
  readonly resolve: (applied: Applied) => void;
  readonly reject: (error: Error) => void;
}

/** One run of what reads and edits the registry's files, as this process sees it: a thread, or `here`. */
export class FilesClient {
  private readonly channel: FilesChannel;
  private readonly listener: FilesListener;
  private readonly waiting = new Map<number, PendingEdit>();
  private parts: (readonly Change[])[] = [];
  private lastId = 0;
  private isOver = false;
  private isUnref = false;

  constructor(settings: FilesSettings, listener: FilesListener, here: boolean) {
    this.listener = listener;
    const take = (message: FromFiles) => {
      if (!this.isOver) this.take(message);
    };
    this.channel = here ? channelHere(settings, take) : channelToThread(settings, take, (why) => this.end(why));
  }

  /** Tells what is known, and lets the reading begin. `things` must not change meanwhile. */
  async open(things: Iterable<NamedThing>): Promise<void> {
    let part: NamedThing[] = [];
    for (const thing of things) {
      part.push(thing);
      if (part.length < PART) continue;
      this.channel.send({ is: 'known', things: part });
      part = [];
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.channel.send({ is: 'known', things: part });
    this.channel.send({ is: 'open' });
  }

  /** Rejects as `RegistryEditor.apply`. */
  edit(edits: readonly Edit[], who: string): Promise<Applied> {
    return new Promise((resolve, reject) => {
      if (this.isOver) return reject(new RegistryUnavailable('the registry’s files cannot be edited now'));
      if (this.waiting.size >= MOST_WAITING) return reject(new RegistryUnavailable('too many edits wait'));
      this.lastId += 1;
      this.waiting.set(this.lastId, { resolve, reject });
      this.channel.hold(true);
      this.channel.send({ is: 'edit', id: this.lastId, edits, who });
    });
  }

  /** From now on the thread keeps the process alive only while somebody waits for an edit. */
  unref(): void {
    this.isUnref = true;
    this.channel.hold(false);
  }

  /** Ends the thread. Edits under way reject: whether they were made is unknown. */
  async close(): Promise<void> {
    this.isOver = true;
    this.rejectWaiting('the registry is closed');
    await this.channel.end();
  }

  private take(message: FromFiles): void {
    switch (message.is) {
      case 'changes':
        this.parts.push(message.changes);
        break;
      case 'changed': {
        const changes = this.parts.flat();
        this.parts = [];
        this.listener.changed(changes, message.who, message.when);
        break;
      }
      case 'open':
        this.listener.opened();
        break;
      case 'failed':
        this.listener.failed(receivedError(message.error));
        break;
      case 'refused':
        this.listener.refused(message.why);
        break;
      case 'looked':
        this.listener.looked();
        break;
      case 'said':
        this.listener.said(message.level, message.event, message.text);
        break;
      case 'edited':
        this.settle(message.id)?.resolve(message.applied);
        break;
      case 'not edited':
        this.settle(message.id)?.reject(receivedError(message.error));
        break;
    }
  }

  private settle(id: number): PendingEdit | undefined {
    const pending = this.waiting.get(id);
    this.waiting.delete(id);
    if (this.isUnref && this.waiting.size === 0) this.channel.hold(false);
    return pending;
  }

  private end(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.rejectWaiting(`the thread that edits the registry ended, and whether the edit was made is unknown: ${why}`);
    this.listener.lost(why);
  }

  private rejectWaiting(why: string): void {
    for (const { reject } of this.waiting.values()) reject(new RegistryUnavailable(why));
    this.waiting.clear();
  }
}
