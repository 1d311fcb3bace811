import { join } from 'node:path';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

describe('loam events, and what loam sensor show says of a sensor that is refused', function () {
  this.timeout(120_000);
  let env: Record<string, string>;
  let loam: LoamProcess;
  let mqttPort: number;

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
    loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(/Open http/);
  });
  after(() => loam.stop());

  const refused = (username: string, clientId = 'x') =>
    mqtt
      .connectAsync(
        `mqtt://127.0.0.1:${mqttPort}`,
        { username, password: 'old', clientId, reconnectPeriod: 0, connectTimeout: 5_000 },
        false,
      )
      .then(
        () => expect.fail('let in'),
        () => {},
      );

  it('a wrong password is found with its address, its reason and what to do', async () => {
    await run(['sensor', 'add', 'p7', '--farm', 'farm'], env);
    const shown = await until(
      'the refusal is known',
      async () => {
        await refused('p7');
        const { stdout } = await run(['sensor', 'show', 'p7'], env);
        return stdout.includes('refused') && stdout;
      },
      { timeoutMs: 60_000 },
    );
    expect(shown).to.match(/^# it never reported$/m);
    expect(shown).to.match(/^# p7: refused just now from 127\.0\.0\.1, wrong password$/m);
    expect(shown).to.match(/^# {3}Give the device the sensor’s secret/m);

    const { stdout, code } = await run(['events', '--farm', 'farm', '--kind', 'refused', '--since', '1h'], env);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^\S+Z\tmqtt_refused( ×\d+)?\tfarm\/p7\tp7\t127\.0\.0\.1\twrong_password\t/m);
    const json = await run(['events', '--kind', 'registry_changed', '--text', 'p7', '--json'], env);
    const [line = ''] = json.stdout.split('\n');
    expect(JSON.parse(line)).to.deep.include({ kind: 'registry_changed', farm: 'farm', sensor: 'p7' });
    expect((await run(['events', '--text', 'no such text'], env)).stdout).to.equal('No events.\n');
    expect((await run(['events', '--kind', 'nonsense'], env)).code).to.equal(2);
    expect((await run(['events', '--limit', '0'], env)).code).to.equal(2);
  });

  it('what is foreign moves no cursor', async () => {
    await refused('\u202eevil');
    const { stdout } = await until(
      'it is listed',
      async () => {
        const done = await run(['events', '--text', 'evil'], env);
        return done.stdout.includes('evil') && done;
      },
      { timeoutMs: 60_000 },
    );
    expect(stdout).to.not.match(/[^\P{Cc}\n\t]|\p{Cf}/u);
  });
});
