import { expect } from 'chai';
import { parse } from 'yaml';
import { z } from 'zod';
import { loadConfig, unknownVariables } from '../../core/config.ts';
import { imageOf } from '../services/install.ts';
import { projectFile } from './house-table.ts';

const bind = z.object({
  type: z.literal('bind'),
  source: z.string(),
  target: z.string(),
  read_only: z.boolean().optional(),
});
const service = z.object({
  image: z.string(),
  build: z.string().optional(),
  pull_policy: z.string().optional(),
  command: z.array(z.string()).optional(),
  restart: z.string(),
  environment: z.record(z.string(), z.string()),
  volumes: z.array(z.union([z.string(), bind])).default([]),
  ports: z.array(z.string()).default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  healthcheck: z.object({ test: z.array(z.string()).min(2) }),
});
const composeFile = z.object({
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.null()),
});

/** What compose.postgres.yaml puts on top of the roles. */
const overlaid = service.pick({ environment: true, depends_on: true }).strict();
const overlay = z.object({ services: z.record(z.string(), z.unknown()), volumes: z.record(z.string(), z.null()) });

const manifest = z.object({ version: z.string() });

type Variables = Readonly<Record<string, string>>;

/** Puts variables in as Compose does: `${NAME}`, `${NAME:-default}`, `${NAME:?why it is needed}`. */
function substitute(text: string, variables: Variables): string {
  return text.replace(/\$\{([A-Z_]+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind: string, rest: string) => {
    const value = variables[name];
    if (value) return value;
    if (kind === '-') return rest;
    throw new Error(`${name} is not set${kind === '?' ? `: ${rest}` : ''}`);
  });
}

function readEnv(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
}

async function compose(change: (variables: Variables) => Variables = (v) => v) {
  const variables = change(readEnv(await projectFile('.env.example')));
  const document: unknown = parse(substitute(await projectFile('compose.yaml'), variables), { merge: true });
  return composeFile.parse(document);
}

const ROLES = ['broker', 'worker', 'gateway'];

describe('compose.yaml', () => {
  let file: z.infer<typeof composeFile>;
  before(async () => {
    file = await compose();
  });
  const named = (name: string) => {
    const found = file.services[name];
    if (!found) throw new Error(`there is no service ${name}`);
    return found;
  };

  it('has RabbitMQ, InfluxDB and one service for each role', () => {
    expect(Object.keys(file.services)).to.deep.equal(['rabbitmq', 'influxdb', ...ROLES]);
    for (const role of ROLES) expect(named(role).command).to.deep.equal([role]);
  });

  it('names servers by a minor version, RabbitMQ by the one that the tests take: no pull brings another', () => {
    for (const name of ['rabbitmq', 'influxdb']) expect(named(name).image, name).to.match(/^[a-z]+:\d+\.\d+$/);
    expect(named('rabbitmq').image).to.equal(imageOf('rabbitmq'));
  });

  it('builds its image in one service; the other roles use it under its name and do not look for it elsewhere', async () => {
    const { version } = manifest.parse(JSON.parse(await projectFile('package.json')));
    const [builder = '', ...more] = Object.keys(file.services).filter((name) => named(name).build !== undefined);
    expect(ROLES).to.include(builder);
    expect(more).to.deep.equal([]);
    for (const role of ROLES) expect(named(role).image, role).to.equal(`loam:${version}`);
    for (const role of ROLES.filter((one) => one !== builder)) expect(named(role).pull_policy, role).to.equal('never');
  });

  it('gives each role settings that are right, and no variable that is none', () => {
    for (const role of ROLES) {
      const { environment } = named(role);
      const config = loadConfig({}, environment);
      expect(unknownVariables(environment), role).to.deep.equal([]);
      expect(config.log, role).to.match(/^amqp:\/\/loam:[^@]+@rabbitmq:5672$/);
      expect(config, role).to.include({ opsHost: '0.0.0.0', opsPort: 9464 });
    }
  });

  it('has every role reach the servers that it needs under their names and credentials', () => {
    const rabbit = named('rabbitmq').environment;
    const influx = named('influxdb').environment;
    const config = (role: string) => loadConfig({}, named(role).environment);
    for (const url of [config('broker').queue, config('worker').queue, ...ROLES.map((role) => config(role).log)]) {
      expect(new URL(url)).to.include({
        hostname: 'rabbitmq',
        username: rabbit.RABBITMQ_DEFAULT_USER,
        password: rabbit.RABBITMQ_DEFAULT_PASS,
      });
    }
    for (const role of ['worker', 'gateway']) {
      const url = new URL(config(role).store);
      expect(url).to.include({ host: 'influxdb:8086', pathname: `/${influx.DOCKER_INFLUXDB_INIT_BUCKET}` });
      expect(url.searchParams.get('org')).to.equal(influx.DOCKER_INFLUXDB_INIT_ORG);
      expect(url.searchParams.get('token')).to.equal(influx.DOCKER_INFLUXDB_INIT_ADMIN_TOKEN);
    }
  });

  it('starts a role when the servers that it needs are healthy', () => {
    const needs = Object.fromEntries(ROLES.map((role) => [role, Object.keys(named(role).depends_on)]));
    expect(needs).to.deep.equal({
      broker: ['rabbitmq'],
      worker: ['rabbitmq', 'influxdb'],
      gateway: ['rabbitmq', 'influxdb'],
    });
    for (const { depends_on } of Object.values(file.services)) {
      for (const [other, { condition }] of Object.entries(depends_on)) {
        expect(file.services).to.have.property(other);
        expect(condition).to.equal('service_healthy');
      }
    }
  });

  it('asks each service for its health and starts it again when it ends', () => {
    for (const [name, { restart, healthcheck }] of Object.entries(file.services)) {
      expect(restart, name).to.equal('unless-stopped');
      expect(healthcheck.test[0], name).to.equal('CMD');
    }
    for (const role of ROLES) {
      const { opsPort } = loadConfig({}, named(role).environment);
      expect(named(role).healthcheck.test.join(' '), role).to.include(`127.0.0.1:${opsPort}/readyz`);
    }
  });

  it('publishes MQTT and the dashboard, where they listen, and nothing else', () => {
    const published = Object.fromEntries(Object.entries(file.services).map(([name, { ports }]) => [name, ports]));
    expect(published).to.deep.equal({
      rabbitmq: [],
      influxdb: [],
      broker: ['1883:1883'],
      worker: [],
      gateway: ['8080:8080'],
    });
    expect(loadConfig({}, named('broker').environment)).to.include({ mqttHost: '0.0.0.0', mqttPort: 1883 });
    expect(loadConfig({}, named('gateway').environment)).to.include({ httpHost: '0.0.0.0', httpPort: 8080 });
  });

  it('keeps the servers’ data in named volumes, each of them declared and used', () => {
    const used = Object.values(file.services).flatMap(({ volumes }) => volumes.filter((v) => typeof v === 'string'));
    expect(used.map((v) => v.split(':')[0]).sort()).to.deep.equal(Object.keys(file.volumes).sort());
    expect(named('rabbitmq').volumes).to.include('rabbitmq:/var/lib/rabbitmq');
    expect(named('influxdb').volumes).to.include('influxdb:/var/lib/influxdb2');
  });

  it('gives the registry’s folder to the broker to read and to the gateway to edit', () => {
    const mount = { type: 'bind', source: './config', target: '/registry' };
    expect(named('broker').volumes).to.deep.equal([{ ...mount, read_only: true }]);
    expect(named('gateway').volumes).to.deep.equal([mount]);
    for (const role of ['broker', 'gateway']) {
      expect(loadConfig({}, named(role).environment).registry).to.equal('/registry/registry.yaml');
    }
  });

  it('takes every secret from .env, and does not start without one', async () => {
    const text = await projectFile('compose.yaml');
    for (const secret of [
      'RABBITMQ_PASSWORD',
      'INFLUX_PASSWORD',
      'INFLUX_TOKEN',
      'LOAM_SESSION_KEY',
      'LOAM_SECRET_KEY',
    ]) {
      for (const [use] of text.matchAll(new RegExp(`\\$\\{${secret}[^}]*\\}`, 'g'))) expect(use).to.include(':?');
      const refused = await compose((variables) => ({ ...variables, [secret]: '' })).then(
        () => false,
        () => true,
      );
      expect(refused, secret).to.equal(true);
    }
    const raw = composeFile.parse(parse(text, { merge: true }));
    for (const { environment } of Object.values(raw.services)) {
      for (const [name, value] of Object.entries(environment)) {
        if (/PASS|TOKEN|KEY/.test(name)) expect(value, name).to.match(/^\$\{[A-Z_]+:\?[^}]+\}$/);
      }
    }
  });

  it('has the registry in PostgreSQL when compose.postgres.yaml is put beside it, and that only', async () => {
    const text = await projectFile('compose.postgres.yaml');
    const example = (await projectFile('.env.example')).replaceAll(/^#(?=[A-Z_]+=)/gm, '');
    const variables = readEnv(example);
    expect(() => substitute(text, {})).to.throw('POSTGRES_PASSWORD');
    expect(variables.COMPOSE_FILE).to.equal('compose.yaml:compose.postgres.yaml');
    const { postgres, ...roles } = overlay.parse(parse(substitute(text, variables), { merge: true })).services;
    expect(Object.keys(roles)).to.have.members(ROLES);
    const own = service.parse(postgres);
    expect(own).to.include({ image: imageOf('postgres'), restart: 'unless-stopped' });
    expect(own.ports).to.deep.equal([]);
    expect(own.healthcheck.test).to.include.members(['CMD', 'pg_isready']);
    for (const role of ROLES) {
      const { environment, depends_on } = overlaid.parse(roles[role]);
      const url = new URL(loadConfig({}, { ...named(role).environment, ...environment }).registry);
      expect(url, role).to.include({
        protocol: 'postgres:',
        host: 'postgres:5432',
        username: own.environment.POSTGRES_USER,
        password: own.environment.POSTGRES_PASSWORD,
        pathname: `/${own.environment.POSTGRES_DB}`,
      });
      expect(Object.keys(environment)).to.deep.equal(['LOAM_REGISTRY']);
      expect(depends_on).to.deep.equal({ postgres: { condition: 'service_healthy' } });
    }
  });

  it('uses every variable of .env.example, and has no other without a default', async () => {
    const text = await projectFile('compose.yaml');
    const used = new Set([...text.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name));
    expect([...used].sort()).to.deep.equal(Object.keys(readEnv(await projectFile('.env.example'))).sort());
  });
});

describe('Dockerfile', () => {
  it('builds on the promised image and runs the command as nobody special', async () => {
    const text = await projectFile('Dockerfile');
    expect([...text.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image)).to.deep.equal([
      'node:24-trixie-slim',
      'node:24-trixie-slim',
    ]);
    expect(text).to.match(/^USER node$/m);
    expect(text).to.match(/^ENTRYPOINT \["node", "--max-semi-space-size=64", "cli\/bin\.js"\]$/m);
    expect(text).to.match(/^RUN npm ci --omit=dev/m);
  });

  it('copies what the package is made of', async () => {
    const text = await projectFile('Dockerfile');
    const copied = [...text.matchAll(/^COPY --from=build \/app\/(\S+) /gm)].map(([, path]) => path);
    const { files } = z.object({ files: z.array(z.string()) }).parse(JSON.parse(await projectFile('package.json')));
    expect(copied).to.include.members(files);
  });

  it('leaves secrets and data out of the image', async () => {
    const ignored = (await projectFile('.dockerignore')).split('\n');
    expect(ignored).to.include.members(['.env', '.git', 'data', 'config', '**/node_modules']);
  });
});
