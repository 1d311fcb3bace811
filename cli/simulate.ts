import { writeFile } from 'node:fs/promises';
import { clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { BrokerUnreachable, ConfigInvalid, CredentialsRefused, explain } from '../core/errors.ts';
import { Ledger } from '../simulators/ledger.ts';
import { runLoad } from '../simulators/load/load.ts';
import type { LoadReport } from '../simulators/load/report.ts';
import { type BreakReport, runUntilBreak } from '../simulators/load/until-break.ts';
import { reportPage } from '../simulators/report-page.ts';
import { type RunOptions, runScript } from '../simulators/run.ts';
import { type RunVerdict, tellVerdict, verdictOf } from '../simulators/verify.ts';
import { Api } from './api.ts';
import { type Options, settingsOf } from './options.ts';
import { print, printError } from './output.ts';
import { loadPlan } from './simulate/load-plan.ts';
import { Observer } from './simulate/observer.ts';
import { readSimulateOptions, type SimulateOptions } from './simulate/options.ts';
import { knownSecrets, provision, signIns, waitUntilAccepted } from './simulate/sign-ins.ts';
import { openView, tellReport, type View } from './simulate/view.ts';

/** The result of a run. */
interface RunOutcome {
  readonly report: LoadReport;
  readonly verdict?: RunVerdict;
  readonly lines: readonly string[];
  /** Lines that the report's page shows before its figures. */
  readonly steps?: readonly string[];
}

const EXIT = { well: 0, lost: 1, unreachable: 3, refused: 4 } as const;
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * `loam simulate`. Exits 0 when all was acknowledged (and, with --verify, accounted for), 1 when something was not, 2
 * for a wrong option or profile, 3 when the broker cannot be reached, 4 when it refuses the credentials, 130 or 143
 * when a signal ended the run early. After a signal, what was found until then is reported too.
 */
export async function simulateCommand(given: Options): Promise<void> {
  const config = settingsOf(given);
  const options = await readSimulateOptions(given);
  const ending = new AbortController();
  let endedBy: number | undefined;
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.once(signal, () => {
      endedBy = code;
      printError('\nstopping: waiting for what is not acknowledged yet; once more ends at once\n');
      process.once(signal, () => process.exit(code));
      ending.abort();
    });
  }
  const view = openView(options.forMs);
  try {
    const outcome = await run(config, options, view, ending.signal);
    view.end();
    print(`${outcome.lines.join('\n')}\n`);
    await keep(options, outcome);
    process.exitCode = endedBy ?? (isWell(outcome) ? EXIT.well : EXIT.lost);
  } catch (error) {
    view.end();
    if (endedBy !== undefined && error === ending.signal.reason) {
      printError('loam: ended before a message was sent\n');
      process.exitCode = endedBy;
      return;
    }
    if (!(error instanceof BrokerUnreachable) && !(error instanceof CredentialsRefused)) throw error;
    printError(`loam: ${explain(error)}\n`);
    process.exitCode = error instanceof BrokerUnreachable ? EXIT.unreachable : EXIT.refused;
  }
}

async function run(config: Config, options: SimulateOptions, view: View, signal: AbortSignal): Promise<RunOutcome> {
  const signIn = await signInsOf(config, options, view, signal);
  return options.load === undefined
    ? simulate(config, options, signIn, view, signal)
    : loadTest(options, options.load, signIn, view, signal);
}

async function signInsOf(
  config: Config,
  { script, secrets, alike, provision: isProvisioned, run: { url } }: SimulateOptions,
  view: View,
  signal: AbortSignal,
): Promise<RunOptions['signIn']> {
  if (alike) return () => alike;
  const known = await knownSecrets(config, secrets);
  if (isProvisioned) {
    const tell = (done: number, of: number) => view.preparing('sensors registered', done, of);
    const newest = await provision(await Api.open(config), config, script.lines, known, tell, signal);
    if (newest) await waitUntilAccepted(url, newest, signal);
  }
  return signIns(script.lines, known);
}

