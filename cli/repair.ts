import { NoRoom } from '../backbone/files/file-system.ts';
import type { RepairFinding } from '../backbone/repair/part.ts';
import { clock } from '../core/clock.ts';
import { explain } from '../core/errors.ts';
import { isOfSystem } from '../core/system-error.ts';
import { leftDamaged, type RepairReport, repair } from '../roles/repair.ts';
import { type Options, settingsOf } from './options.ts';
import { print, printError, printOverLine } from './output.ts';

/** How often the line is written that says how far it is. */
const EACH_MS = 200;

/**
 * `loam repair`: looks at every file of the data folder and says what is whole and what is lost; with `--yes` it mends.
 * Exits with 0 when everything is whole or was mended, with 1 when something is damaged and was not, or may not be read.
 */
export async function repairCommand(options: Options): Promise<void> {
  const isMending = options.yes === true;
  const line = progressLine();
  let report: RepairReport;
  try {
    const inWords = (given: RepairReport) => `${said(given, true).join('\n')}\n`;
    report = await repair(settingsOf(options), { isMending, onRepair: line.say, inWords });
  } catch (error) {
    line.end();
    if (!(error instanceof NoRoom) && !isOfSystem(error)) throw error;
    const why =
      error instanceof NoRoom ? error.message : `not all can be looked at, and nothing was changed: ${explain(error)}`;
    printError(`loam: ${why}\n`);
    process.exitCode = 1;
    return;
  }
  line.end();
  const text = options.json === true ? inJson(report) : said(report, isMending).join('\n');
  print(`${text}\n`);
  process.exitCode = leftDamaged(report).length === 0 && report.brokenOff === undefined ? 0 : 1;
}

function said(report: RepairReport, isMending: boolean): string[] {
  const { findings, done, kept, brokenOff } = report;
  const left = leftDamaged(report);
  const lines = findings.map((finding) => lineOf(finding, done.get(finding)));
  const mendable = left.filter(({ mend }) => mend !== undefined).length;
  const end: string[] = [];
  if (brokenOff !== undefined) {
    end.push(`Broken off: ${brokenOff}. What was not mended is as it was; run it again when the reason is gone.`);
  } else if (left.length === 0) {
    end.push(done.size > 0 ? 'Everything is whole now.' : 'Everything is whole.');
  } else if (!isMending && mendable > 0) {
    end.push(
      `${mendable} of ${left.length} damaged can be mended: loam repair --yes. Everything is kept as it was before, too.`,
    );
  }
  const others = left.length - (isMending ? 0 : mendable);
  if (brokenOff === undefined && others > 0) end.push(`${others} damaged cannot be mended by this: see above.`);
  if (kept !== undefined) end.push(`As it was before it is in ${kept}.`);
  return [...lines, '', ...end];
}

const WORDS = { whole: 'ok      ', note: 'note    ', damaged: 'DAMAGED ' } as const;

function lineOf({ part, path, is, text }: RepairFinding, done: string | undefined): string {
  const mended = done === undefined ? '' : `\nmended  ${part}: ${path}: ${done}`;
  return `${WORDS[is]}${part}: ${path}: ${text}${mended}`;
}

function inJson(report: RepairReport): string {
  const findings = report.findings.map((finding) => {
    const { part, path, is, text, figures } = finding;
    const mended = report.done.get(finding);
    return { part, path, is, text, ...(figures && { figures }), ...(mended !== undefined && { mended }) };
  });
  const { kept, brokenOff, data } = report;
  const isWhole = leftDamaged(report).length === 0 && brokenOff === undefined;
  return JSON.stringify({ data, whole: isWhole, kept, brokenOff, findings });
}

/** One line on a terminal that is written over and over. */
function progressLine(): { say(at: string): void; end(): void } {
  if (!process.stderr.isTTY) return { say: () => {}, end: () => {} };
  let last = clock.passed();
  return {
    say: (at) => {
      const now = clock.passed();
      if (now - last < EACH_MS) return;
      last = now;
      printOverLine(at.slice(0, (process.stderr.columns ?? 80) - 1));
    },
    end: () => {
      printOverLine('');
    },
  };
}
