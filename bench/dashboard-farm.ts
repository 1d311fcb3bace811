import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { hashPassword, hashSecret, newSecret } from '../core/secrets.ts';
import { LoamProcess } from '../test/e2e/loam-process.ts';
import { temporaryFolder } from '../test/services/wait.ts';

export const SENSORS = 1000;
const FIELDS = 50;
/** Messages go out evenly over the second, as those of many sensors do. */
const STEP_MS = 20;

/** A running Loam with one big farm, all of whose sensors speak through two bridges: one alone would be at the rate that a sensor may send. */
export class BigFarm {
  readonly url: string;
  readonly folder: string;
  readonly user = 'ada';
  readonly password = 'correct horse battery';
  private readonly loam: LoamProcess;
  private readonly bridges: readonly MqttClient[];
  private readonly timer: ReturnType<typeof setInterval>;
  private count = 0;

  private constructor(url: string, folder: string, loam: LoamProcess, bridges: readonly MqttClient[]) {
    this.url = url;
    this.folder = folder;
    this.loam = loam;
    this.bridges = bridges;
    this.timer = setInterval(() => this.publish(), STEP_MS);
  }

  static async start(): Promise<BigFarm> {
    const folder = await temporaryFolder();
    const secrets = [newSecret(), newSecret()];
    const registry = join(folder, 'registry.yaml');
    await writeFile(registry, registryText(secrets, await hashPassword('correct horse battery')));
    const loam = new LoamProcess(['up', '--no-demo'], {
      ...{ LOAM_DATA: folder, LOAM_REGISTRY: registry, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' },
      LOAM_LOG_LEVEL: 'warn',
    });
    const [, url = ''] = await loam.says(/Open (http:\/\/[^/]+)/);
    const [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
    const connect = (secret: string, i: number) =>
      connectAsync(`mqtt://${mqtt}`, { clientId: `bridge-${i}`, username: `bridge-${i}`, password: secret });
    return new BigFarm(url, folder, loam, await Promise.all(secrets.map(connect)));
  }

  /** How many readings have been published so far. */
  get sent(): number {
    return this.count;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    for (const bridge of this.bridges) await bridge.endAsync(true);
    await this.loam.stop('SIGKILL');
  }

  private publish(): void {
    const now = Date.now();
    const turn = Math.floor(now / STEP_MS);
    const steps = 1000 / STEP_MS;
    for (let i = turn % steps; i < SENSORS; i += steps) {
      const moisture = 30 + 8 * Math.sin(now / 60_000 + i) + Math.random();
      const payload = JSON.stringify({ ts: now, values: { soil_moisture: Number(moisture.toFixed(1)) } });
      this.bridges[i % this.bridges.length]?.publish(`farms/big/sensors/s${i}/telemetry`, payload, { qos: 0 });
      this.count++;
    }
  }
}

function registryText(secrets: readonly string[], password: string): string {
  const side = Math.ceil(Math.sqrt(FIELDS));
  const corner = (field: number) => [52 + Math.floor(field / side) * 0.004, 12 + (field % side) * 0.006] as const;
  const fields = Array.from({ length: FIELDS }, (_, f) => {
    const [lat, lon] = corner(f);
    const polygon = [
      [lat, lon],
      [lat + 0.0036, lon],
      [lat + 0.0036, lon + 0.0055],
      [lat, lon + 0.0055],
    ];
    return `  - { id: f${f}, farm: big, name: Field ${f + 1}, polygon: ${JSON.stringify(polygon)} }`;
  });
  const sensors = Array.from({ length: SENSORS }, (_, i) => {
    const [lat, lon] = corner(i % FIELDS);
    const place = Math.floor(i / FIELDS);
    const position = [lat + 0.0005 + (place % 5) * 0.0006, lon + 0.0008 + Math.floor(place / 5) * 0.0012];
    return `  - { id: s${i}, farm: big, field: f${i % FIELDS}, interval: 5, position: ${JSON.stringify(position)} }`;
  });
  return `farms:
  - { id: big, name: Big farm, timezone: Europe/Berlin }
fields:
${fields.join('\n')}
sensors:
${secrets.map((secret, i) => `  - { id: bridge-${i}, farm: big, role: bridge, secret: ${hashSecret(secret)} }`).join('\n')}
${sensors.join('\n')}
metrics:
  - { id: soil_moisture, label: Soil moisture, unit: "%", min: 23, max: 38, decimals: 1 }
users:
  - { name: ada, password: "${password}", farms: { big: admin } }
`;
}
