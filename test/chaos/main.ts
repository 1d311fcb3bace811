import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { LoadPace } from '../../simulators/load/plan.ts';
import { endAll } from '../services/cleanup.ts';
import { whyNoDisks } from '../services/disk-image.ts';
import { whyNoHosts } from '../services/hosts.ts';
import { diskStage } from './disk-stage.ts';
import type { Fault } from './fault.ts';
import { faultsOf } from './faults.ts';
import { FlowWatch } from './flow.ts';
import { hostsStage } from './hosts-stage.ts';
import { memoryPlot } from './plot.ts';
import { coresOf, ProcessWatch } from './processes.ts';
import { Dice } from './random.ts';
import { runRounds } from './rounds.ts';
import { roundsInAll, roundsTable } from './rounds-table.ts';
import { chaos } from './run.ts';
import { embeddedStage, type Stage, serversStage } from './stage.ts';

/**
 * The long form of the chaos tests, for a person: `npm run chaos -- --faults 50 --seed 7`. It ends by itself, prints what happened, and
 * exits with 1 when an acknowledged reading is missing or stored twice, or the account of batches calls something lost, where no fault took it away.
 */

const { values } = parseArgs({
  options: {
    on: { type: 'string', default: 'servers' },
    faults: { type: 'string', default: '10' },
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
    rate: { type: 'string', default: '1000' },
    sensors: { type: 'string', default: '50' },
    workers: { type: 'string', default: '2' },
    hold: { type: 'string', default: '1-8' },
    rest: { type: 'string', default: '1-4' },
    'long-outage': { type: 'string' },
    flood: { type: 'string' },
    steady: { type: 'string' },
    'slow-store': { type: 'string' },
    plot: { type: 'string' },
    keep: { type: 'string' },
    resume: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const HELP = `npm run chaos -- [options]
  --on WHAT      servers: RabbitMQ and InfluxDB; cluster: the same with three RabbitMQ nodes; embedded: \`loam up\` alone;
                 hosts: servers, the registry in PostgreSQL, and every role on a host of its own, which is a network
                 namespace; disks: \`loam up\` on a file system of 512 MB whose disk fills up, fails and loses power; the
                 last two as root on Linux
  --faults N     how many things break; 0 with --flood; on servers in rounds of eight, or of one that takes something away
  --only TEXT    only those whose names have this in them; on servers several, with | between them
  --seed N       the same seed breaks the same things in the same order
  --rate N       readings a second over all sensors, as an open loop
  --sensors N    connections
  --workers N    worker processes
  --hold A-B     how long something stays broken, s        --rest A-B   how long it is whole before the next, s
  --long-outage S   also stop InfluxDB once for S seconds
  --flood S      publish as fast as acknowledgements come, for S seconds
  --steady S     publish at the rate for S seconds, and say what was stored meanwhile and whether the queue grew
  --slow-store MS   every request reaches InfluxDB so much later, as if it were far away
  --plot FILE    write the memory of every process over time as an SVG
  --resume FILE  on servers: write what every round came to into FILE, and leave out the rounds that it has; a run that was
                 stopped goes on with the same command
  --keep FOLDER  when something is missing: copy the promises, the data folder and what every process said there
`;

async function stageOf(): Promise<Stage> {
  const sensors = Number(values.sensors);
  const workers = Number(values.workers);
  if (values.on === 'disks') {
    const why = whyNoDisks();
    if (why !== undefined) throw new Error(`no disk can be broken here: ${why}`);
    return await diskStage(sensors, 512);
  }
  if (values.on === 'embedded') return await embeddedStage(sensors);
  if (values.on === 'hosts') {
    const why = whyNoHosts();
    if (why !== undefined) throw new Error(`no hosts can be made here: ${why}`);
    return await hostsStage({ sensors, workers });
  }
  return await serversStage({ sensors, workers, nodes: values.on === 'cluster' ? 3 : 1 });
}

function span(text: string): [number, number] {
  const [from = 1, to = from] = text.split('-').map(Number);
  return [from * 1_000, to * 1_000];
}

/** How long processes warm up before a steady run's figures begin, s. */
const WARM_S = 10;

/** InfluxDB away for long, among the others. */
function longOutage(stage: Stage, seconds: number): Fault {
  const { servers } = stage;
  return {
    name: `InfluxDB stopped for ${seconds} s`,
    happen: async () => {
      await servers?.influx.stop();
      await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
      await servers?.influx.start();
    },
  };
}

/** Whether it is one short run after another, each on servers of its own: with a figure that is to be measured it is one long run. */
function areRounds(): boolean {
  const { flood, steady, plot } = values;
  const long = [flood, steady, plot, values['long-outage'], values['slow-store']];
  return values.on === 'servers' && long.every((value) => value === undefined);
}

async function inRounds(): Promise<number> {
  const { only, resume, keep: folder } = values;
  const [sensors, workers] = [Number(values.sensors), Number(values.workers)];
  const rounds = await runRounds(() => serversStage({ sensors, workers, nodes: 1, clock: true }), {
    faults: Number(values.faults),
    only,
    seed: Number(values.seed),
    file: resume,
    pace: { loop: 'open', rate: Number(values.rate) },
    holdMs: span(values.hold),
    restMs: span(values.rest),
    say,
    keep: async (stage, round) => {
      if (folder !== undefined) await keep(stage, join(folder, `round-${round}`));
    },
  });
  for (const line of [...roundsTable(rounds), roundsInAll(rounds)]) say(line);
  return rounds.every(({ broken }) => broken.length === 0) ? 0 : 1;
}

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (areRounds()) return await inRounds();
  const stage = await stageOf();
  stage.servers?.http.delay(Number(values['slow-store'] ?? 0));
  const watching = Date.now();
  const watch = new ProcessWatch(stage);
  const flow = new FlowWatch(stage);
  const dice = new Dice(Number(values.seed));
  // What takes something away is for rounds.
  const possible = faultsOf(stage).filter(({ name, harm }) => harm === undefined && name.includes(values.only));
  const faults = dice.draw(possible, Number(values.faults));
  if (values['long-outage'])
    faults.splice(Math.floor(faults.length / 2), 0, longOutage(stage, Number(values['long-outage'])));
  const flood = values.flood === undefined ? undefined : Number(values.flood);
  const pace: LoadPace = flood === undefined ? { loop: 'open', rate: Number(values.rate) } : { loop: 'closed' };
  const forS = flood ?? (values.steady === undefined ? undefined : Number(values.steady) + WARM_S);
  const rest: [number, number] = forS === undefined ? span(values.rest) : [forS * 1_000, forS * 1_000];
  const { audit, load, happened, began, ended, settledAfterS, account } = await chaos(stage, {
    faults,
    dice,
    pace,
    holdMs: span(values.hold),
    restMs: rest,
    say,
  });
  watch.stop();
  flow.stop();
  if (values.plot) await writeFile(values.plot, memoryPlot(`Memory, ${stage.name}`, watch.samples));
  say(`\n${happened.length} faults in ${Math.round(load.stretches.at(-1)?.at ?? 0) / 1_000} s on ${stage.name}`);
  say(`acknowledged ${audit.promised} (${Math.round(load.perSecond)} a second), sent again ${load.resent}`);
  say(`missing ${audit.missing}, duplicates ${audit.duplicates}, stored without a promise ${audit.unpromised}`);
  say(
    `the account of batches: ${account.lost} lost, ${account.suspect} suspect at the end, asked ${account.asked} times`,
  );
  say(`everything stored ${settledAfterS.toFixed(1)} s after the load ended`);
  if (values.steady !== undefined) {
    const [from, to] = [(began - watching) / 1_000 + WARM_S, (ended - watching) / 1_000];
    for (const line of flow.between(from, to)) say(line);
    const cores = Object.entries(coresOf(watch.samples, from, to));
    say(`cores: ${cores.map(([name, share]) => `${name} ${share.toFixed(2)}`).join(', ')}`);
  }
  if (stage.hosts) {
    const { made } = stage.hosts.edits;
    const refused = made.map((edit) => edit.refused);
    const after = made.map(({ knownAfterS }) => knownAfterS).sort((a, b) => a - b);
    const half = after[Math.floor(after.length / 2)] ?? 0;
    say(
      `edits during faults ${made.length}, refused at first ${refused.filter(Boolean).length}, ` +
        `known everywhere after the fault: half within ${half.toFixed(1)} s, all within ${(after.at(-1) ?? 0).toFixed(1)} s`,
    );
  }
  say(
    `restarts: ${Object.values(stage.roles)
      .map((role) => `${role.name} ${role.restarts}`)
      .join(', ')}`,
  );
  for (const name of new Set(watch.samples.flatMap(({ mb }) => Object.keys(mb)))) {
    const seen = watch.samples.flatMap(({ mb }) => mb[name] ?? []);
    say(
      `memory of ${name}: at most ${Math.round(Math.max(...seen))} MB, at the end ${Math.round(seen.at(-1) ?? 0)} MB`,
    );
  }
  const { endings = [] } = stage.roles.up ?? {};
  if (stage.place) {
    for (const [name, { times, said }] of stage.place.troubles) say(troubleInWords(name, times, said));
    say(`ended by itself: ${endings.length === 0 ? 'never' : endings.join(', ')}`);
  }
  if (audit.examples.length > 0) say(`missing, for example: ${JSON.stringify(audit.examples)}`);
  if (values.keep && audit.missing + audit.duplicates > 0) await keep(stage, values.keep);
  await stage.close();
  const isAccountSilent = account.lost === 0 && account.suspect === 0 && account.asked > 0;
  const isAllThere = audit.missing === 0 && audit.duplicates === 0 && load.unacknowledged === 0;
  return isAllThere && isAccountSilent && endings.length === 0 ? 0 : 1;
}

/** Everything that may tell why something is missing. */
async function keep(stage: Stage, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const role of Object.values(stage.roles)) {
    await role.stop();
    await writeFile(join(folder, `${role.name}.log`), role.log);
  }
  await cp(stage.place?.data ?? stage.folder, join(folder, 'data'), { recursive: true });
  await cp(join(stage.folder, 'promises.ndjson'), join(folder, 'promises.ndjson'));
  console.log(`kept in ${folder}`);
}

/** A fault of a disk, and what was said of it while it lasted, in short. */
function troubleInWords(name: string, times: number, said: ReadonlySet<string>): string {
  const parts = new Set([...said].map((line) => line.slice(0, 110)));
  return `${name}, ${times} times: ${parts.size === 0 ? 'no time to look at /readyz' : [...parts].slice(0, 3).join(' | ')}`;
}

try {
  process.exitCode = await main();
} finally {
  await endAll();
}
process.exit();
