import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from 'amqplib';
import { expect } from 'chai';
import { connectAsync } from 'mqtt';
import { rejection } from '../backbone/numbered.ts';
import { itIfLong } from '../services/length.ts';
import { type RabbitServer, startRabbit } from '../services/rabbitmq.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess, run } from './loam-process.ts';

const SCRIPT = fileURLToPath(new URL('../../deploy/secrets.sh', import.meta.url));
const CONF = fileURLToPath(new URL('../../deploy/rabbitmq.conf', import.meta.url));

describe('the RabbitMQ of compose.yaml', function () {
  this.timeout(240_000);
  let server: RabbitServer;
  let folder: string;
  let env: Record<string, string>;
  let loam: LoamProcess;

  before(async () => {
    folder = await temporaryFolder();
    execFileSync(SCRIPT, [folder]);
    const api = await freePort();
    // The same file, at the place that it has here.
    const conf = (await readFile(CONF, 'utf8')).replace('/run/secrets/', `${folder}/`);
    const password = await readFile(join(folder, 'rabbitmq-password'), 'utf8');
    server = await startRabbit({
      plugins: ['rabbitmq_management'],
      config: `${conf}management.tcp.port = ${api}\nmanagement.tcp.ip = 127.0.0.1\n`,
      login: `loam:${password}`,
    });
    /** The path of a secret, with this machine's address in it. */
    const here = async (name: string, from: string, to: number) => {
      const path = join(folder, `${name}-here`);
      await writeFile(path, (await readFile(join(folder, name), 'utf8')).replace(from, `127.0.0.1:${to}`));
      return path;
    };
    const amqp = await here('amqp-url', 'rabbitmq:5672', server.port);
    env = {
      LOAM_DATA: join(folder, 'data'),
      LOAM_QUEUE_FILE: amqp,
      LOAM_LOG_FILE: amqp,
      LOAM_RABBITMQ_API_FILE: await here('rabbitmq-api-url', 'rabbitmq:15672', api),
      LOAM_TOKEN_FILE: join(folder, 'token'),
      LOAM_SECRET_KEY_FILE: join(folder, 'secret-key'),
      LOAM_SESSION_KEY_FILE: join(folder, 'session-key'),
      LOAM_MQTT_PORT: '0',
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: String(await freePort()),
    };
    const made = await run(['init'], env);
    expect(made.code, made.stderr).to.equal(0);
    loam = new LoamProcess(['up', '--no-demo'], env);
  });

  after(async () => {
    await loam.stop();
    await server.close();
  });

  const metrics = async () => await (await fetch(`http://127.0.0.1:${env.LOAM_OPS_PORT}/metrics`)).text();

  itIfLong('gives Loam all the rights that it needs, and policies can be looked at', async () => {
    const [, address = ''] = await loam.says(/Open (http:\/\/[^\s#]+)/);
    const [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
    const own = { ...env, LOAM_URL: address };
    expect(
      (await run(['farm', 'add', 'north', '--name', 'North', '--timezone', 'Europe/Berlin'], own)).stderr,
    ).to.equal('');
    const added = await run(['sensor', 'add', 'probe-1', '--farm', 'north'], own);
    const secret = /password\s+(\S+)/.exec(added.stdout)?.[1] ?? '';
    const client = await connectAsync(`mqtt://${mqtt}`, { clientId: 'probe-1', username: 'probe-1', password: secret });
    const topic = 'farms/north/sensors/probe-1/telemetry';
    await client.publishAsync(topic, '{"soil_moisture": 31.2}', { qos: 1 });
    await client.publishAsync(topic, 'no reading', { qos: 1 });
    await client.endAsync();
    const sent = await run(['sensor', 'send', 'probe-1', '{"valve":"open"}', '--farm', 'north'], own);
    expect(sent.code, sent.stderr).to.equal(0);
    const counted = await until(
      'reading and dead letter',
      async () => {
        const text = await metrics();
        const done =
          /^loam_worker_messages_total[^\n]* [2-9]/m.test(text) && /^loam_dead_letters_open[^\n]* 1/m.test(text);
        return done ? text : undefined;
      },
      { timeoutMs: 30_000 },
    );
    expect(counted).to.match(/^loam_rabbitmq_harmful_policies 0$/m);
    const check = await run(['check'], own);
    expect(check.stdout)
      .to.match(/^ok +queue/m)
      .and.match(/^ok +log/m)
      .and.match(/^ok +policies/m);
    expect(check.stdout).to.not.include(server.url.split(/[:@]/)[2] ?? '?');
    expect(loam.stderr + loam.stdout).to.not.include('ACCESS_REFUSED');
  });

  itIfLong('gives it no more: no other queue, no exchange, and there is no guest', async () => {
    const refusal = async (
      act: (channel: Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['createChannel']>>) => Promise<unknown>,
    ) => {
      const connection = await connect(server.url);
      try {
        const channel = await connection.createChannel();
        channel.on('error', () => {});
        return String(await rejection(act(channel)));
      } finally {
        await connection.close();
      }
    };
    expect(await refusal((channel) => channel.assertQueue('other'))).to.include('ACCESS_REFUSED');
    expect(await refusal((channel) => channel.assertExchange('other', 'fanout'))).to.include('ACCESS_REFUSED');
    expect(await refusal((channel) => channel.bindQueue('loam.readings', 'amq.topic', '#'))).to.include(
      'ACCESS_REFUSED',
    );
    expect(String(await rejection(connect(`amqp://guest:guest@127.0.0.1:${server.port}`)))).to.match(/ACCESS.REFUSED/);
  });
});
