import { createWriteStream } from 'node:fs';
import { SingleBar } from 'cli-progress';
import { stringify } from 'csv-stringify';
import { z } from 'zod';
import { clock } from '../core/clock.ts';
import { ApiRefused, ConfigInvalid, explain } from '../core/errors.ts';
import { pause } from '../core/timing.ts';
import { Api } from './api.ts';
import { linesOf } from './import-file.ts';
import { type ImportPlan, planOf } from './import-plan.ts';
import { HeldLines, RepeatedTimes, SecondHour } from './import-repeats.ts';
import { type CsvRow, type RefusedLine, refusedLine, rowOf } from './import-rows.ts';
import { type Options, settingsOf, text } from './options.ts';
import { print, printError, printOverLine } from './output.ts';

// A gateway that is not upgraded yet does not compare.
const importAnswer = z.object({
  accepted: z.number(),
  refused: z.array(refusedLine),
  overwritten: z.number().default(0),
  notCompared: z.number().default(0),
});

/** Lines in one request. */
const CHUNK = 2_000;
/** Most refused lines that the terminal shows; `--report` has all of them. */
const MOST_TOLD = 20;
const RETRY_MS = 2_000;
/** How long to retry while the gateway cannot take rows now (status 429 or 503). */
const MOST_WAIT_MS = 10 * 60_000;
/** The first reading of a file larger than this (bytes) takes seconds, so the terminal says what is going on. */
const LONG_FILE = 16 * 1024 ** 2;

/** `loam import`: imports past readings from a CSV file. Resolves with the exit code: 1 when a line was refused. */
export async function importCommand(path: string, options: Options): Promise<number> {
  const api = await Api.open(settingsOf(options));
  const plan = await planOf(api, path, options);
  if (plan.shape.size > LONG_FILE) printError('looking for lines that would overwrite each other\n');
  const repeated = await lookThrough(plan);
  const held = new HeldLines(plan);
  const secondHour = new SecondHour();
  const progress = new Progress(plan.shape.size);
  const report = new Report(text(options, 'report'), (line) => progress.tell(line));
  let accepted = 0;
  let overwritten = 0;
  let notCompared = 0;
  let rows: CsvRow[] = [];
  const send = async () => {
    if (rows.length === 0) return;
    const answer = await sendWithRetry(api, plan, rows, (why) => progress.waits(why));
    accepted += answer.accepted;
    overwritten += answer.overwritten;
    notCompared += answer.notCompared;
    for (const line of answer.refused) await report.add(line);
    rows = [];
  };
  const take = async (row: CsvRow) => {
    rows.push(row);
    if (rows.length >= CHUNK) await send();
  };
  try {
    for await (const line of linesOf(plan.path, plan.shape)) {
      if (line.number > repeated.lastLine) {
        await report.add(fileGrewRefusal(line.number));
        break;
      }
      const row = rowOf(line, plan);
      if (row && 'reason' in row) await report.add(row);
      else if (row) {
        const [number, ts] = row;
        const isTwice = plan.isTwice(line.cells?.[plan.time] ?? '', ts);
        const isSecond = secondHour.holds(ts, isTwice);
        if (repeated.has(ts)) held.add(row, isTwice);
        else if (isSecond) await report.add(ofSecondHour(number, plan));
        else await take(row);
      }
      progress.at(line.bytes, accepted);
    }
    const settled = held.settle();
    for (const line of settled.refused) await report.add(line);
    for (const row of settled.rows) await take(row);
    await send();
    progress.at(plan.shape.size, accepted);
  } finally {
    progress.end();
    await report.end();
    print(`${accepted} lines imported for ${plan.sensor}, ${report.count} refusals\n`);
    if (overwritten > 0) print(`${overwritten} values overwrite others: the event log has both\n`);
    if (notCompared > 0) print(`${notCompared} lines were not compared with what is stored\n`);
  }
  return report.count > 0 ? 1 : 0;
}

/**
 * Reads the whole file before anything is sent. Of lines that contradict each other none may be sent, and the first of
 * them cannot be recognised alone.
 */
async function lookThrough(plan: ImportPlan): Promise<RepeatedTimes> {
  const repeated = new RepeatedTimes(plan.shape.size);
  for await (const line of linesOf(plan.path, plan.shape)) {
    const row = rowOf(line, plan);
    if (row && !('reason' in row)) repeated.look(row);
    repeated.lastLine = Math.max(repeated.lastLine, line.number);
  }
  return repeated;
}

