import { type Command, Option } from 'commander';
import type { SettingName } from '../core/settings.ts';
import type { Options } from './options.ts';
import { type CommandKind, isOfFarm, type KindOfFarm, keysOf, optionOf } from './thing-keys.ts';
import type { ListedKind } from './things.ts';
import { COMMON, later, MQTT, RUNNING, withSettings } from './words.ts';

/** Loaded when it is called, as all commands. */
const code = {
  codec: () => import('./codec.ts'),
  registryFile: () => import('./registry-file.ts'),
  secrets: () => import('./secrets.ts'),
  sensor: () => import('./sensor.ts'),
  sensorImport: () => import('./sensor-import.ts'),
  sensorCommands: () => import('./sensor-commands.ts'),
  sensorShow: () => import('./sensor-show.ts'),
  things: () => import('./things.ts'),
  user: () => import('./user.ts'),
};

const REGISTRY: SettingName[] = ['data', ...COMMON];
const EMPTY = 'an empty text, as in --KEY "", takes it away';

/** Adds `loam registry`, and a command for each kind of thing in the registry. */
export function addRegistry(loam: Command): void {
  addRegistryFile(loam);
  addPlain(loam, 'farm', 'farms: add, change, list, remove, show');
  addPlain(loam, 'field', 'fields of farms: add, change, list, remove, show');
  addSensors(loam);
  addPlain(loam, 'metric', 'what is measured, and how it is shown: add, change, list, remove, show');
  addPlain(loam, 'mapping', 'what topics of other systems mean: add, change, list, remove, show');
  addCodecs(loam);
  addUsers(loam);
  addSecrets(loam);
}

function addRegistryFile(loam: Command): void {
  const registry = loam
    .command('registry')
    .description('the registry as a whole: export, import, diff, apply; comments in a file are ignored');
  withSettings(
    registry.command('export [file]').description('write all of it as YAML, in one order, secrets as they are kept'),
    REGISTRY,
  ).action(later(async () => (await code.registryFile()).exportRegistry));
  withSettings(
    registry.command('import <file>').description('put in all that a YAML file has; what it does not have stays'),
    REGISTRY,
  ).action(later(async () => (await code.registryFile()).importRegistry));
  const prune = ['--prune', 'remove what the file does not have'] as const;
  withSettings(
    registry
      .command('diff <file>')
      .description('say what apply would do; exits 0 for nothing, 1 for something, 2 for a wrong file'),
    REGISTRY,
  )
    .option(...prune)
    .action(later(async () => (await code.registryFile()).diffRegistry));
  withSettings(
    registry
      .command('apply <file>')
      .description('make it what a YAML file says: says what it will do, asks, and overwrites nobody’s newer edit'),
    REGISTRY,
  )
    .option(...prune)
    .option('--yes', 'do not ask')
    .action(later(async () => (await code.registryFile()).applyRegistry));
}

/** The commands of a kind that has nothing secret and nothing of its own. */
function addPlain(loam: Command, kind: ListedKind, summary: string): void {
  const command = loam.command(kind).description(summary);
  const add = withSettings(command.command('add <id>').description(`put a ${kind} into the registry`), REGISTRY);
  if (isOfFarm(kind)) add.requiredOption('--farm <farm>', 'farm that it belongs to');
  withKeys(add, kind, true).action(
    later(async () => {
      const { addThing } = await code.things();
      return (id: string, options: Options) => addThing(kind, id, options);
    }),
  );
  withSettings(command.command('list').description(`list them, a line a ${kind}`), REGISTRY).action(
    later(async () => {
      const { listThings } = await code.things();
      return (options: Options) => listThings(kind, options);
    }),
  );
  addChange(command, kind).action(
    later(async () => {
      const { changeThing } = await code.things();
      return (id: string, options: Options) => changeThing(kind, id, options);
    }),
  );
  addShowAndRemove(command, kind);
}

function addSensors(loam: Command): void {
  const sensor = loam
    .command('sensor')
    .description('sensors in the registry: add, change, import, list, remove, show; commands to them');
  const add = withSettings(sensor.command('add <id>').description('register a sensor and print its secret, once'), [
    ...REGISTRY,
    ...MQTT,
    'secretKey',
  ]).requiredOption('--farm <farm>', 'farm it belongs to');
  withKeys(add, 'sensor', true)
    .option('--token <token>', 'the device’s own token, where it cannot be given a secret')
    .option('--secret-stdin', 'the same, read from standard input')
    .option('--bridge', 'it speaks for other sensors of its farm, as a LoRaWAN server does')
    .action(later(async () => (await code.sensor()).addSensorCommand));
  withSettings(sensor.command('list').description('list the registered sensors'), REGISTRY).action(
    later(async () => (await code.sensor()).listSensors),
  );
  withSettings(addChange(sensor, 'sensor'), ['secretKey'])
    .option('--new-secret', 'give it a new secret, and print that once')
    .option('--token <token>', 'the device’s own token, where it cannot be given a secret')
    .option('--secret-stdin', 'the same, read from standard input')
    .action(later(async () => (await code.sensor()).changeSensor));
  withSettings(
    sensor
      .command('import <file>')
      .description('register the sensors of a CSV file: columns id, token, and those of the options of add'),
    [...REGISTRY, 'secretKey'],
  )
    .requiredOption('--farm <farm>', 'farm that they belong to')
    .action(later(async () => (await code.sensorImport()).importSensors));
  withSettings(addShow(sensor, 'sensor'), ['url', 'token']).action(
    later(async () => (await code.sensorShow()).showSensor),
  );
  addRemove(sensor, 'sensor');
  withSettings(
    sensor.command('send <id> <json>').description('send a command to a sensor; it is kept while the sensor sleeps'),
    RUNNING,
  )
    .option(...farmOf('sensor'))
    .option('--ttl <seconds>', 'how long it is kept for a sensor that sleeps, at most 86400')
    .action(later(async () => (await code.sensorCommands()).sendCommand));
  withSettings(sensor.command('commands <id>').description('list what became of a sensor’s last commands'), RUNNING)
    .option(...farmOf('sensor'))
    .action(later(async () => (await code.sensorCommands()).listCommands));
}

