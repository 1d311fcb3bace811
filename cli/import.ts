import { Api } from './api.ts';
import { type ImportPlan, planOf } from './import-plan.ts';
import { PreviewedRows, printForm } from './import-preview.ts';
import { ImportProgress } from './import-progress.ts';
import { HeldLines, RepeatedTimes } from './import-repeats.ts';
import { ImportReport } from './import-report.ts';
import { type RefusedLine, rowsOf } from './import-rows.ts';
import { type ImportAnswer, ImportSender } from './import-sender.ts';
import { ImportMemory, type ImportState } from './import-state.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printError } from './output.ts';

/** The first reading of a file larger than this (bytes) takes seconds, so the terminal says what is going on. */
const LONG_FILE = 16 * 1024 ** 2;

/**
 * `loam import`: imports past readings from a logger's file, or says with `--preview` what would be stored. Resolves with
 * the exit code: 1 when a line was refused. One that was broken off goes on where it was.
 */
export async function importCommand(path: string, options: Options): Promise<number> {
  const settings = settingsOf(options);
  const api = await Api.open(settings);
  const plan = await planOf(api, path, options);
  const isPreview = options.preview === true;
  if (isPreview) printForm(plan);
  if (plan.file.size > LONG_FILE) printError('looking for lines that would overwrite each other\n');
  const repeated = await lookThrough(plan);
  const memory = new ImportMemory(plan, settings.url, (why) => printError(`${why}\n`));
  const before = isPreview || options.restart === true ? undefined : await memory.load();
  if (before) printError(`goes on where it was broken off: ${before.accepted} lines are imported already\n`);
  const run = await ImportRun.open({ api, plan, isPreview, memory, before, report: text(options, 'report') });
  try {
    await run.all(repeated);
    if (!isPreview) await memory.forget();
  } catch (error) {
    if (run.isRemembered) printError('broken off: the same command goes on there\n');
    throw error;
  } finally {
    await run.end();
  }
  return run.refusals > 0 ? 1 : 0;
}

/** Reads the whole file before anything is sent: of lines that contradict each other none may be, and the first is not known alone. */
async function lookThrough(plan: ImportPlan): Promise<RepeatedTimes> {
  const repeated = new RepeatedTimes(plan.file.size);
  for await (const { rows, line } of rowsOf(plan)) {
    for (const row of rows) repeated.look(row);
    repeated.lastLine = Math.max(repeated.lastLine, line);
  }
  return repeated;
}

interface RunParts {
  readonly api: Api;
  readonly plan: ImportPlan;
  readonly isPreview: boolean;
  readonly memory: ImportMemory;
  readonly before: ImportState | undefined;
  /** Path of the file for refused lines. */
  readonly report: string | undefined;
}

class ImportRun {
  private readonly parts: RunParts;
  private readonly progress: ImportProgress;
  private readonly report: ImportReport;
  private readonly sender: ImportSender;
  private readonly previewed: PreviewedRows;
  private readonly sums = { accepted: 0, overwritten: 0, notCompared: 0, unchanged: 0 };
  private missing = 0;
  /** Some of the file is in the queue, and it is remembered how much. */
  isRemembered = false;

  private constructor(parts: RunParts, progress: ImportProgress, report: ImportReport) {
    this.parts = parts;
    this.progress = progress;
    this.report = report;
    const { api, plan, isPreview, before } = parts;
    this.previewed = new PreviewedRows(plan);
    this.sums = {
      ...this.sums,
      ...(before && { accepted: before.accepted, overwritten: before.overwritten, notCompared: before.notCompared }),
    };
    this.sender = new ImportSender({
      api,
      plan,
      isPreview,
      skip: before?.pieces ?? 0,
      onWait: (why) => progress.waits(why),
      onAnswer: (answer, sensor, pieces) => this.answered(answer, sensor, pieces),
    });
  }

  static async open(parts: RunParts): Promise<ImportRun> {
    const progress = new ImportProgress(parts.plan.file.size);
    const { before } = parts;
    const mark = before && { count: before.refusals, bytes: before.reportBytes };
    const report = await ImportReport.open(parts.report, mark, (line) => progress.tell(line));
    return new ImportRun(parts, progress, report);
  }

  get refusals(): number {
    return this.report.count;
  }

  /** Sends all lines of the file. Those of repeated times are held until all are known. */
  async all(repeated: RepeatedTimes): Promise<void> {
    const { plan } = this.parts;
    const held = new HeldLines(plan);
    for await (const { rows, refused, line, bytes, missing } of rowsOf(plan)) {
      if (line > repeated.lastLine) {
        await this.refuse(fileGrewRefusal(line));
        break;
      }
      this.missing += missing;
      for (const one of refused) await this.refuse(one);
      for (const row of rows) {
        if (repeated.has(row[1])) held.add(row);
        else await this.sender.take(row);
      }
      this.progress.at(bytes, this.sums.accepted);
    }
    const settled = held.settle();
    for (const one of settled.refused) await this.refuse(one);
    for (const row of settled.rows) await this.sender.take(row);
    await this.sender.end();
    this.progress.at(plan.file.size, this.sums.accepted);
  }

  async end(): Promise<void> {
    this.progress.end();
    await this.report.end();
    const { plan, isPreview } = this.parts;
    const { accepted, overwritten, notCompared, unchanged } = this.sums;
    const whose = plan.sensor === '' ? plan.farm : plan.sensor;
    print(
      `${accepted} lines ${isPreview ? 'would be imported' : 'imported'} for ${whose}, ${this.report.count} refusals\n`,
    );
    if (this.missing > 0) print(`${this.missing} cells say that there is no value\n`);
    if (isPreview) print(`${overwritten} values would overwrite others, ${unchanged} are stored already as they are\n`);
    else if (overwritten > 0) print(`${overwritten} values overwrite others: the event log has both\n`);
    if (notCompared > 0) print(`${notCompared} lines were not compared with what is stored\n`);
  }

  /** What was refused before the place where the import goes on was told then. */
  private async refuse(line: RefusedLine): Promise<void> {
    if (!this.sender.isBehind) await this.report.add(line);
  }

  private async answered(answer: ImportAnswer, sensor: string, pieces: number): Promise<void> {
    const { isPreview, memory } = this.parts;
    this.sums.accepted += answer.accepted;
    this.sums.overwritten += answer.overwritten;
    this.sums.notCompared += answer.notCompared;
    this.sums.unchanged += answer.unchanged;
    for (const line of answer.refused) await this.report.add(line);
    if (isPreview) this.previewed.print(answer, sensor);
    else {
      const { count, bytes } = await this.report.mark();
      const { unchanged: _, ...sums } = this.sums;
      await memory.save({ pieces, ...sums, refusals: count, reportBytes: bytes });
      this.isRemembered = true;
    }
  }
}

function fileGrewRefusal(line: number): RefusedLine {
  const explanation = 'the file has grown meanwhile; this line and those after it were not taken: import it again';
  return { line, path: 'line', reason: 'file_grew', explanation };
}
