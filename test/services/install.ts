import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';
import { aptCanInstall, aptInstall } from './apt.ts';
import { dockerAnswers } from './docker.ts';

export const serviceNames = ['rabbitmq', 'influxdb', 'postgres', 'mosquitto', 'chromium'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** Where a service is to be started from: a program on this machine, or an image. */
export type Place = { kind: 'program'; path: string } | { kind: 'image'; image: string };

interface Service {
  /** The environment variable that names a server to use instead of one of our own. */
  variable: string;
  /** Files to look for first, best first; then `names` on PATH. */
  paths: () => string[];
  names: string[];
  /** Debian's package, and the units and init scripts it would start. */
  package: string;
  units: string[];
  image?: string;
  advice: string;
}

const services: Record<ServiceName, Service> = {
  rabbitmq: {
    variable: 'LOAM_TEST_AMQP_URL',
    // Debian's /usr/sbin/rabbitmq-server is a wrapper that insists on the system's user; this one runs as anybody.
    paths: () => [
      '/usr/lib/rabbitmq/bin/rabbitmq-server',
      '/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server',
      '/usr/local/opt/rabbitmq/sbin/rabbitmq-server',
    ],
    names: ['rabbitmq-server'],
    package: 'rabbitmq-server',
    units: ['rabbitmq-server', 'epmd.service', 'epmd.socket'],
    image: 'rabbitmq:4.0',
    advice: 'Debian/Ubuntu: apt-get install rabbitmq-server; macOS: brew install rabbitmq',
  },
  influxdb: {
    variable: 'LOAM_TEST_INFLUX_URL',
    paths: () => ['/opt/homebrew/opt/influxdb@1/bin/influxd', '/usr/local/opt/influxdb@1/bin/influxd'],
    names: ['influxd'],
    package: 'influxdb',
    units: ['influxdb'],
    image: 'influxdb:1.8',
    advice: 'Debian/Ubuntu: apt-get install influxdb; macOS: brew install influxdb@1',
  },
  postgres: {
    variable: 'LOAM_TEST_POSTGRES_URL',
    // Debian keeps it off PATH, in a folder for each version.
    paths: () =>
      [18, 17, 16, 15, 14, 13].flatMap((version) => [
        `/usr/lib/postgresql/${version}/bin/postgres`,
        `/opt/homebrew/opt/postgresql@${version}/bin/postgres`,
        `/usr/local/opt/postgresql@${version}/bin/postgres`,
      ]),
    names: ['postgres'],
    package: 'postgresql',
    units: ['postgresql'],
    image: 'postgres:15',
    advice: 'Debian/Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17',
  },
  mosquitto: {
    variable: 'LOAM_TEST_MOSQUITTO',
    paths: () => ['/usr/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto', '/usr/local/sbin/mosquitto'],
    names: ['mosquitto'],
    package: 'mosquitto',
    units: ['mosquitto'],
    advice: 'Debian/Ubuntu: apt-get install mosquitto; macOS: brew install mosquitto',
  },
  chromium: {
    variable: 'LOAM_TEST_CHROMIUM',
    paths: () => [
      '/usr/bin/chromium',
      '/usr/bin/chromium-browser',
      '/usr/bin/google-chrome',
      '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
      '/Applications/Chromium.app/Contents/MacOS/Chromium',
      chromium.executablePath(),
    ],
    names: ['chromium', 'google-chrome', 'google-chrome-stable'],
    package: 'chromium',
    units: [],
    advice:
      'Debian: apt-get install chromium; Ubuntu and macOS: Google Chrome, or npx playwright-core install chromium',
  },
};

/** What the environment says to use instead of a server of our own, if anything. */
export function named(service: ServiceName): string | undefined {
  return process.env[services[service].variable] || undefined;
}

/** The image of a service, for where nothing else can be had. */
export function imageOf(service: ServiceName): string | undefined {
  return services[service].image;
}

const found = new Map<ServiceName, Promise<Place>>();

/**
 * Where to start a service from: what is installed; else Debian's package, installed now if that is allowed; else
 * Docker. Rejects with one Error that says what to install. Asked once per process and service.
 */
export function locate(service: ServiceName): Promise<Place> {
  let place = found.get(service);
  if (place === undefined) {
    place = look(service);
    found.set(service, place);
  }
  return place;
}

async function look(name: ServiceName): Promise<Place> {
  const service = services[name];
  const obstacles: string[] = [];
  const program = installed(service);
  if (program !== undefined) {
    return { kind: 'program', path: program };
  }
  if (await aptCanInstall()) {
    try {
      await aptInstall(service.package, service.units);
    } catch (error) {
      obstacles.push(String(error));
    }
    const fresh = installed(service);
    if (fresh !== undefined) {
      return { kind: 'program', path: fresh };
    }
  } else {
    obstacles.push('its package cannot be installed here (that takes apt-get, and root or passwordless sudo)');
  }
  if (service.image !== undefined && (await dockerAnswers())) {
    return { kind: 'image', image: service.image };
  }
  obstacles.push(service.image === undefined ? 'Docker does not help with it' : 'no Docker daemon answers');
  throw new Error(
    `The tests need ${name}: it is not installed, ${obstacles.join(', ')}.\n` +
      `Install it (${service.advice}) or name one in ${service.variable}.`,
  );
}

function installed(service: Service): string | undefined {
  return service.paths().find(isProgram) ?? service.names.map(onPath).find((path) => path !== undefined);
}

/** Programs that tests run, and Debian's package of each. */
const tools = {
  caddy: 'caddy',
  haproxy: 'haproxy',
  nginx: 'nginx',
  'fail2ban-regex': 'fail2ban',
  strace: 'strace',
  mosquitto_pub: 'mosquitto-clients',
  mosquitto_sub: 'mosquitto-clients',
  paho_c_pub: 'paho.mqtt.c-examples',
  paho_c_sub: 'paho.mqtt.c-examples',
  paho_cs_pub: 'paho.mqtt.c-examples',
  paho_cs_sub: 'paho.mqtt.c-examples',
} as const;
export type Tool = keyof typeof tools;
/** What a package would start. */
const unitsOf: { readonly [T in Tool]?: string[] } = {
  caddy: ['caddy', 'caddy-api'],
  'fail2ban-regex': ['fail2ban'],
  haproxy: ['haproxy'],
  nginx: ['nginx'],
};
/** MQTT clients that other people wrote. */
export const mqttTools = [
  'mosquitto_pub',
  'mosquitto_sub',
  'paho_c_pub',
  'paho_c_sub',
  'paho_cs_pub',
  'paho_cs_sub',
] as const;

/** The full path of a program, installed now if it is missing and that is allowed. */
export async function locateTool(tool: Tool): Promise<string> {
  const missing = tools[tool];
  if (onPath(tool) === undefined && (await aptCanInstall())) {
    await aptInstall(missing, unitsOf[tool] ?? []);
  }
  const path = onPath(tool);
  if (path === undefined) {
    throw new Error(`The tests need ${tool}. Install it (Debian/Ubuntu: apt-get install ${missing}).`);
  }
  return path;
}

/** The full path of a program on PATH. */
export function onPath(name: string): string | undefined {
  // Servers are in /usr/sbin, which people's PATH often leaves out.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'].filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
