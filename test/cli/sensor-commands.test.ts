import { join } from 'node:path';
import { expect } from 'chai';
import mqtt, { type MqttClient } from 'mqtt';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const TOPIC = 'farms/farm/sensors/valve-1/commands';

describe('loam sensor send and loam sensor commands', function () {
  this.timeout(90_000);
  let env: Record<string, string>;
  let loam: LoamProcess;
  let mqttPort: number;
  let secret: string;
  let device: MqttClient | undefined;

  before(async () => {
    const [httpPort, data] = [await freePort(), join(await temporaryFolder(), 'data')];
    mqttPort = await freePort();
    env = {
      LOAM_DATA: data,
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_HTTP_PORT: String(httpPort),
      LOAM_OPS_PORT: '0',
      LOAM_URL: `http://127.0.0.1:${httpPort}`,
    };
    await start();
    const added = await run(['sensor', 'add', 'valve-1', '--farm', 'farm'], env);
    secret = /password {2}(\S+)/.exec(added.stdout)?.[1] ?? '';
  });
  after(async () => {
    device?.end(true);
    await loam.stop();
  });

  async function start(): Promise<void> {
    loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(/Open http/);
  }
  async function send(command: object): Promise<string> {
    // Each try is a start of the command line.
    const sent = await until(
      'the gateway knows the sensor',
      async () => {
        const { code, stdout } = await run(['sensor', 'send', 'valve-1', JSON.stringify(command)], env);
        return code === 0 && stdout;
      },
      { timeoutMs: 60_000 },
    );
    return /Command (\S+) is queued/.exec(sent)?.[1] ?? '';
  }
  async function stateOf(id: string): Promise<string> {
    const { stdout } = await run(['sensor', 'commands', 'valve-1'], env);
    const line = stdout.split('\n').find((text) => text.startsWith(id)) ?? '';
    return line.split('\t')[1] ?? 'unknown';
  }
  /** Connects the device and collects what it gets. */
  async function connect(): Promise<{ id: string; command: unknown }[]> {
    const got: { id: string; command: unknown }[] = [];
    device = await mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
      username: 'valve-1',
      password: secret,
      reconnectPeriod: 0,
    });
    device.on('message', (_topic, payload) => got.push(JSON.parse(payload.toString())));
    await device.subscribeAsync(TOPIC, { qos: 1 });
    return got;
  }

  it('bring a command to a sensor that sleeps, over the death of the process, and say what became of it', async () => {
    const id = await send({ valve: 'open' });
    expect(await stateOf(id)).to.equal('queued');
    await loam.stop('SIGKILL');
    await start();
    expect(await stateOf(id)).to.equal('queued');
    const got = await connect();
    await until('the command', () => got.length === 1);
    expect(got[0]).to.deep.include({ id, command: { valve: 'open' } });
    await until('it is delivered', async () => (await stateOf(id)) === 'delivered');
  });

  it('do not bring a delivered command again after the death of the process', async () => {
    await loam.stop('SIGKILL');
    await start();
    const got = await connect();
    const id = await send({ valve: 'shut' });
    await until('the next command', () => got.length > 0);
    expect(got.map((command) => command.id)).to.deep.equal([id]);
  });

  it('say what is wrong, and exit 2', async () => {
    const wrong: [string[], RegExp][] = [
      [['sensor', 'send', 'valve-1', '{valve: open}'], /<json>/],
      [['sensor', 'send', 'nobody', '{}'], /nobody/],
      [['sensor', 'send', 'valve-1', '{}', '--ttl', 'soon'], /--ttl/],
      [['sensor', 'commands', 'nobody', '--farm', 'farm'], /not-found/],
      [['sensor', 'send', 'valve-1', JSON.stringify('x'.repeat(5_000))], /body-too-large/],
    ];
    for (const [args, words] of wrong) {
      const { code, stderr } = await run(args, env);
      expect(stderr).to.match(words);
      expect(code, args.join(' ')).to.equal(2);
    }
  });
});
