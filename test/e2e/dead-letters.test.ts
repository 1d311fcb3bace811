import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { connectAsync, type MqttClient } from 'mqtt';
import { z } from 'zod';
import { Api } from '../../cli/api.ts';
import { loadConfig } from '../../core/config.ts';
import { hashSecret } from '../../core/secrets.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess, run } from './loam-process.ts';

const CODEC = fileURLToPath(new URL('../workers/codecs/lse01.js', import.meta.url));
const SECRET = 's'.repeat(32);
const PROBE = 'a84041000181c061';
const BROKEN = 'a84041000181c062';
/** When the network heard the uplinks: long before they are replayed. */
const HEARD = Date.now() - 600_000;

const registry = `farms:
  - { id: north, name: North farm, timezone: Europe/Berlin }
sensors:
  - { id: ns, farm: north, role: bridge, secret: ${hashSecret(SECRET)} }
  - { id: ${PROBE}, farm: north }
  - { id: ${BROKEN}, farm: north, codec: codecs/broken.js }
metrics:
  - { id: soil_moisture, label: Soil moisture, unit: '%' }
`;
// 3.3 V, 20.5 °C, 18.3 % of water, 21 °C, 100 µS/cm.
const BYTES = Buffer.from('0ce400cd07260834006410', 'hex').toString('base64');
const uplink = (device: string) =>
  JSON.stringify({ deviceInfo: { devEui: device }, time: new Date(HEARD).toISOString(), fPort: 2, data: BYTES });
const history = z.object({ unit: z.string(), rows: z.array(z.array(z.number())) });
const answer = z.object({
  letters: z.array(z.object({ offset: z.number(), reason: z.string(), state: z.string() })),
  counts: z.object({ open: z.number() }),
});

describe('dead letters of uplinks that carry only bytes, with loam up', function () {
  this.timeout(120_000);
  let env: Record<string, string>;
  let data: string;
  let loam: LoamProcess;
  let api: Api;
  let bridge: MqttClient;

  before(async () => {
    const [httpPort, mqttPort] = [await freePort(), await freePort()];
    data = join(await temporaryFolder(), 'data');
    await mkdir(join(data, 'codecs'), { recursive: true });
    await writeFile(join(data, 'registry.yaml'), registry);
    await writeFile(join(data, 'codecs', 'broken.js'), 'function decodeUplink() { throw new Error("not today"); }\n');
    const url = `http://127.0.0.1:${httpPort}`;
    env = {
      LOAM_DATA: data,
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_HTTP_PORT: String(httpPort),
      LOAM_OPS_PORT: '0',
      LOAM_URL: url,
    };
    loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(/Open http/);
    api = await Api.open(loadConfig({ data, url }, {}));
    const options = { username: 'ns', password: SECRET, reconnectPeriod: 0 };
    bridge = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, options);
  });

  after(async () => {
    await bridge?.endAsync();
    await loam?.stop();
  });

  /** What a command printed; it has to succeed. */
  async function says(...args: string[]): Promise<string> {
    const done = await run(['dead', ...args], env);
    expect(done.code, done.stderr).to.equal(0);
    return done.stdout;
  }

  it('are listed with the reason, shown, replayed with a codec into a value at its own time, or discarded', async () => {
    for (const device of [PROBE, BROKEN]) {
      await bridge.publishAsync(`application/1/device/${device}/event/up`, uplink(device), { qos: 1 });
    }
    const openCount = async () => (await api.call('/api/farms/north/dead-letters', answer)).counts.open;
    await until('both are set aside', async () => (await openCount()) === 2, { timeoutMs: 60_000 });
    const list = await says('list', '--farm', 'north');
    const offsetOf = (device: string, reason: string) => {
      const [, offset = ''] = new RegExp(`^(\\d+)\t\\S+\tnorth\t${device}\t${reason}\topen\t`, 'm').exec(list) ?? [];
      expect(offset, list).to.match(/^\d+$/);
      return offset;
    };
    const [letter, broken] = [offsetOf(PROBE, 'no_codec'), offsetOf(BROKEN, 'codec_failed')];

    const shown = await says('show', broken, '--farm', 'north');
    expect(shown).to.match(new RegExp(`^topic +application/1/device/${BROKEN}/event/up$`, 'm'));
    expect(shown).to.match(/^because .*not today/m);
    expect(shown.trimEnd().split('\n').at(-1), 'the whole payload').to.equal(uplink(BROKEN));

    await copyFile(CODEC, join(data, 'codecs', 'lse01.js'));
    const named = registry.replace(`id: ${PROBE},`, `id: ${PROBE}, codec: codecs/lse01.js,`);
    await writeFile(join(data, 'registry.yaml'), named);
    await loam.says(/registry reloaded/);
    expect(await says('replay', letter, '--farm', 'north')).to.match(/^1 letter replayed/);
    expect(await says('discard', broken, '--farm', 'north')).to.match(/^1 letter discarded/);
    const again = await run(['dead', 'replay', letter, '--farm', 'north'], env);
    expect([again.code, again.stdout], again.stderr).to.deep.equal([
      2,
      '0 letters replayed; what still cannot be read comes back: loam dead list\n',
    ]);
    expect(again.stderr).to.match(/replayed/);

    const query = `sensor=${PROBE}&metric=soil_moisture&from=${HEARD - 60_000}&to=${HEARD + 60_000}&points=500`;
    const { rows, unit } = await until(
      'the value is in the history',
      async () => {
        const found = await api.call(`/api/farms/north/history?${query}`, history);
        return found.rows.length > 0 && found;
      },
      { timeoutMs: 60_000 },
    );
    expect(unit).to.equal('%');
    expect(rows.map(([, value]) => value)).to.deep.equal([18.3]);
    const { letters, counts } = await api.call('/api/farms/north/dead-letters?state=all', answer);
    expect(counts.open, 'nothing came back').to.equal(0);
    expect(letters.map(({ offset, reason, state }) => [String(offset), reason, state])).to.have.deep.members([
      [letter, 'no_codec', 'replayed'],
      [broken, 'codec_failed', 'discarded'],
    ]);
  });
});
