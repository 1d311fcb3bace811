import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { Commands } from '../../backbone/commands/commands.ts';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { RefusalBook } from '../../backbone/events/refusal-book.ts';
import {
  COMMANDS_LOG_LIMITS,
  DEAD_LOG_LIMITS,
  EVENT_LOG_LIMITS,
  LIVE_LOG_LIMITS,
  type Log,
  type LogLimits,
  REFUSALS_LOG_LIMITS,
  SESSIONS_LOG_LIMITS,
} from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { SecretKeys } from '../../core/secret-key.ts';
import { hashPassword } from '../../core/secrets.ts';
import { Gateway, type GatewayOptions } from '../../dashboard-gateway/gateway.ts';
import { batchId, encodeLive } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { editText } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { complaint } from './asyncapi.ts';
import { checkAnswer } from './openapi.ts';

export const PASSWORD = 'correct horse battery';
export const SECRET_KEYS = new SecretKeys('s'.repeat(43));
export const SESSION_KEY = 'k'.repeat(43);
// One hash for all: making one takes its time on purpose.
const passwordHash = hashPassword(PASSWORD);

/** Two farms; ada is everywhere, vera only looks at north, sam only at south, and newt has no password yet. */
export async function registryText(): Promise<string> {
  const hash = await passwordHash;
  return `# The farms
farms:
  - { id: north, name: North farm, timezone: Europe/Berlin }
  - { id: south, name: South farm, timezone: America/New_York }
fields:
  - { id: f1, farm: north, name: Hill, crop: barley }
  - { id: f2, farm: north, name: Valley }
  - { id: g1, farm: south, name: Creek }
sensors:
  - { id: s1, farm: north, field: f1, name: Row 3, interval: 60, position: [52.1, 11.2], secret: ${'ab'.repeat(32)} }
  - { id: s2, farm: north, field: f2, interval: 60 }
  - { id: t1, farm: south, field: g1 }
metrics:
  - { id: moisture, label: Moisture, unit: '%', min: 20, max: 45 }
users:
  # Ada runs the place
  - name: ada
    password: ${hash}
    farms: { '*': admin }
  - name: vera
    password: ${hash}
    farms: { north: viewer }
  - name: sam
    password: ${hash}
    farms: { south: viewer }
  - name: newt
    farms: { north: admin }
`;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | object;
}

/** One HTTP call on a connection of its own; its answer has to be one that docs/openapi.yaml describes. The path goes out as it is, dots and all. */
export async function call(port: number, path: string, asked: Asked = {}): Promise<Answer> {
  const answer = await send(port, path, asked);
  await checkAnswer(asked.method ?? 'GET', path, answer);
  return answer;
}

function send(port: number, path: string, { method = 'GET', headers = {}, body }: Asked): Promise<Answer> {
  const text = typeof body === 'object' ? JSON.stringify(body) : body;
  const type: Record<string, string> =
    method === 'GET' || method === 'HEAD' ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, agent: false, headers: { ...type, ...headers } };
    const sent = request(options, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(parts).toString('utf8'),
        });
      });
    });
    sent.on('error', reject);
    sent.end(text);
  });
}

const problemShape = z.object({ type: z.string(), title: z.string(), status: z.number(), code: z.string() });

/** The code of an answer that has to be a problem of RFC 9457. */
export function problemCode(answer: Answer): string {
  if (answer.headers['content-type'] !== 'application/problem+json') throw new Error(`not a problem: ${answer.text}`);
  const problem = problemShape.parse(JSON.parse(answer.text));
  if (problem.status !== answer.status) throw new Error('the status in the body is another');
  return problem.code;
}

export function cookieOf(answer: Answer): string {
  const [cookie = ''] = [answer.headers['set-cookie'] ?? []].flat();
  return cookie.split(';')[0] ?? '';
}

const frame = z.looseObject({ type: z.string() });
export type Frame = z.infer<typeof frame>;

/** A client of `/ws` that keeps what it got. */
export class LiveClient {
  readonly frames: Frame[] = [];
  readonly socket: WebSocket;
  closed: { code: number } | undefined;
  /** What docs/asyncapi.yaml has against frames that came. */
  readonly complaints: string[] = [];
  private used = 0;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => {
      const news = frame.parse(JSON.parse(String(data)));
      this.frames.push(news);
      const wrong = complaint(news);
      if (wrong !== undefined) this.complaints.push(`${wrong}: ${String(data).slice(0, 500)}`);
    });
    socket.on('close', (code) => {
      this.closed = { code };
    });
    socket.on('error', () => {});
  }

  say(message: object | string): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** The next frame of a type, after the one that was taken last. */
  next(type: string): Promise<Frame> {
    return until(`a ${type}`, () => {
      const at = this.frames.findIndex((f, i) => i >= this.used && f.type === type);
      // What came instead is in the error when it never comes.
      if (at < 0)
        throw new Error(
          `${this.socket.readyState}, closed by ${this.closed?.code}: ${JSON.stringify(this.frames.slice(this.used).slice(-5))}`,
        );
      this.used = at + 1;
      return this.frames[at];
    });
  }

  all(type: string): Frame[] {
    return this.frames.filter((f) => f.type === type);
  }

  ended(): Promise<{ code: number }> {
    return until('the socket is closed', () => this.closed);
  }
}

/** Everything that a gateway needs, for real, in a folder of its own. */
export class Place {
  readonly folder: string;
  readonly live: Log;
  readonly dead: Log;
  readonly events: Log;
  readonly sessions: Log;
  readonly refusals: RefusalBook;
  readonly queue: Queue;
  readonly store: Store;
  readonly commandsLog: Log;
  readonly commands: Commands;
  readonly metrics = new Metrics();
  readonly registry: YamlRegistry;
  readonly gateways: Gateway[] = [];
  private readonly clients: LiveClient[] = [];