function ofSecondHour(line: number, { time, zone }: ImportPlan): RefusedLine {
  const explanation = `it goes back in the hour that the clocks of ${zone} showed twice, so it is of the second one, which its time does not say; times in UTC or with their offset do`;
  return { line, path: time, reason: 'double_time', explanation };
}

function fileGrewRefusal(line: number): RefusedLine {
  const explanation = 'the file has grown meanwhile; this line and those after it were not taken: import it again';
  return { line, path: 'line', reason: 'file_grew', explanation };
}

/** Sends rows, and retries while the gateway cannot take them. Rows that are sent twice are stored once. */
async function sendWithRetry(
  api: Api,
  { farm, sensor, units }: ImportPlan,
  rows: readonly CsvRow[],
  onWait: (why: string) => void,
) {
  const path = `/api/farms/${encodeURIComponent(farm)}/import`;
  const until = clock.passed() + MOST_WAIT_MS;
  for (;;) {
    try {
      return await api.call(path, importAnswer, { method: 'POST', body: { sensor, units, rows } });
    } catch (error) {
      const refused = error instanceof ApiRefused && (error.status === 503 || error.status === 429);
      const silent = isTimeout(error) || (error instanceof ConfigInvalid && isTimeout(error.cause));
      if (!(refused || silent) || clock.passed() > until) throw error;
      onWait(explain(error));
      await pause(RETRY_MS);
    }
  }
}

/** Whether the gateway did not answer in time: it is there, or the connection would have been refused. */
function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError';
}

/** Refused lines: the first ones on the terminal, all of them in a file when one was named. */
class Report {
  count = 0;
  private readonly file: ReturnType<typeof stringify> | undefined;
  private readonly written: Promise<void> | undefined;
  private readonly tell: (line: string) => void;

  constructor(path: string | undefined, tell: (line: string) => void) {
    this.tell = tell;
    if (path === undefined) return;
    const file = stringify({ header: true, columns: ['line', 'path', 'reason', 'explanation'] });
    const out = createWriteStream(path);
    this.written = new Promise((resolve, reject) => {
      out.on('close', resolve);
      out.on('error', (cause) => reject(new ConfigInvalid('--report', `--report: ${explain(cause)}`, { cause })));
    });
    // `end` awaits this promise. Before that, a rejection must not count as unhandled.
    this.written.catch(() => {});
    file.pipe(out);
    this.file = file;
  }

  async add({ line, path, reason, explanation }: RefusedLine): Promise<void> {
    this.count++;
    if (this.count <= MOST_TOLD) this.tell(`line ${line}: ${path}: ${explanation} (${reason})`);
    else if (this.count === MOST_TOLD + 1) this.tell('more lines are refused: --report FILE lists all');
    const { file } = this;
    if (file && !file.write({ line, path, reason, explanation })) {
      await new Promise<void>((resolve) => file.once('drain', resolve));
    }
  }

  async end(): Promise<void> {
    this.file?.end();
    await this.written;
  }
}

/** Shows how far the import is: a bar on a terminal, otherwise a line for every tenth. */
class Progress {
  private readonly size: number;
  private readonly bar: SingleBar | undefined;
  private told = 0;
  private waiting = '';

  constructor(size: number) {
    this.size = Math.max(1, size);
    if (!process.stderr.isTTY) return;
    this.bar = new SingleBar({ format: 'importing {bar} {percentage} % | {lines} lines', stream: process.stderr });
    this.bar.start(this.size, 0, { lines: 0 });
  }

  at(bytes: number, lines: number): void {
    this.waiting = '';
    this.bar?.update(Math.min(bytes, this.size), { lines });
    const tenth = Math.floor((bytes / this.size) * 10);
    if (this.bar || tenth <= this.told) return;
    this.told = tenth;
    this.tell(`${Math.min(100, tenth * 10)} % read, ${lines} lines imported`);
  }

  /** Says why the import waits. The same reason several times in a row is shown once. */
  waits(why: string): void {
    if (why !== this.waiting) this.tell(`waiting: ${why}`);
    this.waiting = why;
  }

  /** Says something on a line of its own, above the bar. */
  tell(line: string): void {
    if (this.bar) printOverLine(`${line}\n`);
    else printError(`${line}\n`);
  }

  end(): void {
    this.bar?.stop();
  }
}
