import { Command, CommanderError, Option } from 'commander';
import { explain, LoamError } from '../core/errors.ts';
import { SETTINGS, type Setting, type SettingName } from '../core/settings.ts';
import type { RoleName } from '../roles/context.ts';
import type { Options } from './options.ts';
import { simulateOptions } from './simulate/command-line.ts';

const COMMON: SettingName[] = ['registry', 'logLevel'];
const OPS: SettingName[] = ['opsHost', 'opsPort'];
const MQTT: SettingName[] = ['mqttHost', 'mqttPort'];
const MQTT_LISTENERS: SettingName[] = [
  ...MQTT,
  'mqttsPort',
  'mqttWsPort',
  'mqttWssPort',
  'tlsCert',
  'tlsKey',
  'tlsCa',
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

/** The settings of commands that talk to a running Loam. */
const RUNNING: SettingName[] = ['data', 'url', 'token', 'logLevel'];

/**
 * The code of each command is loaded when the command is called: `--help` need not wait until the code of the database,
 * the broker and all settings is loaded.
 */
const code = {
  audit: () => import('./audit.ts'),
  check: () => import('./check.ts'),
  dead: () => import('./dead.ts'),
  imports: () => import('./import.ts'),
  init: () => import('./init.ts'),
  repair: () => import('./repair.ts'),
  role: () => import('./role.ts'),
  sensor: () => import('./sensor.ts'),
  sensorCommands: () => import('./sensor-commands.ts'),
  simulate: () => import('./simulate.ts'),
  user: () => import('./user.ts'),
};

/** A command's action, which loads its code first. */
function later<A extends unknown[]>(load: () => Promise<(...given: A) => unknown>): (...given: A) => Promise<void> {
  return async (...given) => {
    const action = await load();
    await action(...given);
  };
}

/** Runs the `loam` command. Exits 0 when all went well, 2 for a wrong setting or argument, 1 for what failed later. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (error) {
    // Exits explicitly: the failed command may have left a timer or a socket that would keep the process alive.
    process.exit(report(error));
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  process.stderr.write(`loam: ${explain(error)}\n`);
  if (!(error instanceof LoamError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return error instanceof LoamError ? 2 : 1;
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
  addSensors(loam);
  addDeadLetters(loam);
  addImport(loam);
  addUsers(loam);
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

function addSensors(loam: Command): void {
  const sensor = loam.command('sensor').description('sensors in the registry: add, list, remove; commands to them');
  withSettings(sensor.command('add <id>').description('register a sensor and print its secret, once'), [
    'data',
    ...COMMON,
    ...MQTT,
    'secretKey',
  ])
    .requiredOption('--farm <farm>', 'farm it belongs to')
    .option('--field <field>', 'field it stands in')
    .option('--name <name>', 'name that people know it by')
    .option('--interval <seconds>', 'how often it is expected to report')
    .option('--token <token>', 'the device’s own token, where it cannot be given a secret')
    .option('--bridge', 'it speaks for other sensors of its farm, as a LoRaWAN server does')
    .action(later(async () => (await code.sensor()).addSensorCommand));
  withSettings(sensor.command('list').description('list the registered sensors'), ['data', ...COMMON]).action(
    later(async () => (await code.sensor()).listSensors),
  );
  const farmOption = ['--farm <farm>', 'farm of the sensor; may be left out when one farm has this id'] as const;
  withSettings(sensor.command('remove <id>').description('remove a sensor; its readings stay'), ['data', ...COMMON])
    .option(...farmOption)
    .action(later(async () => (await code.sensor()).removeSensorCommand));
  withSettings(
    sensor.command('send <id> <json>').description('send a command to a sensor; it is kept while the sensor sleeps'),
    RUNNING,
  )
    .option(...farmOption)
    .option('--ttl <seconds>', 'how long it is kept for a sensor that sleeps, at most 86400')
    .action(later(async () => (await code.sensorCommands()).sendCommand));
  withSettings(sensor.command('commands <id>').description('list what became of a sensor’s last commands'), RUNNING)
    .option(...farmOption)
    .action(later(async () => (await code.sensorCommands()).listCommands));
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

function addImport(loam: Command): void {
  const several = (value: string, before: string[]) => [...before, value];
  withSettings(loam.command('import <file>').description('read a CSV file of the past into the store'), RUNNING)
    .requiredOption('--farm <farm>', 'farm of the sensor')
    .requiredOption('--sensor <sensor>', 'registered sensor that the readings are of')
    .requiredOption('--time <column>', 'column with the time of measurement')
    .option('--map <column=metric>', 'column with values, and their metric; once for each column', several, [])
    .option('--unit <metric=unit>', 'unit in the file, where it is not the metric’s own', several, [])
    .option('--zone <zone>', 'IANA time zone of times that name none (default: the farm’s)')
    .option('--time-format <format>', 'such as "DD.MM.YYYY HH:mm" (default: ISO 8601, Unix seconds or ms)')
    .option('--delimiter <character>', 'between columns; "tab" is one (default: as the first line looks)')
    .addOption(
      new Option('--decimal <character>', 'before decimals (default: "," unless "," separates columns)').choices([
        '.',
        ',',
      ]),
    )
    .option('--report <file>', 'write all refused lines to this CSV file')
    .action(async (file: string, options: Options) => {
      process.exitCode = await (await code.imports()).importCommand(file, options);
    });
}

function addUsers(loam: Command): void {
  const user = loam.command('user').description('people who may look at the dashboard: add, list, remove');
  withSettings(
    user.command('add <name>').description('add a user, or give one a new password; reads it from standard input'),
    ['data', ...COMMON],
  )
    .addOption(
      new Option(
        '--role <role>',
        'what they may do (default: viewer; of a user who is there, what they may do now); without --farm, on each of their farms',
      ).choices(['viewer', 'agronomist', 'admin']),
    )
    .option('--farm <farm>', 'on which farm; * is every farm (default: *; a user who is there keeps their farms)')
    .action(later(async () => (await code.user()).addUser));
  withSettings(user.command('list').description('list the users'), ['data', ...COMMON]).action(
    later(async () => (await code.user()).listUsers),
  );
  withSettings(user.command('remove <name>').description('remove a user'), ['data', ...COMMON]).action(
    later(async () => (await code.user()).removeUserCommand),
  );
}

function withSettings(command: Command, names: SettingName[]): Command {
  for (const name of names) {
    const { option, help, variable, fallback } = SETTINGS[name] satisfies Setting;
    const usual = typeof fallback === 'string' ? `, default ${fallback}` : '';
    if (name === 'demo') command.option('--no-demo', `no demo farm and no demo sensors (${variable}=false)`);
    else command.option(option, `${help} (${variable}${usual})`);
  }
  return command;
}
