import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { connect } from 'amqplib';
import { atEnd } from './cleanup.ts';
import { Container } from './docker.ts';
import { locate, named, onPath } from './install.ts';
import { output, ServerProcess } from './process.ts';
import { freePort, listening, temporaryFolder } from './wait.ts';

/** A RabbitMQ broker for tests. */
export interface RabbitServer {
  /** `amqp://guest:guest@127.0.0.1:PORT` */
  url: string;
  port: number;
  version(): Promise<string>;
  /** Ends the server process in good order; its data stay. Resolves when the process is gone. */
  stop(): Promise<void>;
  /** Starts it again on the same ports and data. Resolves when it takes connections. */
  start(): Promise<void>;
  /** Ends it with SIGKILL, as a power cut would; its data stay. */
  kill(): Promise<void>;
  /** Runs rabbitmqctl against this broker and resolves to what it printed. */
  ctl(...args: string[]): Promise<string>;
  /** Ends it and deletes its folder. */
  close(): Promise<void>;
}

/** What a broker of our own is made of: a process group or a container. */
interface Node {
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(): Promise<void>;
  ctl(args: string[]): Promise<string>;
  /** Ends all of it for good. */
  end(): Promise<void>;
  /** The same without waiting for it. */
  endNow(): void;
}

const GUEST = 'guest:guest';
const startTimeoutMs = 90_000;
const stopTimeoutMs = 30_000;

/**
 * Starts a broker of the caller's own. `config` holds more lines of rabbitmq.conf, which win over the ones here; `plugins` are enabled,
 * which a container's broker does not do. `login` is a user and password that it knows, where that is not guest.
 */
