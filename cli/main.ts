import { Command, CommanderError, Option } from 'commander';
import { explain, LoamError } from '../core/errors.ts';
import type { SettingName } from '../core/settings.ts';
import type { RoleName } from '../roles/context.ts';
import { PRESETS } from '../telemetry/logger-files/presets.ts';
import type { Options } from './options.ts';
import { printError } from './output.ts';
import { addRegistry } from './registry-words.ts';
import { shownArguments } from './shown-arguments.ts';
import { simulateOptions } from './simulate/command-line.ts';
import { COMMON, later, MQTT, RUNNING, withSettings } from './words.ts';

const OPS: SettingName[] = ['opsHost', 'opsPort'];
const MQTT_LISTENERS: SettingName[] = [
  ...MQTT,
  'mqttsPort',
  'mqttWsPort',
  'mqttWssPort',
  'tlsCert',
  'tlsKey',
  'tlsCa',
  'tlsCrl',
  'payloadKb',
  'mqttConnections',
  'mqttConnectionsPerAddress',
];
const HTTP: SettingName[] = [
  'httpHost',
  'httpPort',
  'httpsCert',
  'httpsKey',
  'trustedProxies',
  'mqttAddress',
  'sessionKey',
  'token',
];

/**
 * The code of each command is loaded when the command is called: `--help` need not wait until the code of the database,
 * the broker and all settings is loaded.
 */
const code = {
  audit: () => import('./audit.ts'),
  check: () => import('./check.ts'),
  dead: () => import('./dead.ts'),
  events: () => import('./events.ts'),
  imports: () => import('./import.ts'),
  init: () => import('./init.ts'),
  repair: () => import('./repair.ts'),
  role: () => import('./role.ts'),
  simulate: () => import('./simulate.ts'),
};

/** Runs the `loam` command. Exits 0 when all went well, 2 for a wrong setting or argument, 1 for what failed later. */
export async function main(argv: readonly string[]): Promise<void> {
  hideSecrets(argv);
  try {
    await program().parseAsync(argv);
  } catch (error) {
    // Exits explicitly: the failed command may have left a timer or a socket that would keep the process alive.
    process.exit(report(error));
  }
}

/** Takes secrets that were given as options out of what lists of processes show. Before that they were there for a moment. */
function hideSecrets(argv: readonly string[]): void {
  const shown = shownArguments(argv);
  if (shown.some((argument, i) => argument !== argv[i])) process.title = shown.join(' ');
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  printError(`loam: ${explain(error)}\n`);
  if (!(error instanceof LoamError) && error instanceof Error) printError(`${framesOf(error)}\n`);
  return error instanceof LoamError ? 2 : 1;
}

