import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync, type MqttClient } from 'mqtt';
import { z } from 'zod';
import { isLoopback } from '../../core/networks.ts';
import { Hosts, whyNoHosts } from '../services/hosts.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { projectFile } from '../unit/house-table.ts';
import { LoamProcess, run } from './loam-process.ts';

/** A place that stands for a container: reached from this process by an address that is not loopback. */
interface Container {
  readonly address: string;
  readonly through: readonly string[];
  /** Its ports, where it shares them with others. */
  readonly ports: { readonly mqtt: number; readonly http: number };
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** A network namespace; else this machine, by its own address. */
async function openContainer(): Promise<Container> {
  if (whyNoHosts() === undefined) {
    const hosts = await Hosts.open(['image']);
    const { address, through } = hosts.host('image');
    return { address, through, ports: { mqtt: 1883, http: 8080 }, env: {}, close: () => hosts.close() };
  }
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const address = all.find((one) => one.family === 'IPv4' && !isLoopback(one.address))?.address;
  if (address === undefined) throw new Error('this machine has no address but loopback');
  const ports = { mqtt: await freePort(), http: await freePort() };
  const env = {
    LOAM_MQTT_PORT: String(ports.mqtt),
    LOAM_HTTP_PORT: String(ports.http),
    LOAM_OPS_PORT: '0',
    LOAM_FIRST_SIGN_IN_FROM: address,
  };
  return { address, through: [], ports, env, close: async () => {} };
}

/** What the image of the Dockerfile runs with: its last stage's variables, and its command. */
async function imageOfDockerfile() {
  const text = (await projectFile('Dockerfile')).split(/^FROM /m).at(-1) ?? '';
  const env = Object.fromEntries(
    [...text.matchAll(/^ENV (\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
  const words = (found: RegExpExecArray | null) => z.array(z.string()).parse(JSON.parse(found?.[1] ?? '[]'));
  const command = [...words(/^ENTRYPOINT (\[.*\])$/m.exec(text)), ...words(/^CMD (\[.*\])$/m.exec(text))];
  return { env, command, exposed: /^EXPOSE (.*)$/m.exec(text)?.[1]?.split(' ') };
}

describe('the image', function () {
  this.timeout(240_000);

  it('is reached from outside its container, where its link signs its owner in and sensors publish', async () => {
    const { env, command, exposed } = await imageOfDockerfile();
    expect(exposed).to.deep.equal(['1883', '8080']);
    expect(command.slice(0, 3), 'as LoamProcess runs it').to.deep.equal([
      'node',
      '--max-semi-space-size=64',
      'cli/bin.js',
    ]);
    const container = await openContainer();
    const { address, ports } = container;
    // Its volume is the one thing that is elsewhere here.
    const all = { ...env, LOAM_DATA: join(await temporaryFolder(), 'data'), ...container.env };
    const loam = new LoamProcess(command.slice(3), all, 'pipe', undefined, container.through);
    try {
      const [, link = ''] = await loam.says(/Open (http:\/\/\S+)/);
      // What `docker run -p 8080:8080` publishes on the host's own address.
      expect(new URL(link).host).to.equal(`127.0.0.1:${ports.http}`);
      const base = `http://${address}:${ports.http}`;
      expect(await (await fetch(base)).text()).to.include('<html');
      const token = new URLSearchParams(new URL(link).hash.slice(1)).get('token');
      const login = () =>
        fetch(`${base}/api/login`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', origin: base },
          body: JSON.stringify({ token }),
        });
      const first = await login();
      expect(first.status).to.equal(200);
      expect((await login()).status, 'it is good once').to.equal(401);
      const cookie = first.headers.getSetCookie()[0]?.split(';')[0] ?? '';
      const password = await fetch(`${base}/api/me/password`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', origin: base, cookie },
        body: JSON.stringify({ password: 'a long enough one' }),
      });
      expect(password.status).to.equal(204);

      const added = await run(['sensor', 'add', 'probe-1', '--farm', 'demo'], { ...all, LOAM_URL: base });
      expect(added.code, added.stderr).to.equal(0);
      const secret = /password\s+(\S+)/.exec(added.stdout)?.[1] ?? '';
      const url = `mqtt://${address}:${ports.mqtt}`;
      const signIn = { clientId: 'probe-1', username: 'probe-1', password: secret, reconnectPeriod: 0 };
      let client: MqttClient | undefined;
      // It follows the registry's file within a second.
      await until('the sensor to be let in', async () => {
        client = await connectAsync(url, signIn).catch(() => undefined);
        return client !== undefined;
      });
      await client?.publishAsync('farms/demo/sensors/probe-1/telemetry', '{"soil_moisture": 31.2}', { qos: 1 });
      await client?.endAsync();
    } finally {
      expect(await loam.stop()).to.equal(0);
      await container.close();
    }
  });
});