export async function startRabbit(
  options: { config?: string; plugins?: readonly string[]; login?: string } = {},
): Promise<RabbitServer> {
  const place = await locate('rabbitmq');
  const folder = await temporaryFolder();
  const port = await freePort();
  const url = `amqp://${options.login ?? GUEST}@127.0.0.1:${port}`;
  const config = options.config ?? '';
  const node =
    place.kind === 'program'
      ? await privateNode(place.path, folder, url, config, options.plugins ?? [])
      : await containerNode(place.image, folder, url, config);

  const close = async () => {
    forget();
    await node.end();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const forget = atEnd({ end: close, exit: () => node.endNow() });
  await node.start();
  return {
    url,
    port,
    version: () => versionOf(url),
    stop: () => node.stop(),
    start: () => node.start(),
    kill: () => node.kill(),
    ctl: (...args) => node.ctl(args),
    close,
  };
}

/** Some nodes on this machine that are one cluster. `nodes[0]` is the one that the others joined. */
export interface RabbitCluster {
  readonly nodes: readonly RabbitServer[];
  /** Ends all of them and deletes their folders. */
  close(): Promise<void>;
}

/** Starts a cluster of the caller's own, from an installed RabbitMQ; there is none in containers. */
export async function startRabbitCluster(size = 3): Promise<RabbitCluster> {
  const place = await locate('rabbitmq');
  if (place.kind !== 'program') throw new Error('a cluster needs an installed rabbitmq-server');
  const { cookie, epmdPort, name } = await newKin();
  const [base = '', host = ''] = name.split('@');
  const names = Array.from({ length: size }, (_, i) => `${base}-${i}@${host}`);
  const folders = await Promise.all(names.map(() => temporaryFolder()));
  const ports = await Promise.all(names.map(() => freePort()));
  const [folder = ''] = folders;
  const env = await nodeEnvironment(folder, epmdPort, names[0] ?? '');
  const epmd = new ServerProcess({
    program: await findEpmd(env),
    args: ['-address', '127.0.0.1', '-port', String(epmdPort)],
    env,
    log: join(folder, 'epmd.log'),
  });
  const nodes = await Promise.all(
    names.map((own, i) =>
      privateNode(place.path, folders[i] ?? '', `amqp://${GUEST}@127.0.0.1:${ports[i] ?? 0}`, '', [], {
        cookie,
        epmdPort,
        name: own,
      }),
    ),
  );
  const close = async () => {
    forget();
    await Promise.all(nodes.map((node) => node.end()));
    await epmd.kill();
    await Promise.all(folders.map((each) => rm(each, { recursive: true, force: true, maxRetries: 5 })));
  };
  const forget = atEnd({
    end: close,
    exit: () => {
      for (const node of nodes) node.endNow();
      epmd.endNow();
    },
  });
  await epmd.start(() => listening(epmdPort), 10_000);
  await Promise.all(nodes.map((node) => node.start()));
  for (const node of nodes.slice(1)) {
    await node.ctl(['stop_app']);
    await node.ctl(['join_cluster', names[0] ?? '']);
    await node.ctl(['start_app']);
  }
  return {
    nodes: nodes.map((node, i) => {
      const url = `amqp://guest:guest@127.0.0.1:${ports[i]}`;
      return {
        url,
        port: ports[i] ?? 0,
        version: () => versionOf(url),
        stop: () => node.stop(),
        start: () => node.start(),
        kill: () => node.kill(),
        ctl: (...args: string[]) => node.ctl(args),
        close: () => node.end(),
      };
    }),
    close,
  };
}

let shared: Promise<RabbitServer> | undefined;

/** The broker that all test files of a process share: the one LOAM_TEST_AMQP_URL names, or a private one. */
export function rabbit(): Promise<RabbitServer> {
  shared ??= foreignRabbit() ?? startRabbit();
  return shared;
}

function foreignRabbit(): Promise<RabbitServer> | undefined {
  const url = named('rabbitmq');
  if (url === undefined) {
    return undefined;
  }
  const refuse = () => Promise.reject(new Error('the server that LOAM_TEST_AMQP_URL names is not ours to control'));
  return Promise.resolve({
    url,
    port: Number(new URL(url).port || 5672),
    version: () => versionOf(url),
    stop: refuse,
    start: refuse,
    kill: refuse,
    ctl: refuse,
    close: async () => {},
  });
}

async function versionOf(url: string): Promise<string> {
  const connection = await connect(url, { timeout: 5_000 });
  const { version } = connection.connection.serverProperties;
  await connection.close();
  return version;
}

async function containerNode(image: string, folder: string, url: string, config: string): Promise<Node> {
  const { port } = new URL(url);
  const file = join(folder, 'rabbitmq.conf');
  await writeFile(file, `${config}\n`);
  const mount = `${file}:/etc/rabbitmq/conf.d/90-test.conf:ro`;
  const container = new Container('--publish', `127.0.0.1:${port}:5672`, '--volume', mount, image);
  return {
    start: () => container.start(() => versionOf(url), startTimeoutMs),
    stop: () => container.stop(stopTimeoutMs),
    kill: () => container.kill(),
    ctl: (args) => container.exec('rabbitmqctl', ...args),
    end: () => container.end(),
    endNow: () => container.endNow(),
  };
}

/**
 * A node that shares nothing with another on this machine: name, cookie, ports, folder and epmd are its own, and all
 * of them listen on loopback only. epmd outlives `stop` and `kill`, as it would on a real machine.
 */
async function privateNode(
  program: string,
  folder: string,
  url: string,
  config: string,
  plugins: readonly string[],
  kin?: Kin,
): Promise<Node> {
  const { cookie, epmdPort, name } = kin ?? (await newKin());
  const env = await nodeEnvironment(folder, epmdPort, name);
  await writeFile(
    join(folder, 'rabbitmq.conf'),
    `${defaults(Number(new URL(url).port))}${config}
`,
  );
  await writeFile(
    join(folder, 'enabled_plugins'),
    `[${plugins.join(',')}].
`,
  );
  await writeFile(join(folder, '.erlang.cookie'), cookie, { mode: 0o400 });
  const epmd = new ServerProcess({
    program: await findEpmd(env),
    args: ['-address', '127.0.0.1', '-port', String(epmdPort)],
    env,
    log: join(folder, 'epmd.log'),
  });
  const broker = new ServerProcess({ program, args: [], env, log: join(folder, 'output.log') });
  return {
    start: async () => {
      if (kin === undefined && !epmd.running) {
        await epmd.start(() => listening(epmdPort), 10_000);
      }
      await broker.start(() => versionOf(url), startTimeoutMs);
    },
    stop: () => broker.stop(stopTimeoutMs),
    kill: () => broker.kill(),
    ctl: (args) => output(join(dirname(program), 'rabbitmqctl'), args, env),
    end: async () => {
      await broker.kill();
      await epmd.kill();
    },
    endNow: () => {
      broker.endNow();
      epmd.endNow();
    },
  };
}

/** What nodes of one cluster share, and the name of one of them. */
interface Kin {
  readonly cookie: string;
  /** Of an epmd that somebody else starts and ends. */
  readonly epmdPort: number;
  readonly name: string;
}

async function newKin(): Promise<Kin> {
  return {
    cookie: randomBytes(20).toString('hex'),
    epmdPort: await freePort(),
    name: `loam-${randomBytes(4).toString('hex')}@localhost`,
  };
}

// A test machine is small and shared: the limits keep a node from refusing work or taking all memory there.
const defaults = (port: number): string => `
listeners.tcp.1 = 127.0.0.1:${port}
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
log.file.level = warning
log.console = false
`;

async function nodeEnvironment(folder: string, epmdPort: number, name: string): Promise<NodeJS.ProcessEnv> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(RABBITMQ|ERL)_/.test(name));
  const loopback = '{127,0,0,1}';
  return {
    ...Object.fromEntries(inherited),
    HOME: folder,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmdPort),
    // Read by every Erlang process: the node, rabbitmqctl, and the helper that the node starts to look for epmd.
    ERL_AFLAGS: `-kernel inet_dist_use_interface ${loopback}`,
    RABBITMQ_NODENAME: name,
    RABBITMQ_DIST_PORT: String(await freePort()),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: join(folder, 'conf.d'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'rabbitmq-env.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    // Two schedulers that sleep when idle and are not tied to a core: several nodes share few cores with the tests.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 +sbwt none',
    RABBITMQ_SCHEDULER_BIND_TYPE: 'u',
    // Makes the start script become the server instead of waiting for it, so that signals reach the server itself.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
}

async function findEpmd(env: NodeJS.ProcessEnv): Promise<string> {
  const found = onPath('epmd');
  if (found !== undefined) {
    return found;
  }
  const root = await output('erl', ['-noshell', '-eval', 'io:format("~s",[code:root_dir()]),halt().'], env);
  return join(root, 'bin', 'epmd');
}
