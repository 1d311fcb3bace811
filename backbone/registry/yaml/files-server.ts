import { dirname } from 'node:path';
import { removeLeftovers } from '../../../core/replace-file.ts';
import { pause } from '../../../core/timing.ts';
import { RegistryState } from '../../../telemetry/registry/state.ts';
import { RegistryFiles } from './files.ts';
import { type FilesSettings, type FromFiles, PART, sentError, type ToFiles } from './messages.ts';

/** An edit that was begun so long ago was broken off. */
const LEFTOVER_MS = 60_000;

/** Reads, follows and edits the registry's files for somebody who sends it messages, most likely from another thread. */
export class FilesServer {
  private readonly settings: FilesSettings;
  private readonly send: (message: FromFiles) => void;
  private readonly known = new RegistryState();
  private readonly files: RegistryFiles;
  private readonly stopping = new AbortController();
  /** One after the other: what was read before an edit must not come into force after it. */
  private turn: Promise<void> = Promise.resolve();

  constructor(settings: FilesSettings, send: (message: FromFiles) => void) {
    this.settings = settings;
    this.send = send;
    const { path, autoKinds, pollMs } = settings;
    this.files = new RegistryFiles(
      {
        path,
        autoKinds,
        once: pollMs === 0,
        changed: (changes, who, when) => {
          for (let at = 0; at < changes.length; at += PART) {
            send({ is: 'changes', changes: changes.slice(at, at + PART) });
          }
          send({ is: 'changed', who, when });
        },
        refused: (why) => send({ is: 'refused', why }),
        say: (level, event, text) => send({ is: 'said', level, event, text }),
      },
      this.known,
    );
  }

  take(message: ToFiles): void {
    if (message.is === 'known') {
      // They come in an order in which each part can be checked by itself.
      const edits = message.things.map(({ kind, id, thing }) => ({ kind, id, value: thing }));
      this.known.apply(this.known.check(edits));
    } else if (message.is === 'open') void this.inTurn(() => this.open());
    else void this.inTurn(() => this.edit(message.id, message.edits, message.who));
  }

  /** Ends the following. Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.turn;
  }

  private async open(): Promise<void> {
    const { path, pollMs } = this.settings;
    try {
      if (pollMs > 0) await removeLeftovers(dirname(path), LEFTOVER_MS);
      await this.files.open();
    } catch (error) {
      this.send({ is: 'failed', error: sentError(error) });
      return;
    }
    this.send({ is: 'open' });
    if (pollMs > 0) void this.poll();
  }

  private async poll(): Promise<void> {
    const { signal } = this.stopping;
    for (;;) {
      await pause(this.settings.pollMs, signal);
      if (signal.aborted) return;
      await this.inTurn(() => this.files.look());
      this.send({ is: 'looked' });
    }
  }

  private async edit(id: number, ...[edits, who]: Parameters<RegistryFiles['apply']>): Promise<void> {
    try {
      this.send({ is: 'edited', id, applied: await this.files.apply(edits, who) });
    } catch (error) {
      this.send({ is: 'not edited', id, error: sentError(error) });
    }
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(work);
    return this.turn;
  }
}