async function simulate(
  config: Config,
  options: SimulateOptions,
  signIn: RunOptions['signIn'],
  view: View,
  signal: AbortSignal,
): Promise<RunOutcome> {
  const { script } = options;
  const ledger = options.verify ? new Ledger() : undefined;
  const farms = [...new Set(script.lines.map(({ group }) => group.farm))];
  const observer = ledger ? new Observer(await Api.open(config), ledger, farms) : undefined;
  try {
    await observer?.watch();
    const report = await runScript({
      ...options.run,
      script,
      signIn,
      signal,
      ...(options.forMs === undefined ? {} : { forMs: options.forMs }),
      ...(ledger ? { ledger } : {}),
      onConnecting: (done, of) => view.preparing('connections', done, of),
      onStretch: (stretch) => view.stretch(stretch),
    });
    view.end();
    const verdict = observer && ledger ? verdictOf(ledger, await observer.findings()) : undefined;
    const counts = `${report.sensors} sensors: ${report.readings} readings, ${report.duplicates} duplicates, ${report.malformed} malformed messages, ${report.failed} given up`;
    return {
      report,
      ...(verdict ? { verdict } : {}),
      lines: [counts, ...tellReport(report), ...(verdict ? tellVerdict(verdict) : [])],
    };
  } finally {
    observer?.close();
  }
}

async function loadTest(
  options: SimulateOptions,
  load: NonNullable<SimulateOptions['load']>,
  signIn: RunOptions['signIn'],
  view: View,
  signal: AbortSignal,
): Promise<RunOutcome> {
  const plan = loadPlan(options, load, signIn);
  const heard = {
    signal,
    onConnecting: (connected: number) => view.preparing('connections', connected, plan.connections.length),
    onStretch: view.stretch.bind(view),
  };
  if (!load.untilBreak) {
    const report = await runLoad(plan, heard);
    return { report, lines: tellReport(report) };
  }
  const report = await runUntilBreak(plan, heard);
  const steps = tellSteps(report);
  return { report, steps, lines: [...tellReport(report), ...steps] };
}

function tellSteps({ steps, heldRate, broke, generator }: BreakReport): string[] {
  const rows = steps.map(
    ({ rate, acknowledgedPerSecond, p99Ms, held }) =>
      `  ${Math.round(rate)}/s: ${Math.round(acknowledgedPerSecond)}/s acknowledged, p99 ${p99Ms?.toFixed(0) ?? '-'} ms, ${held ? 'held' : 'broke'}`,
  );
  const end = broke === undefined ? 'nothing broke before the end' : broke;
  const held = heldRate === undefined ? 'no rate held' : `${Math.round(heldRate)}/s held`;
  return [...rows, `${held}; ${end}${generator.wasTheLimit ? ' (the generator was the limit)' : ''}`];
}

/**
 * Whether a run exits with 0. A load test with --until-break is judged like any other: that the broker did not keep up
 * in the end is what was asked for.
 */
function isWell({ report, verdict }: RunOutcome): boolean {
  if (verdict) return verdict.ok;
  const failed = 'failed' in report && typeof report.failed === 'number' ? report.failed : 0;
  return report.sent > 0 && report.unacknowledged === 0 && failed === 0;
}

async function keep(
  { report: path, title }: SimulateOptions,
  { report, verdict, steps = [] }: RunOutcome,
): Promise<void> {
  if (path === undefined) return;
  const base = path.replace(/\.(html|json)$/, '');
  const about = [
    new Date(clock.now()).toISOString(),
    `Node ${process.version}, ${process.platform}-${process.arch}`,
    ...steps,
  ];
  try {
    await writeFile(
      `${base}.json`,
      `${JSON.stringify({ title, ...report, ...(verdict ? { verdict } : {}) }, null, 2)}\n`,
    );
    await writeFile(`${base}.html`, reportPage(report, { title, about, ...(verdict ? { verdict } : {}) }));
  } catch (cause) {
    throw new ConfigInvalid('--report', `--report: cannot write ${base}.json and .html: ${explain(cause)}`, { cause });
  }
  print(`The report is in ${base}.html and ${base}.json\n`);
}
