import { stat } from 'node:fs/promises';
import { clock } from '../../../core/clock.ts';
import { explain, RegistryInvalid, RegistryUnavailable } from '../../../core/errors.ts';
import { replaceFile } from '../../../core/replace-file.ts';
import { pause } from '../../../core/timing.ts';
import { differences } from '../../../telemetry/registry/file.ts';
import type { Applied, Change, Edit } from '../../../telemetry/registry/registry.ts';
import { RegistryState } from '../../../telemetry/registry/state.ts';
import { canonical, type Kind, versionOf } from '../../../telemetry/registry/things.ts';
import { editedText } from './document.ts';
import { keepLastGood, lastGoodPath, readLastGood } from './last-good.ts';
import { realFile, takeLock } from './locked-file.ts';
import { filesNamedBy, NamedFiles } from './named-files.ts';
import { autoPath, describeRegistryError, parseTexts, type RegistryTexts, readTexts, sameTexts } from './text.ts';

/** A text that was the same for so long is not being written any more. */
const SETTLED_MS = 1_000;
/** As much, when an edit waits for it. */
const SETTLE_MS = 50;
const MOST_LOOKS = 20;
/** How often an edit is begun anew because somebody saved the file meanwhile. */
const MOST_TRIES = 5;
/** In whose name changes are that were found in the file: by hand, or by another process. */
export const BY_FILE = 'file';

export interface RegistryFilesOptions {
  readonly path: string;
  /** Of these kinds new things go into the file that programs write. */
  readonly autoKinds: readonly Kind[];
  /** For a look only: nothing is written beside the file, unless an edit is made. */
  readonly once: boolean;
  /** Called with what comes into force. `when` is the time at which the file was written, Unix ms. */
  readonly changed: (changes: readonly Change[], who: string, when: number) => void;
  /** Called when the files are refused, with why, and when they are in force again. */
  readonly refused: (why: string | undefined) => void;
  readonly say: (level: 'info' | 'error', event: string | undefined, text: string) => void;
}

/**
 * The registry's files: reads them, finds what has changed, and edits them. A change by another program comes into force
 * when it has read the same for a second: the program may be half way through writing, and half a list of sensors is a
 * valid registry too. An edit by another process of Loam comes into force at once. Files that cannot be read, are empty or are no registry are refused, and what was in force before them
 * stays, also over a restart: what comes into force is kept beside them (`lastGoodPath`).
 *
 * Only one call of it may be under way at a time.
 */
export class RegistryFiles {
  readonly state: RegistryState;
  private readonly options: RegistryFilesOptions;
  private readonly namedFiles = new NamedFiles();
  /** The texts that are in force. */
  private inForce: RegistryTexts | undefined;
  /** The things that stand in the file that programs write, by kind and id. */
  private inAuto: ReadonlySet<string> = new Set();
  /** The texts that were read last, in force or not, and since when they have been these, ms by a monotonic clock. */
  private settling: { readonly texts: RegistryTexts; readonly since: number } | undefined;
  private whyRefused: string | undefined;
  /** The texts that were refused, and why: to read a large file takes long, and it may stay for days. */
  private refusedTexts: { readonly texts: RegistryTexts; readonly error: unknown } | undefined;
  /** Why there is no copy, as it was said. */
  private notKept = '';

  constructor(options: RegistryFilesOptions, known = new RegistryState()) {
    this.options = options;
    this.state = known;
  }

  /**
   * Puts the files into force. When they cannot be, what is known already stays, or else the copy that was kept; rejects
   * with RegistryInvalid where there is none.
   */
  async open(): Promise<void> {
    try {
      await this.take(await this.read());
    } catch (error) {
      if (!this.hasAnything && !(await this.tookLastGood())) throw this.named(error);
      this.refuse(error);
      return;
    }
    if (!this.options.once) await this.keep();
  }

