import { type FileHandle, open } from 'node:fs/promises';
import { stringify } from 'csv-stringify/sync';
import { ConfigInvalid, explain } from '../core/errors.ts';
import type { RefusedLine } from './import-rows.ts';

/** Most refused lines that the terminal shows; `--report` has all of them. */
const MOST_TOLD = 20;
/** So much text waits to be written at once. */
const MOST_TEXT = 64 * 1024;

/** Where a report was when the import was broken off. */
export interface ReportMark {
  readonly count: number;
  readonly bytes: number;
}

/** Refused lines: the first ones on the terminal, all of them in a file when one was named. */
export class ImportReport {
  count: number;
  private readonly tell: (line: string) => void;
  private readonly file: FileHandle | undefined;
  private waiting = '';
  private bytes: number;

  private constructor(file: FileHandle | undefined, mark: ReportMark, tell: (line: string) => void) {
    this.file = file;
    this.count = mark.count;
    this.bytes = mark.bytes;
    this.tell = tell;
  }

  /** Goes on behind `mark`, where there is one and the file is that long. Rejects with ConfigInvalid when it cannot be written. */
  static async open(
    path: string | undefined,
    mark: ReportMark | undefined,
    tell: (line: string) => void,
  ): Promise<ImportReport> {
    const count = mark?.count ?? 0;
    if (path === undefined) return new ImportReport(undefined, { count, bytes: 0 }, tell);
    try {
      const file = await open(path, mark === undefined ? 'w' : 'a+');
      const { size } = await file.stat();
      const kept = mark === undefined || mark.bytes > size ? 0 : mark.bytes;
      await file.truncate(kept);
      const report = new ImportReport(file, { count, bytes: kept }, tell);
      if (kept === 0) report.waiting = stringify([['line', 'path', 'reason', 'explanation']]);
      return report;
    } catch (cause) {
      throw unwritable(cause);
    }
  }

  async add({ line, path, reason, explanation }: RefusedLine): Promise<void> {
    this.count++;
    if (this.count <= MOST_TOLD) this.tell(`line ${line}: ${path}: ${explanation} (${reason})`);
    else if (this.count === MOST_TOLD + 1) this.tell('more lines are refused: --report FILE lists all');
    if (!this.file) return;
    this.waiting += stringify([[line, path, reason, explanation]]);
    if (this.waiting.length > MOST_TEXT) await this.write();
  }

  /** Resolves when all that was added is in the file. */
  async mark(): Promise<ReportMark> {
    await this.write();
    return { count: this.count, bytes: this.bytes };
  }

  async end(): Promise<void> {
    await this.write();
    await this.file?.close();
  }

  private async write(): Promise<void> {
    const text = this.waiting;
    this.waiting = '';
    if (text === '' || !this.file) return;
    try {
      await this.file.writeFile(text);
      this.bytes += Buffer.byteLength(text);
    } catch (cause) {
      throw unwritable(cause);
    }
  }
}

function unwritable(cause: unknown): ConfigInvalid {
  return new ConfigInvalid('--report', `--report: ${explain(cause)}`, { cause });
}