function addCodecs(loam: Command): void {
  const codec = loam.command('codec').description('decoders of devices’ makers: add, list, remove, show');
  withSettings(
    codec.command('add <file>').description('put the JavaScript of a file into the registry, or replace what is there'),
    REGISTRY,
  )
    .option('--name <name>', 'the name by which sensors have it, such as codecs/lse01.js (default: the file’s)')
    .action(later(async () => (await code.codec()).addCodec));
  withSettings(codec.command('list').description('list them: name, length, how many sensors name it'), REGISTRY).action(
    later(async () => (await code.codec()).listCodecs),
  );
  withSettings(codec.command('show <name>').description('print one'), REGISTRY).action(
    later(async () => (await code.codec()).showCodec),
  );
  withSettings(codec.command('remove <name>').description('remove one that no sensor names'), REGISTRY).action(
    later(async () => (await code.codec()).removeCodec),
  );
}

function addUsers(loam: Command): void {
  const user = loam
    .command('user')
    .description('people who may look at the dashboard: add, change, list, remove, show');
  withSettings(
    user.command('add <name>').description('add a user, or give one a new password; reads it from standard input'),
    REGISTRY,
  )
    .addOption(
      new Option(
        '--role <role>',
        'what they may do (default: viewer; of a user who is there, what they may do now); without --farm, on each of their farms',
      ).choices(['viewer', 'agronomist', 'admin']),
    )
    .option('--farm <farm>', 'on which farm; * is every farm (default: *; a user who is there keeps their farms)')
    .action(later(async () => (await code.user()).addUser));
  withSettings(user.command('list').description('list the users'), REGISTRY).action(
    later(async () => (await code.user()).listUsers),
  );
  addChange(user, 'user')
    .option('--password', 'a new password, which is read from standard input')
    .action(later(async () => (await code.user()).changeUser));
  addShowAndRemove(user, 'user');
}

function addSecrets(loam: Command): void {
  const secrets = loam.command('secrets').description('secrets that the registry keeps sealed: seal, reseal');
  withSettings(
    secrets
      .command('seal <kind> <id> <key>')
      .description('read a secret from standard input, and print it sealed for this place alone'),
    [...REGISTRY, 'secretKey'],
  ).action(later(async () => (await code.secrets()).sealSecret));
  withSettings(
    secrets
      .command('reseal')
      .description('seal with the first key what was sealed with old ones; exits 1 when something still needs those'),
    [...REGISTRY, 'secretKey'],
  ).action(later(async () => (await code.secrets()).resealSecrets));
}

function addChange(command: Command, kind: CommandKind): Command {
  const summary = `change what the options name; ${EMPTY}`;
  return withKeys(ofOne(command.command('change <id>').description(summary), kind), kind, false);
}

function addShowAndRemove(command: Command, kind: CommandKind): void {
  addShow(command, kind).action(
    later(async () => {
      const { showThing } = await code.things();
      return (id: string, options: Options) => showThing(kind, id, options);
    }),
  );
  addRemove(command, kind);
}

function addShow(command: Command, kind: CommandKind): Command {
  return ofOne(command.command('show <id>').description('show one, a line a key'), kind);
}

function addRemove(command: Command, kind: CommandKind): void {
  ofOne(command.command('remove <id>').description('remove one that nothing else names; readings stay'), kind).action(
    later(async () => {
      const { removeThing } = await code.things();
      return (id: string, options: Options) => removeThing(kind, id, options);
    }),
  );
}

/** A command about one thing that is there. */
function ofOne(command: Command, kind: CommandKind): Command {
  withSettings(command, REGISTRY);
  return isOfFarm(kind) ? command.option(...farmOf(kind)) : command;
}

function farmOf(kind: KindOfFarm) {
  return ['--farm <farm>', `farm of the ${kind}; may be left out when one farm has this id`] as const;
}

/** Gives a command an option for each key of a kind. One that adds a thing needs those that no thing is without. */
function withKeys(command: Command, kind: CommandKind, isAdd: boolean): Command {
  for (const [key, { value, help, isNeeded }] of keysOf(kind)) {
    const option = new Option(`${optionOf(key)} <${value}>`, help);
    command.addOption(isAdd && isNeeded ? option.makeOptionMandatory() : option);
  }
  return command;
}