  /** Looks whether the files are other than what is in force. Never rejects. */
  async look(): Promise<void> {
    try {
      const texts = await this.read();
      const now = clock.passed();
      if (!this.settling || !sameTexts(this.settling.texts, texts)) this.settling = { texts, since: now };
      if (sameTexts(this.inForce, texts)) this.isMended();
      else if (this.refusedTexts && sameTexts(this.refusedTexts.texts, texts)) this.refuse(this.refusedTexts.error);
      else if (now - this.settling.since >= SETTLED_MS || (await this.isAnothers(texts))) {
        await this.takeOrRemember(texts);
        await this.keep();
      }
    } catch (error) {
      this.refuse(error);
    }
  }

  /**
   * Makes the edits in the files, under a lock against other editors and in one step, so that no reader sees half of
   * them. What others have changed in the files comes into force first. If the registry is a link, the file that it
   * leads to is replaced. Rejects as `RegistryEditor.apply`; the files are unchanged then.
   */
  async apply(edits: readonly Edit[], who: string): Promise<Applied> {
    const { path } = this.options;
    const file = await realFile(path);
    const release = await takeLock(file);
    try {
      let isMade = false;
      for (let attempt = 0; !isMade; attempt++) {
        if (attempt === MOST_TRIES) throw new RegistryUnavailable('the registry is being written by another program');
        isMade = await this.applyOnce(file, edits, who);
      }
      // Also when the files were refused before.
      this.isMended();
      await this.keep();
    } finally {
      release();
    }
    return { versions: edits.map(({ kind, id }) => this.versionOf(kind, id)) };
  }

  /** Resolves with false, and changes nothing, when somebody saved the files meanwhile: theirs must not be lost. */
  private async applyOnce(file: string, edits: readonly Edit[], who: string): Promise<boolean> {
    const before = await this.settledTexts();
    // A file that was emptied by mistake is refused: the edit alone would become the whole registry.
    if (!sameTexts(this.inForce, before)) await this.take(before);
    const changes = this.state.check(edits);
    if (changes.length === 0) return true;
    const { after, inAuto } = this.edited(before, changes);
    if (!sameTexts(before, await this.read())) return false;
    await this.write(file, before, after);
    this.state.apply(changes);
    this.inForce = after;
    this.inAuto = inAuto;
    this.options.changed(changes, who, await this.writtenAt());
    return true;
  }

  private async takeOrRemember(texts: RegistryTexts): Promise<void> {
    try {
      await this.take(texts);
    } catch (error) {
      this.refusedTexts = { texts, error };
      throw error;
    }
  }

  private read(): Promise<RegistryTexts> {
    return readTexts(this.options.path, this.namedFiles);
  }

  private get hasAnything(): boolean {
    return this.state.farms.size + this.state.users.size > 0;
  }

  private async tookLastGood(): Promise<boolean> {
    const texts = await readLastGood(this.options.path);
    if (!texts) return false;
    try {
      await this.take(texts);
      return true;
    } catch {
      return false;
    }
  }

  private async take(texts: RegistryTexts): Promise<void> {
    const { path, autoKinds, changed } = this.options;
    const read = parseTexts(path, texts, autoKinds);
    let changes: readonly Change[];
    try {
      changes = this.state.check(differences(this.state, read.things));
    } catch (error) {
      throw read.located(error);
    }
    const isFirst = !this.hasAnything;
    this.state.apply(changes);
    this.inForce = texts;
    this.inAuto = read.inAuto;
    this.refusedTexts = undefined;
    this.whyRefused = undefined;
    this.options.refused(undefined);
    if (changes.length > 0) changed(changes, BY_FILE, await this.writtenAt());
    const { sensorCount, users } = this.state;
    if (!isFirst) this.options.say('info', undefined, `registry reloaded: ${sensorCount} sensors, ${users.size} users`);
  }

  /** Whether another process has these texts in force: then nobody is half way through writing them. */
  private async isAnothers(texts: RegistryTexts): Promise<boolean> {
    return sameTexts(await readLastGood(this.options.path), texts);
  }

  /** The files as nobody is writing them. Rejects with RegistryInvalid, or RegistryUnavailable when somebody does not end. */
  private async settledTexts(): Promise<RegistryTexts> {
    let before: RegistryTexts | undefined = this.inForce;
    for (let look = 0; look < MOST_LOOKS; look++) {
      const texts = await this.read();
      if (sameTexts(before, texts) || sameTexts(this.inForce, texts) || (await this.isAnothers(texts))) return texts;
      before = texts;
      await pause(SETTLE_MS);
    }
    throw new RegistryUnavailable('the registry is being written by another program');
  }