  private constructor(
    folder: string,
    [live, dead, events, commandsLog, sessions, refusals]: readonly [Log, Log, Log, Log, Log, Log],
    queue: Queue,
    commands: Commands,
    store: Store,
    registry: YamlRegistry,
  ) {
    this.commandsLog = commandsLog;
    this.commands = commands;
    this.folder = folder;
    this.live = live;
    this.dead = dead;
    this.events = events;
    this.sessions = sessions;
    this.refusals = new RefusalBook({ refusals, logger: silent });
    this.queue = queue;
    this.store = store;
    this.registry = registry;
  }

  static async open(limits: LogLimits = LIVE_LOG_LIMITS): Promise<Place> {
    const folder = await temporaryFolder();
    const registryPath = join(folder, 'registry.yaml');
    await writeFile(registryPath, await registryText());
    const live = await openFileLog(folder, 'live', limits);
    const store = await openDuckdbStore(join(folder, 'readings.duckdb'));
    const dead = await openFileLog(folder, 'dead', DEAD_LOG_LIMITS);
    const events = await openFileLog(folder, 'events', EVENT_LOG_LIMITS);
    const sessions = await openFileLog(folder, 'sessions', SESSIONS_LOG_LIMITS);
    const refusals = await openFileLog(folder, 'refusals', REFUSALS_LOG_LIMITS);
    const queue = await openFileQueue(join(folder, 'queue'));
    const commandsLog = await openFileLog(folder, 'commands', COMMANDS_LOG_LIMITS);
    const commands = await Commands.open(commandsLog, silent);
    const registry = await YamlRegistry.open(registryPath, { log: silent, here: true });
    return new Place(folder, [live, dead, events, commandsLog, sessions, refusals], queue, commands, store, registry);
  }

  /** A running gateway. */
  async gateway(over: Partial<GatewayOptions> = {}): Promise<Gateway> {
    const gateway: Gateway = new Gateway({
      host: '127.0.0.1',
      port: 0,
      store: this.store,
      live: this.live,
      dead: this.dead,
      events: this.events,
      sessions: this.sessions,
      refusals: this.refusals,
      commands: this.commands,
      queue: this.queue,
      metrics: this.metrics,
      registry: this.registry,
      sessionKey: SESSION_KEY,
      secretKey: { current: () => SECRET_KEYS, required: async () => SECRET_KEYS },
      webFolder: join(this.folder, 'web'),
      health: () => gateway.health(),
      mqtt: () => ({ host: '127.0.0.1', port: 1883, tls: false }),
      log: silent,
      ...over,
    });
    await gateway.start();
    this.gateways.push(gateway);
    return gateway;
  }

  /** Edits the registry as `change` edits the text of its file. */
  async edit(change: (text: string) => string): Promise<void> {
    await editText(this.registry, join(this.folder, 'registry.yaml'), change);
  }

  async close(): Promise<void> {
    for (const { socket } of this.clients) socket.terminate();
    try {
      for (const gateway of this.gateways) await gateway.stop(5_000);
    } finally {
      await this.registry.close();
      await this.live.close();
      await this.dead.close();
      await this.events.close();
      await this.refusals.stop();
      await this.refusals.log.close();
      await this.commands.close();
      await this.commandsLog.close();
      await this.queue.close();
      await this.store.close();
    }
    const complaints = this.clients.flatMap((client) => client.complaints);
    if (complaints.length > 0) throw new Error(`not as docs/asyncapi.yaml says: ${complaints.slice(0, 5).join('\n')}`);
  }

  /** Announces readings, as a worker does. */
  async announce(readings: readonly Reading[], id = batchId()): Promise<void> {
    await this.live.append(encodeLive({ id, readings }));
  }

  /** What a gateway of this place has counted: the value of `name{event="…"}`. Of several gateways, the first one's. */
  async counted(name: string, event: string): Promise<number> {
    const line = new RegExp(`^${name}\\{event="${event}"\\} (\\d+)$`, 'm').exec(await this.metrics.text());
    return Number(line?.[1]);
  }

  /** The cookie of a signed-in user. */
  async signIn(gateway: Gateway, user: string): Promise<string> {
    const answer = await call(gateway.port, '/api/login', { method: 'POST', body: { user, password: PASSWORD } });
    if (answer.status !== 200) throw new Error(`sign-in: ${answer.status} ${answer.text}`);
    return cookieOf(answer);
  }

  /** An open socket of a signed-in user. Rejects with the status when the handshake is refused. */
  async connect(
    gateway: Gateway,
    headers: Record<string, string>,
    protocols: string[] = ['loam.v1'],
    query = '',
  ): Promise<LiveClient> {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/ws${query}`, protocols, { headers });
    const client = new LiveClient(socket);
    this.clients.push(client);
    await new Promise<void>((resolve, reject) => {
      socket.on('open', resolve);
      socket.on('unexpected-response', (sent, response) => {
        sent.destroy();
        reject(new Error(String(response.statusCode)));
      });
      socket.on('error', reject);
    });
    return client;
  }

  async watching(gateway: Gateway, user: string): Promise<LiveClient> {
    return this.connect(gateway, { cookie: await this.signIn(gateway, user) });
  }
}

/** A reading of sensor s1 of north, received when it was measured. */
export function reading(over: Partial<Reading> = {}): Reading {
  const ts = over.ts ?? Date.now();
  return { farm: 'north', sensor: 's1', ts, received: ts, values: { moisture: 31.2 }, ...over };
}

/** The same object with some of its methods replaced: for faults that the real thing cannot be brought to on demand. */
export function overlay<T extends object>(target: T, over: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      const own: unknown = Reflect.get(over, name);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
