import { createHash } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { explain } from '../core/errors.ts';
import type { ImportPlan } from './import-plan.ts';

const savedState = z.object({
  version: z.literal(1),
  of: z.string(),
  pieces: z.int().min(0),
  accepted: z.int().min(0),
  overwritten: z.int().min(0),
  notCompared: z.int().min(0),
  refusals: z.int().min(0),
  reportBytes: z.int().min(0),
});

/** How far an import is: so many pieces of the file were sent and are in the queue, and what came of them. */
export type ImportState = Omit<z.infer<typeof savedState>, 'version' | 'of'>;

/**
 * Remembers beside the file how far its import is, so that one that was broken off goes on there. Reading a file makes
 * the same pieces each time: it is enough to count them. What belongs to another file or other options is not used.
 */
export class ImportMemory {
  private readonly path: string;
  private readonly of: string;
  private readonly warn: (text: string) => void;
  private isWarned = false;

  constructor(plan: ImportPlan, url: string, warn: (text: string) => void) {
    this.path = `${plan.file.path}.loam-import`;
    this.of = identityOf(plan, url);
    this.warn = warn;
  }

  /** Where the same import was broken off; undefined when it was not. */
  async load(): Promise<ImportState | undefined> {
    try {
      const { version: _, of, ...state } = savedState.parse(JSON.parse(await readFile(this.path, 'utf8')));
      return of === this.of ? state : undefined;
    } catch {
      // Not there, or of no use: the import begins at the beginning, which makes the same points again.
      return undefined;
    }
  }

  async save(state: ImportState): Promise<void> {
    const next = `${this.path}.next`;
    try {
      await writeFile(next, JSON.stringify({ version: 1, of: this.of, ...state }));
      await rename(next, this.path);
    } catch (error) {
      if (!this.isWarned) this.warn(`if it is broken off it will begin anew: ${explain(error)}`);
      this.isWarned = true;
    }
  }

  async forget(): Promise<void> {
    await rm(this.path, { force: true });
  }
}

/** Everything that decides which pieces are sent, and where. */
function identityOf({ file, farm, sensor, named, zone, written, columns }: ImportPlan, url: string): string {
  const { digest, encoding, table } = file;
  const mapped = columns.map((column) => [column.place, column.metric, column.sensor, column.unit]);
  const form = [digest, encoding, table.delimiter, table.headLines, table.time, zone, written];
  const parts = [url, farm, sensor, named?.place, form, mapped, named?.known, columns.map(({ missing }) => missing)];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
