import { setMaxListeners } from 'node:events';
import { clock, wallAt } from '../core/clock.ts';
import { BrokerUnreachable, CredentialsRefused } from '../core/errors.ts';
import { pause } from '../core/timing.ts';
import type { Ledger } from './ledger.ts';
import type { Link, LinkOptions } from './links/link.ts';
import { MqttJsLink } from './links/mqttjs.ts';
import { PacketLink } from './links/packet.ts';
import { RunRecord } from './load/record.ts';
import type { LoadReport, ReportInterval } from './load/report.ts';
import { type Device, type DeviceConnection, linesOf, type Shard } from './profile/devices.ts';
import type { Profile } from './profile/schema.ts';
import { linkChangesOf, type Sending, sendingsOf } from './profile/stream.ts';
import { Tally } from './tally.ts';
import { play } from './timeline.ts';

/** What a connection signs in with. */
export interface SignIn {
  readonly username?: string;
  readonly password?: string;
}

/** Which connections send what: made from a profile or from a recording. */
export interface Script {
  readonly lines: readonly DeviceConnection[];
  /** What a device sends in a run that begins at `start`, Unix ms, in order of time. */
  sendingsOf(device: Device, start: number): IterableIterator<Sending>;
}

/** The script of a profile; with a shard, only its connections. */
export function profileScript(profile: Profile, shard?: Shard): Script {
  return { lines: linesOf(profile, shard), sendingsOf };
}

export interface RunOptions {
  /** `mqtt://HOST:PORT` or `mqtts://HOST:PORT` */
  readonly url: string;
  readonly script: Script;
  /** What a connection signs in with. */
  readonly signIn: (line: DeviceConnection) => SignIn;
  /** When the run pretends to begin, Unix ms: the same start gives the same bytes. Absent: now. */
  readonly start?: number;
  /** How long the run lasts, ms; absent: until `signal`, or until the script has no more to send. */
  readonly forMs?: number;
  /** `mqttjs` is a client that sensors use; `packet` allows thousands. Absent: mqttjs for up to 200 connections. */
  readonly client?: 'mqttjs' | 'packet';
  /** At the start, the run fails when no further connection comes up for this long, ms; absent: 10 s. */
  readonly comeUpWithinMs?: number;
  readonly signal?: AbortSignal;
  readonly onStretch?: (stretch: ReportInterval) => void;
  readonly onConnecting?: (connected: number, of: number) => void;
  readonly ledger?: Ledger;
}

/**
 * What a run of a script found: a load report, and what only a simulation knows. Counts are of messages, except
 * `sensors` and `readings`.
 */
export interface RunReport extends LoadReport {
  readonly sensors: number;
  readonly readings: number;
  readonly duplicates: number;
  readonly malformed: number;
  /** Given up: dropped from a full outbox, or unacknowledged at the end. */
  readonly failed: number;
}

const STRETCH_MS = 1_000;
const START_MS = 10_000;
const GRACE_MS = 15_000;
const FAREWELL_MS = 2_000;
const MANY = 200;
/** The time between the opening of two links, so that they do not all connect at once. */
const OPEN_EVERY_MS = 1;
const OUTBOX = 20_000;
/** CONNACK return codes that refuse the client itself (MQTT 3.1.1, 3.2.2.3). */
const WHO = new Set([2, 4, 5]);

interface RunMember {
  readonly line: DeviceConnection;
  readonly link: Link;
}

/**
 * Plays a script over real MQTT until its time is over, it has no more to send, or `signal` ends it. Then waits for
 * missing acknowledgements, and resolves with what was found.
 * Rejects with BrokerUnreachable when no further connection comes up for 10 s, with CredentialsRefused when the first
 * connections are refused.
 */
