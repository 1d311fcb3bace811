import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse } from 'yaml';
import { z } from 'zod';
import { loadConfig, unknownVariables } from '../../core/config.ts';
import { Networks } from '../../core/networks.ts';
import { imageOf } from '../services/install.ts';
import { temporaryFolder } from '../services/wait.ts';
import { composeFile, definitions, overlaid, overlay, service } from './compose-file.ts';
import { projectFile } from './house-table.ts';

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

/** Runs deploy/secrets.sh. Resolves with a function that says what is in the file of a secret. */
async function madeSecrets(): Promise<(name: string) => string> {
  const folder = await temporaryFolder();
  execFileSync(fileURLToPath(new URL('../../deploy/secrets.sh', import.meta.url)), [folder]);
  return (name) => readFileSync(join(folder, name), 'utf8');
}

/** Variables of a container as if its secrets were in this machine's files, too. */
function withSecrets({ environment }: Pick<z.infer<typeof service>, 'environment'>, secret: (name: string) => string) {
  const at = (value: string) => secret(value.replace('/run/secrets/', ''));
  const given = Object.entries(environment).map(([name, value]) => {
    return value.startsWith('/run/secrets/') ? [name.replace(/_FILE$/, ''), at(value)] : [name, value];
  });
  return Object.fromEntries(given.filter(([, value]) => value !== ''));
}