/** Where it was thrown. The stack begins with the message, which `explain` has told without passwords. */
function framesOf({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .join('\n');
}

function program(): Command {
  const loam = new Command('loam')
    .description(
      'Takes readings from sensors in fields over MQTT, keeps every one it said yes to, and shows them live.',
    )
    .helpCommand('help [command]', 'what a command does and which options it has')
    .addHelpText(
      'after',
      `
Start here:
  loam up                                  everything in one process, with a demo farm; prints the dashboard's address
  loam sensor add probe-1 --farm demo      makes a secret for a sensor of your own and shows how to connect it
  loam check                               is every setting right, is every server reachable?

Every option is also an environment variable, shown beside it: --mqtt-port is LOAM_MQTT_PORT. The option wins.
Exit codes: 0 done, 2 a wrong setting or argument, 1 failed while running.`,
    )
    .exitOverride();
  addRoles(loam);
  addLoadTests(loam);
  addSetUp(loam);
  addRegistry(loam);
  addDeadLetters(loam);
  addEvents(loam);
  addImport(loam);
  return loam;
}

function addRoles(loam: Command): void {
  const role = (name: RoleName | 'up', summary: string, settings: SettingName[]) =>
    withSettings(loam.command(name).description(summary), settings).action(async (options: Options) =>
      (await code.role()).runRole(name, options),
    );

  const everywhere = [...COMMON, 'queue', 'log'] as const;
  role('up', 'run every role in one process (what npm start does)', [
    'data',
    ...everywhere,
    'store',
    'diskReserve',
    ...MQTT_LISTENERS,
    'sources',
    ...HTTP,
    'firstSignInFrom',
    'secretKey',
    ...OPS,
    'demo',
  ]);
  role('broker', 'run the MQTT broker alone', [
    'data',
    ...everywhere,
    'spool',
    'spoolMb',
    'diskReserve',
    ...MQTT_LISTENERS,
    'sources',
    'secretKey',
    ...OPS,
  ]);
  role('worker', 'run one worker alone: validate, store, announce', [...everywhere, 'store', ...OPS]);
  role('gateway', 'run the dashboard gateway alone', ['data', ...everywhere, 'store', ...HTTP, 'secretKey', ...OPS]);
}

function addLoadTests(loam: Command): void {
  simulateOptions(
    withSettings(loam.command('simulate').description('publish as sensors would; load and fault tests'), [
      'data',
      'logLevel',
      'url',
      'token',
    ]),
  ).action(later(async () => (await code.simulate()).simulateCommand));

  withSettings(
    loam
      .command('audit <promises>')
      .description('compare the acknowledged readings of a load test with what is stored'),
    ['data', 'url', 'token'],
  )
    .option('--since <time>', 'only readings measured since then: a time, Unix ms, or a span such as 10m, 2h, 3d')
    .option('--json', 'one JSON object instead of sentences')
    .action(later(async () => (await code.audit()).auditCommand));
}

function addSetUp(loam: Command): void {
  withSettings(loam.command('check').description('check settings, registry and connections, and say what is wrong'), [
    'data',
    ...COMMON,
    'queue',
    'log',
    'store',
    'spool',
    'diskReserve',
  ]).action(later(async () => (await code.check()).checkCommand));

  withSettings(
    loam.command('repair').description('look at every file in the data folder; with --yes, mend what is damaged'),
    ['data', 'registry', 'queue', 'log', 'store', 'spool'],
  )
    .option('--yes', 'mend; everything is kept as it was before, too')
    .option('--json', 'one JSON object instead of sentences')
    .action(later(async () => (await code.repair()).repairCommand));

  withSettings(
    loam.command('init').description('write a new, empty registry where none is: a first start does that by itself'),
    ['data', ...COMMON],
  ).action(later(async () => (await code.init()).initCommand));
}

function addDeadLetters(loam: Command): void {
  const dead = loam.command('dead').description('what came in and could not be read: list, show, replay, discard');
  const ofLetters = (command: Command) =>
    withSettings(command, RUNNING)
      .option('--farm <farm>', 'whose letters; may be left out when there is one farm')
      .option('--nobodys', 'queue messages that nobody can read');
  const chosen = (command: Command) =>
    ofLetters(command)
      .option('--sensor <sensor>', 'only those of one sensor')
      .option('--reason <reason>', 'only those with one reason');
  chosen(dead.command('list').description('list dead letters, newest first'))
    .addOption(new Option('--state <state>', 'which').choices(['open', 'replayed', 'discarded', 'all']).default('open'))
    .option('--limit <count>', 'at most so many of a farm', '50')
    .action(later(async () => (await code.dead()).listDead));
  ofLetters(dead.command('show <offset>').description('show one letter, with what was sent')).action(
    later(async () => (await code.dead()).showDead),
  );
  chosen(dead.command('replay [offsets...]').description('put letters back into the queue, when their cause is mended'))
    .option('--all', 'every open one, or every one with that sensor or reason')
    .action(later(async () => (await code.dead()).replayDead));
  chosen(dead.command('discard [offsets...]').description('take letters from the list of open ones'))
    .option('--all', 'every open one, or every one with that sensor or reason')
    .action(later(async () => (await code.dead()).discardDead));
}

function addEvents(loam: Command): void {
  withSettings(
    loam
      .command('events')
      .description('what people did, what was overwritten and changed, and who was refused: newest first'),
    RUNNING,
  )
    .option('--farm <farm>', 'only what is certainly of one farm')
    .option('--kind <kinds>', 'only these kinds, with commas between: "refused" is every refusal, others as listed')
    .option('--text <text>', 'only those with this text in them')
    .option('--since <time>', 'only those since then: a time, Unix ms, or a span such as 10m, 2h, 3d')
    .option('--limit <count>', 'at most so many', '50')
    .option('--json', 'a JSON object a line')
    .action(later(async () => (await code.events()).eventsCommand));
}

function addImport(loam: Command): void {
  const several = (value: string, before: string[] = []) => [...before, value];
  const presets = PRESETS.map(({ name, label }) => `  ${name.padEnd(6)} ${label}`).join('\n');
  withSettings(loam.command('import <file>').description('read what a logger has written over the past'), RUNNING)
    .requiredOption('--farm <farm>', 'farm of the sensor')
    .option('--sensor <sensor>', 'registered sensor that the readings are of')
    .option('--preview', 'show how the file is read and what would be overwritten, and store nothing')
    .addOption(new Option('--dry-run', 'the same as --preview').implies({ preview: true }))
    .option('--preset <name>', 'form of the file, one of those below (default: as its first lines look)')
    .option('--time <column>', 'column with the time of measurement, or the date (default: as the file looks)')
    .option('--clock <column>', 'column with the time of day, where the date has its own')
    .option('--map <column=metric>', 'what a column measures; once for each (default: as the headers say)', several)
    .option('--unit <metric=unit>', 'unit in the file, where the header does not say it', several)
    .option('--sensor-column <column>', 'column that names the sensor of each line')
    .option('--sensor-name <name=sensor>', 'which sensor a name in that column is; once for each', several)
    .option('--missing <text>', 'what stands for no value, such as --missing=-9999; once for each', several)
    .option('--zone <zone>', 'time zone of times that name none, or +02:00 (default: the file’s, or the farm’s)')
    .option('--time-format <format>', 'such as "DD.MM.YY HH:mm" or "MM/DD/YYYY hh:mm A" (default: as the times look)')
    .option('--header-line <number>', 'line with the names of the columns (default: as the file looks)')
    .option('--encoding <name>', 'utf-8, windows-1252, utf-16le or utf-16be (default: as the file looks)')
    .option('--delimiter <character>', 'between columns; "tab" is one (default: as the file looks)')
    .addOption(
      new Option('--decimal <character>', 'before decimals (default: as the numbers look)').choices(['.', ',']),
    )
    .option('--report <file>', 'write all refused lines to this CSV file')
    .option('--restart', 'begin at the first line, also when an import of the file was broken off')
    .addHelpText(
      'after',
      `
Begin with --preview: it shows the columns, the first readings as they would be stored, and how many stored values
would be overwritten. A column is called as in the file; of two with one name, "NAME (1)" and "NAME (2)", or #4 for the
fourth. COLUMN=SENSOR/METRIC gives a column a sensor of its own.

Forms that are found by themselves, or named with --preset:
${presets}

Broken off, the same command goes on where it was. Twice imported is stored once.`,
    )
    .action(async (file: string, options: Options) => {
      process.exitCode = await (await code.imports()).importCommand(file, options);
    });
}