export async function runScript(options: RunOptions): Promise<RunReport> {
  const { script, ledger, forMs } = options;
  const { lines } = script;
  const members = lines.map((line): RunMember => ({ line, link: newLink(options, line, lines.length) }));
  const tally = new Tally(members.map(({ link }) => link));
  const ending = new AbortController();
  // Every device adds a listener to this signal.
  setMaxListeners(0, ending.signal);
  const end = () => ending.abort();
  options.signal?.addEventListener('abort', end, { once: true });
  if (options.signal?.aborted) end();
  const facts = { connections: members.length, qos: 1, loop: 'open', threads: 1, warmupMs: 0 } as const;
  const record = new RunRecord(facts);
  let timer: NodeJS.Timeout | undefined;
  try {
    await comeUp(members, options, ending.signal);
    record.begin();
    if (forMs !== undefined) timer = setTimeout(end, forMs);
    const begun = clock.passed();
    const start = options.start ?? Math.round(wallAt(begun));
    const stage: Stage = { script, start, begun, tally, ledger, signal: ending.signal };
    Promise.all(members.map((member) => run(member, stage))).then(end, end);
    while (!ending.signal.aborted) {
      await pause(STRETCH_MS, ending.signal);
      options.onStretch?.(await record.take(tally.report()));
    }
    record.sendingEnded();
    await settle(members);
    await record.take(tally.report());
  } finally {
    clearTimeout(timer);
    end();
    options.signal?.removeEventListener('abort', end);
    await Promise.all(members.map(({ link }) => link.stop(FAREWELL_MS)));
  }
  const { readings, duplicates, malformed, failed } = tally;
  const sensors = lines.reduce((sum, { devices }) => sum + devices.length, 0);
  const report = record.report(options.signal?.aborted ? 'stopped' : 'done');
  return { ...report, sensors, readings, duplicates, malformed, failed };
}

function newLink({ url, signIn, client }: RunOptions, line: DeviceConnection, links: number): Link {
  const options: LinkOptions = { url, clientId: line.id, outbox: OUTBOX, ...signIn(line) };
  return (client ?? (links > MANY ? 'packet' : 'mqttjs')) === 'packet'
    ? new PacketLink(options)
    : new MqttJsLink(options);
}

async function comeUp(members: readonly RunMember[], options: RunOptions, signal: AbortSignal): Promise<void> {
  for (const { link } of members) {
    if (signal.aborted) return;
    link.start();
    await pause(OPEN_EVERY_MS, signal);
  }
  let [connected, since] = [0, clock.passed()];
  while (!signal.aborted) {
    const refused = members.find(({ link }) => WHO.has(link.refused?.code ?? 0));
    if (refused)
      throw new CredentialsRefused(`${options.url} refuses ${refused.line.id}: ${refused.link.refused?.why}`);
    const now = members.filter(({ link }) => link.connected).length;
    options.onConnecting?.(now, members.length);
    if (now === members.length) return;
    if (now > connected) since = clock.passed();
    connected = now;
    if (clock.passed() - since > (options.comeUpWithinMs ?? START_MS)) {
      const why = members.find(({ link }) => link.refused)?.link.refused?.why ?? 'no answer';
      throw new BrokerUnreachable(`${options.url}: ${connected} of ${members.length} connections came up: ${why}`);
    }
    await pause(100, signal);
  }
}

interface Stage {
  readonly script: Script;
  readonly start: number;
  /** `clock.passed()` of the beginning. */
  readonly begun: number;
  readonly tally: Tally;
  readonly ledger: Ledger | undefined;
  readonly signal: AbortSignal;
}

/** Resolves when the connection has no more to send, or when the run ends. */
async function run({ line, link }: RunMember, stage: Stage): Promise<void> {
  const { script, start, begun, tally, ledger, signal } = stage;
  void play(linkChangesOf(line), begun, signal, ({ change }) => (change === 'leave' ? link.leave() : link.comeBack()));
  const played = line.devices.map((device) =>
    play(script.sendingsOf(device, start), begun, signal, (sending) => {
      const due = begun + sending.at;
      ledger?.published(device, sending, due);
      tally.sent(sending, due, link.connected);
      link.publish({
        ...sending,
        settle: (acknowledged) => {
          tally.settled(sending, due, acknowledged);
          if (acknowledged) ledger?.acknowledged(device, sending, clock.passed());
        },
      });
    }),
  );
  await Promise.all(played);
}

/** Lets every link connect again, and waits for missing acknowledgements until none has come for 15 s. */
async function settle(members: readonly RunMember[]): Promise<void> {
  for (const { link } of members) link.comeBack();
  let [pending, since] = [Number.POSITIVE_INFINITY, clock.passed()];
  while (pending > 0 && clock.passed() - since < GRACE_MS) {
    const now = members.reduce((sum, { link }) => sum + link.pending, 0);
    if (now < pending) since = clock.passed();
    pending = now;
    await pause(20);
  }
}
