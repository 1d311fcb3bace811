import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { z } from 'zod';
import { itIfLong } from '../services/length.ts';
import { type MosquittoServer, startMosquitto } from '../services/mosquitto.ts';
import { postgres } from '../services/postgres.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess, run } from './loam-process.ts';

const DOC = fileURLToPath(new URL('../../docs/existing-devices.md', import.meta.url));
const BIN = fileURLToPath(new URL('../../cli/bin.js', import.meta.url));
const history = z.object({ rows: z.array(z.array(z.number())) });

/** What a section says: the lines to run, and which values are on the dashboard then. */
interface DocSection {
  readonly name: string;
  readonly lines: readonly string[];
  readonly values: readonly (readonly [sensor: string, metric: string, value: number])[];
}

async function sections(): Promise<DocSection[]> {
  const [, ...parts] = (await readFile(DOC, 'utf8')).split('\n## ');
  return parts.map((part) => {
    const blocks = [...part.matchAll(/```(\w+)\n([^`]*)```/g)].map(([, kind, text = '']) => ({ kind, text }));
    const linesOf = (kind: string) =>
      blocks.filter((block) => block.kind === kind).flatMap(({ text }) => text.trim().split('\n'));
    const values = linesOf('text').flatMap((line) => {
      const [, sensor = '', metric = '', value = ''] = /^(\S+) (\w+) ([\d.]+)$/.exec(line) ?? [];
      return sensor === '' ? [] : [[sensor, metric, Number(value)] as const];
    });
    return { name: part.split('\n', 1)[0] ?? '', lines: linesOf('sh'), values };
  });
}

/** A running Loam may see some moments later what the command line has changed. */
function notYetIn(error: unknown): undefined {
  if (!String(error).includes('bad user name or password')) throw error;
}

describe('devices that are there already, as the page about them says', function () {
  this.timeout(180_000);
  let other: MosquittoServer;
  before(async () => {
    other = await startMosquitto();
  });
  after(() => other.close());

  async function works(more: Readonly<Record<string, string>>): Promise<void> {
    const data = join(await temporaryFolder(), 'data');
    await mkdir(data);
    const [mqttPort, httpPort] = [await freePort(), await freePort()];
    const env = { LOAM_DATA: data, LOAM_SECRET_KEY: 'k'.repeat(43), ...more };
    const registry = `farms: [{ id: demo, name: Demo, timezone: UTC }]
sources: [{ id: old, farm: demo, url: "${other.url}", topics: ["zigbee2mqtt/#"], clientId: "loam-${httpPort}" }]
`;
    const path = join(data, more.LOAM_REGISTRY === undefined ? 'registry.yaml' : 'first.yaml');
    await writeFile(path, registry);
    if (more.LOAM_REGISTRY !== undefined) {
      await run(['init'], env);
      const { code, stderr } = await run(['registry', 'import', path], env);
      expect(code, stderr).to.equal(0);
    }
    const loam = new LoamProcess(['up', '--no-demo'], {
      ...env,
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_HTTP_PORT: String(httpPort),
      LOAM_OPS_PORT: '0',
    });
    const shell = async (line: string): Promise<string> => {
      const command = line.replace('-p 1883', `-p ${mqttPort}`).replace('npx loam', `"${process.execPath}" "${BIN}"`);
      const { stdout } = await promisify(execFile)('bash', ['-ceu', command], { env: { ...process.env, ...env } });
      return stdout;
    };
    const hasValue = async (sensor: string, metric: string, value: number) => {
      const authorization = `Bearer ${await readFile(join(data, 'admin-token'), 'utf8')}`;
      const url = `http://127.0.0.1:${httpPort}/api/farms/demo/history?sensor=${sensor}&metric=${metric}`;
      const answer = await fetch(url, { headers: { authorization } });
      return history.parse(await answer.json()).rows.some(([, last]) => last === value);
    };
    const isThere = async (...value: Parameters<typeof hasValue>) => {
      await until(value.join(' '), () => hasValue(...value));
    };
    try {
      await loam.says(/Loam is running/);
      const secrets = new Map<string, string>();
      for (const { name, lines, values } of await sections()) {
        expect([lines.length > 1, values.length > 0], name).to.deep.equal([true, true]);
        let secret = '';
        for (const line of lines) {
          if (line.startsWith('mosquitto_pub')) continue;
          const said = await shell(line);
          const [, id = '', made] = /username\s+(\S+)\n\s+password\s+(\S+)/.exec(said) ?? [];
          if (secret === '' && made !== undefined) secret = made;
          if (made !== undefined) secrets.set(id, made);
        }
        const tries = lines.filter((line) => line.startsWith('mosquitto_pub'));
        // A running Loam sees some moments later what the command line has changed.
        await until(`${name}: ${values.join('; ')}`, async () => {
          for (const line of tries) await shell(line.replace('THE_SECRET', secret)).catch(notYetIn);
          const seen = await Promise.all(values.map((value) => hasValue(...value)));
          return seen.every((isSeen) => isSeen);
        });
      }
      const connect = (id: string) =>
        mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
          clientId: id,
          username: id,
          password: secrets.get(id) ?? '',
        });

      // As ThingsBoard's client for gateways does it: it subscribes, says which device is there, and sends for that.
      const gateway = await connect('tb-gateway');
      const granted = await gateway.subscribeAsync(['v1/gateway/attributes', 'v1/gateway/rpc'], { qos: 1 });
      expect(granted.map(({ qos }) => qos)).to.deep.equal([1, 1]);
      await gateway.publishAsync('v1/gateway/connect', '{"device":"Tank 4"}', { qos: 1 });
      const telemetry = { 'Tank 4': [{ ts: Date.now() - 1_000, values: { water_level: 2.5 } }] };
      await gateway.publishAsync('v1/gateway/telemetry', JSON.stringify(telemetry), { qos: 1 });
      await gateway.publishAsync('v1/gateway/attributes', '{"Tank 4":{"volume":900}}', { qos: 1 });
      await gateway.endAsync();
      await isThere('Tank-4', 'water_level', 2.5);
      await isThere('Tank-4', 'volume', 900);

      // A Shelly of the second generation.
      const added = await shell('npx loam sensor add shellyplus1pm-1 --farm demo');
      secrets.set('shellyplus1pm-1', /password\s+(\S+)/.exec(added)?.[1] ?? '');
      const shelly = await until('it is let in', () => connect('shellyplus1pm-1').catch(() => undefined));
      expect((await shelly.subscribeAsync('shellyplus1pm-1/rpc', { qos: 1 }))[0]?.qos).to.equal(1);
      const status = { src: 'shellyplus1pm-1', method: 'NotifyStatus', params: { 'switch:0': { apower: 8.9 } } };
      await shelly.publishAsync('shellyplus1pm-1/events/rpc', JSON.stringify(status), { qos: 1 });
      await shelly.endAsync();
      await isThere('shellyplus1pm-1', 'switch_0_apower', 8.9);

      // Through another broker.
      const there = await mqtt.connectAsync(other.url);
      await there.publishAsync('zigbee2mqtt/Greenhouse', '{"temperature": 23.5}', { qos: 1 });
      await there.endAsync();
      await isThere('Greenhouse', 'temperature', 23.5);
      expect(await loam.stop()).to.equal(0);
    } finally {
      await loam.stop('SIGKILL');
    }
  }

  it('are let in and shown, with the registry in a file', async () => {
    await works({});
  });

  itIfLong('are let in and shown, with the registry in PostgreSQL', async () => {
    await works({ LOAM_REGISTRY: await (await postgres()).createDatabase() });
  });
});
