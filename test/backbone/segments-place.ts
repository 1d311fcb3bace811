import type { Damage } from '../../backbone/files/damage.ts';
import { Disk } from '../../backbone/files/disk.ts';
import { FileSystem } from '../../backbone/files/file-system.ts';
import { USUAL_RESERVE } from '../../backbone/files/reserve.ts';
import { FOLDER, type MemoryDisk } from './memory-disk.ts';

/** A folder on a disk in memory, and what is reported of the files there. */
export function placeOn(files: MemoryDisk) {
  const damages: Damage[] = [];
  const torn: number[] = [];
  return {
    files,
    folder: FOLDER,
    // Of a disk without a reserve nothing is refused.
    disk: new Disk(
      FOLDER,
      new FileSystem(FOLDER, { log: undefined, readRoom: async () => ({ total: 0, free: 0 }), reserve: USUAL_RESERVE }),
    ),
    report: {
      damaged: (damage: Damage) => void damages.push(damage),
      torn: (_file: string, _at: number, bytes: number) => void torn.push(bytes),
    },
    damages,
    torn,
  };
}

/**
 * What a test has told a file on a disk, and what it was told back. Texts that were confirmed must be there, in order;
 * those of which that is unknown may be there.
 */
export class Story {
  confirmed: string[] = [];
  readonly maybe = new Set<string>();

  copy(): Story {
    const copy = new Story();
    copy.confirmed = [...this.confirmed];
    for (const text of this.maybe) copy.maybe.add(text);
    return copy;
  }

  /** Adds texts by `write`; whether they are confirmed depends on how it ends. */
  async add(texts: readonly string[], write: (bodies: Buffer[]) => Promise<void>): Promise<void> {
    for (const text of texts) this.maybe.add(text);
    await write(texts.map((text) => Buffer.from(text)));
    for (const text of texts) this.maybe.delete(text);
    this.confirmed.push(...texts);
  }

  /** From now on they may be gone. */
  giveUp(isGoing: (text: string) => boolean): void {
    for (const text of this.confirmed) if (isGoing(text)) this.maybe.add(text);
    this.confirmed = this.confirmed.filter((text) => !isGoing(text));
  }

  /** What is wrong with what was found; undefined when nothing is. */
  wrong(found: readonly string[]): string | undefined {
    const kept = found.filter((text) => !this.maybe.has(text));
    if (kept.join() !== this.confirmed.join()) return `confirmed: ${this.confirmed.join()}; found: ${kept.join()}`;
    return new Set(found).size === found.length ? undefined : `twice: ${found.join()}`;
  }
}