describe('compose.yaml', () => {
  let file: z.infer<typeof composeFile>;
  let secret: (name: string) => string;
  before(async () => {
    file = await compose();
    secret = await madeSecrets();
  });
  const settings = (role: string) => loadConfig({}, withSecrets(named(role), secret));
  const named = (name: string) => {
    const found = file.services[name];
    if (!found) throw new Error(`there is no service ${name}`);
    return found;
  };

  it('has RabbitMQ, InfluxDB, one service for each role, and a proxy', () => {
    expect(Object.keys(file.services)).to.deep.equal(['rabbitmq', 'influxdb', ...ROLES, 'proxy']);
    for (const role of ROLES) expect(named(role).command).to.deep.equal([role]);
  });

  it('names servers by a minor version, RabbitMQ by the one that the tests take: no pull brings another', () => {
    for (const name of ['rabbitmq', 'influxdb', 'proxy'])
      expect(named(name).image, name).to.match(/^[a-z]+:\d+\.\d+(-management)?$/);
    expect(named('rabbitmq').image).to.equal(`${imageOf('rabbitmq')}-management`);
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
      const config = settings(role);
      expect(unknownVariables(named(role).environment), role).to.deep.equal([]);
      expect(config.log, role).to.match(/^amqp:\/\/loam:[^@]+@rabbitmq:5672$/);
      expect(config, role).to.include({ opsHost: '0.0.0.0', opsPort: 9464 });
    }
  });

  it('has every role reach the servers that it needs under their names and credentials', () => {
    const influx = named('influxdb').environment;
    const { users } = definitions.parse(JSON.parse(secret('rabbitmq-definitions')));
    const passwords = Object.fromEntries(users.map(({ name, password }) => [name, password]));
    for (const url of [
      ...['broker', 'worker'].map((role) => settings(role).queue),
      ...ROLES.map((role) => settings(role).log),
    ]) {
      expect(new URL(url)).to.include({ hostname: 'rabbitmq', username: 'loam', password: passwords.loam });
    }
    const api = { host: 'rabbitmq:15672', username: 'look', password: passwords.look };
    for (const role of ROLES) expect(new URL(settings(role).rabbitmqApi ?? '')).to.include(api);
    for (const role of ['worker', 'gateway']) {
      const url = new URL(settings(role).store);
      expect(url).to.include({ host: 'influxdb:8086', pathname: `/${influx.DOCKER_INFLUXDB_INIT_BUCKET}` });
      expect(url.searchParams.get('org')).to.equal(influx.DOCKER_INFLUXDB_INIT_ORG);
      expect(url.searchParams.get('token')).to.equal(secret('influxdb-token'));
    }
  });

  it('has RabbitMQ read users who have no more rights than they need', async () => {
    expect(named('rabbitmq').volumes).to.include('./deploy/rabbitmq.conf:/etc/rabbitmq/conf.d/50-loam.conf:ro');
    expect(await projectFile('deploy/rabbitmq.conf')).to.match(
      /^load_definitions = \/run\/secrets\/rabbitmq-definitions$/m,
    );
    const { users, permissions } = definitions.parse(JSON.parse(secret('rabbitmq-definitions')));
    expect(users.map(({ name, tags }) => [name, tags])).to.deep.equal([
      ['loam', ''],
      ['look', 'management'],
    ]);
    const own = { configure: '^loam\\.', write: '^(loam\\.|amq\\.default$)', read: '^loam\\.' };
    const none = { configure: '^$', write: '^$', read: '^$' };
    expect(permissions).to.deep.equal([
      { user: 'loam', vhost: '/', ...own },
      { user: 'look', vhost: '/', ...none },
    ]);
  });

  it('starts a role when the servers that it needs are healthy', () => {
    const needs = Object.fromEntries(ROLES.map((role) => [role, Object.keys(named(role).depends_on)]));
    expect(needs).to.deep.equal({
      broker: ['rabbitmq'],
      worker: ['rabbitmq', 'influxdb'],
      gateway: ['rabbitmq', 'influxdb'],
    });
    expect(Object.keys(named('proxy').depends_on)).to.deep.equal(['gateway']);
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
      const { opsPort } = settings(role);
      expect(named(role).healthcheck.test.join(' '), role).to.include(`127.0.0.1:${opsPort}/readyz`);
    }
  });

  it('publishes MQTT and the proxy of the dashboard, and nothing else', () => {
    const published = Object.fromEntries(Object.entries(file.services).map(([name, { ports }]) => [name, ports]));
    expect(published).to.deep.equal({
      rabbitmq: [],
      influxdb: [],
      broker: ['1883:1883'],
      worker: [],
      gateway: [],
      proxy: ['80:80', '443:443'],
    });
    expect(settings('broker')).to.include({ mqttHost: '0.0.0.0', mqttPort: 1883 });
    expect(settings('gateway')).to.include({ httpHost: '0.0.0.0', httpPort: 8080 });
  });

  it('keeps the servers’ data in named volumes, each of them declared and used', () => {
    const used = Object.values(file.services).flatMap(({ volumes }) =>
      volumes.filter((v) => typeof v === 'string' && !v.startsWith('./')),
    );
    expect(used.map((v) => String(v).split(':')[0]).sort()).to.deep.equal(Object.keys(file.volumes).sort());
    expect(named('rabbitmq').volumes).to.include('rabbitmq:/var/lib/rabbitmq');
    expect(named('influxdb').volumes).to.include('influxdb:/var/lib/influxdb2');
  });

  it('gives the registry’s folder to the broker to read and to the gateway to edit', () => {
    const mount = { type: 'bind', source: './config', target: '/registry' };
    expect(named('broker').volumes).to.deep.equal([{ ...mount, read_only: true }]);
    expect(named('gateway').volumes).to.deep.equal([mount]);
    for (const role of ['broker', 'gateway']) {
      expect(settings(role).registry).to.equal('/registry/registry.yaml');
    }
  });

  it('takes every secret from a file, which the script makes, and gives each service only its own', async () => {
    for (const [name, { file: path }] of Object.entries(file.secrets)) {
      expect(path).to.equal(`./secrets/${name}`);
      expect(secret(name), name).to.match(/\S{32}/);
    }
    const given = new Set<string>();
    for (const [name, one] of Object.entries(file.services)) {
      const used = Object.values(one.environment).filter((value) => value.startsWith('/run/secrets/'));
      const own =
        name === 'rabbitmq' ? ['rabbitmq-definitions'] : used.map((path) => path.slice('/run/secrets/'.length));
      expect([...new Set(own)].sort(), name).to.deep.equal([...one.secrets].sort());
      for (const each of own) given.add(each);
      for (const variable of Object.keys(one.environment)) {
        if (/PASS|TOKEN|KEY/.test(variable)) expect(variable).to.match(/_FILE$/);
      }
    }
    expect([...given].sort()).to.deep.equal(Object.keys(file.secrets).sort());
    for (const path of ['.dockerignore', '.gitignore']) expect(await projectFile(path)).to.match(/^\/?secrets\/?$/m);
  });

  it('gives each service a root that is read-only and no capability but that of the proxy’s ports, and none runs as root but the proxy', () => {
    for (const [name, one] of Object.entries(file.services)) {
      expect(one.cap_add, name).to.deep.equal(name === 'proxy' ? ['NET_BIND_SERVICE'] : []);
      if (name !== 'proxy') expect(one.user, name).to.match(/^(rabbitmq|influxdb|1000:1000)$/);
    }
  });

  it('trusts the proxy, at its address in the network that it shares with the gateway, and nobody else', async () => {
    const text = substitute(await projectFile('compose.yaml'), readEnv(await projectFile('.env.example')));
    const { services, networks } = z
      .object({
        services: z.object({
          proxy: z.object({ networks: z.strictObject({ front: z.object({ ipv4_address: z.string() }) }) }),
          gateway: z.object({ networks: z.tuple([z.literal('default'), z.literal('front')]) }),
        }),
        networks: z.object({
          front: z.object({ ipam: z.object({ config: z.tuple([z.object({ subnet: z.string() })]) }) }),
        }),
      })
      .parse(parse(text, { merge: true }));
    const address = services.proxy.networks.front.ipv4_address;
    expect(named('gateway').environment.LOAM_TRUSTED_PROXIES).to.equal(address);
    expect(Networks.parse(networks.front.ipam.config[0].subnet)?.has(address)).to.equal(true);
    expect(await projectFile('deploy/Caddyfile')).to.include('{$LOAM_GATEWAY:gateway:8080}');
  });

  it('has the registry in PostgreSQL when compose.postgres.yaml is put beside it, and that only', async () => {
    const text = await projectFile('compose.postgres.yaml');
    const example = (await projectFile('.env.example')).replaceAll(/^#(?=[A-Z_]+=)/gm, '');
    const variables = readEnv(example);
    expect(variables.COMPOSE_FILE).to.equal('compose.yaml:compose.postgres.yaml');
    const file = overlay.parse(parse(substitute(text, variables), { merge: true }));
    const { postgres, ...roles } = file.services;
    for (const [name, { file: path }] of Object.entries(file.secrets)) expect(path).to.equal(`./secrets/${name}`);
    expect(Object.keys(roles)).to.have.members(ROLES);
    const own = service.parse(postgres);
    expect(own).to.include({ image: imageOf('postgres'), restart: 'unless-stopped' });
    expect(own.ports).to.deep.equal([]);
    expect(own.healthcheck.test).to.include.members(['CMD', 'pg_isready']);
    for (const role of ROLES) {
      const { environment, secrets, depends_on } = overlaid.parse(roles[role]);
      const env = withSecrets({ environment: { ...named(role).environment, ...environment } }, secret);
      const url = new URL(loadConfig({}, env).registry);
      expect(url, role).to.include({
        protocol: 'postgres:',
        host: 'postgres:5432',
        username: 'loam',
        password: secret('postgres-password'),
        pathname: `/${own.environment.POSTGRES_DB}`,
      });
      expect(Object.keys(environment)).to.deep.equal(['LOAM_REGISTRY', 'LOAM_REGISTRY_FILE']);
      expect(secrets).to.deep.equal(['registry-url']);
      expect(depends_on).to.deep.equal({ postgres: { condition: 'service_healthy' } });
    }
  });

  it('uses every variable of .env.example, and has no other without a default', async () => {
    const text = await projectFile('compose.yaml');
    const used = new Set([...text.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name));
    expect([...used].sort()).to.deep.equal(Object.keys(readEnv(await projectFile('.env.example'))).sort());
  });
});