  /**
   * The edited texts: what is there is edited where it stands. Throws RegistryInvalid when they would not read as they
   * are to.
   */
  private edited(before: RegistryTexts, changes: readonly Change[]) {
    const { path, autoKinds } = this.options;
    const isAuto = ({ kind, id, before: was }: Change) =>
      was ? this.inAuto.has(`${kind} ${id}`) : autoKinds.includes(kind);
    const ofAuto = changes.filter(isAuto);
    const ofHand = changes.filter((change) => !isAuto(change));
    const hand = ofHand.length === 0 ? before.hand : editedText(before.hand, ofHand);
    const after: RegistryTexts = {
      hand,
      auto: ofAuto.length === 0 ? before.auto : editedText(before.auto ?? AUTO_HEAD, ofAuto),
      files: hand === before.hand ? before.files : filesNamedBy(hand, before.files),
    };
    const next = new Map(changes.map((change) => [`${change.kind} ${change.id}`, change]));
    const { things, inAuto } = parseTexts(path, after, autoKinds);
    const isRight = things.every(({ kind, id, thing }) => {
      const change = next.get(`${kind} ${id}`);
      const wanted = change ? change.after : this.state.get(kind, id);
      next.delete(`${kind} ${id}`);
      return wanted !== undefined && canonical(kind, wanted) === canonical(kind, thing);
    });
    if (!isRight || [...next.values()].some((change) => change.after)) {
      throw new RegistryInvalid('is written in a form that cannot be edited here, such as one with aliases');
    }
    return { after, inAuto };
  }

  /** The file that people edit is replaced first. When the other one cannot be, that is undone. */
  private async write(file: string, before: RegistryTexts, after: RegistryTexts): Promise<void> {
    try {
      if (after.hand !== before.hand) await replaceFile(file, after.hand);
      if (after.auto === undefined || after.auto === before.auto) return;
      try {
        await replaceFile(autoPath(this.options.path), after.auto);
      } catch (error) {
        if (after.hand !== before.hand) await replaceFile(file, before.hand);
        throw error;
      }
    } catch (cause) {
      throw new RegistryUnavailable('the registry cannot be edited', { cause });
    }
  }

  private versionOf(kind: Kind, id: string): string | undefined {
    const thing = this.state.get(kind, id);
    return thing && versionOf(kind, id, thing);
  }

  private async writtenAt(): Promise<number> {
    const found = await stat(this.options.path).catch(() => undefined);
    return Math.round(found?.mtimeMs ?? clock.now());
  }

  private refuse(error: unknown): void {
    const why = `${describeRegistryError(this.options.path, error)}; the last good registry stays in force`;
    if (why === this.whyRefused) return;
    this.whyRefused = why;
    this.options.say('error', 'registry_refused', why);
    this.options.refused(why);
  }

  /** The error with the registry's path, for a file that cannot be put into force at all. */
  private named(error: unknown): unknown {
    if (!(error instanceof RegistryInvalid)) return error;
    const { cause, file = this.options.path, line, place } = error;
    return new RegistryInvalid(error.message, { cause, file, line, place });
  }

  /** Keeps the registry in force beside its files. Work goes on without the copy, as in a folder that can only be read. */
  private async keep(): Promise<void> {
    if (!this.inForce) return;
    try {
      await keepLastGood(this.options.path, this.inForce);
      this.notKept = '';
    } catch (error) {
      const why = explain(error);
      const text = `the registry cannot be kept in ${lastGoodPath(this.options.path)}, so that a start with a broken one will fail: ${why}`;
      if (why !== this.notKept) this.options.say('info', 'registry_not_kept', text);
      this.notKept = why;
    }
  }

  /** The files again hold the registry that is in force. */
  private isMended(): void {
    if (this.whyRefused === undefined) return;
    this.whyRefused = undefined;
    this.options.refused(undefined);
    this.options.say('info', undefined, 'the registry is again what it was');
  }
}

const AUTO_HEAD = '# Loam writes this file: what is in it is not for editing by hand.\n';
