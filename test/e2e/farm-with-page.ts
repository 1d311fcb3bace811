import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import type { BrowserContext, Page } from 'playwright-core';
import { hashPassword, hashSecret, newSecret } from '../../core/secrets.ts';
import { chromium } from '../services/chromium.ts';
import { type Proxy as Network, startProxy } from '../services/proxy.ts';
import { temporaryFolder } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';

/** Everybody's. */
export const PASSWORD = 'correct horse battery';

/** A running Loam with two farms of its own, sensors to speak for, and browsers that reach it through a line that can be cut. */
export class FarmWithPage {
  readonly loam: LoamProcess;
  readonly url: string;
  readonly proxy: Network;
  private readonly mqtt: string;
  private readonly secrets: ReadonlyMap<string, string>;
  private readonly clients: MqttClient[] = [];
  private readonly contexts: BrowserContext[] = [];

  private constructor(loam: LoamProcess, proxy: Network, mqtt: string, secrets: ReadonlyMap<string, string>) {
    this.loam = loam;
    this.proxy = proxy;
    this.url = `http://127.0.0.1:${proxy.port}`;
    this.mqtt = mqtt;
    this.secrets = secrets;
  }

  static async start(): Promise<FarmWithPage> {
    const folder = await temporaryFolder();
    const secrets = new Map(['s1', 's2', 's3', 'quick', 'far'].map((id) => [id, newSecret()]));
    const registry = join(folder, 'registry.yaml');
    await writeFile(registry, await registryText(secrets));
    const env = {
      LOAM_DATA: folder,
      LOAM_REGISTRY: registry,
      LOAM_MQTT_PORT: '0',
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: '0',
    };
    const loam = new LoamProcess(['up', '--no-demo'], env);
    const [, url = ''] = await loam.says(/Open (http:\/\/[^/]+)/);
    const [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
    return new FarmWithPage(loam, await startProxy(Number(new URL(url).port)), mqtt, secrets);
  }

  async stop(): Promise<void> {
    for (const context of this.contexts) await context.close();
    for (const client of this.clients) await client.endAsync();
    await this.proxy.close();
    await this.loam.stop('SIGKILL');
  }

  /** Connects as a sensor, by default with the secret that the registry knows. */
  async sensor(id: string, secret = this.secrets.get(id) ?? '', farm = id === 'far' ? 'south' : 'north') {
    const client = await connectAsync(`mqtt://${this.mqtt}`, {
      ...{ clientId: id, username: id, password: secret, reconnectPeriod: 0 },
    });
    this.clients.push(client);
    const topic = `farms/${farm}/sensors/${id}/telemetry`;
    return {
      raw: (payload: string) => client.publishAsync(topic, payload, { qos: 1 }),
      send: (values: Record<string, number>, ts = Date.now()) =>
        client.publishAsync(topic, JSON.stringify({ ts, values }), { qos: 1 }),
    };
  }

  /** Tries to connect with a secret that is wrong. Rejects when it is let in. */
  async knock(username: string): Promise<void> {
    const options = { clientId: 'knock', username, password: 'wrong', reconnectPeriod: 0 };
    const isIn = await connectAsync(`mqtt://${this.mqtt}`, options, false).then(
      async (client) => {
        await client.endAsync();
        return true;
      },
      () => false,
    );
    if (isIn) throw new Error(`${username} was let in with a wrong secret`);
  }

  /** A browser of its own, signed in as `user` and at `path`. */
  async browse(user: string, path: string, options: { width?: number; dark?: boolean; locale?: string } = {}) {
    const browser = await chromium();
    const context = await browser.newContext({
      viewport: { width: options.width ?? 1440, height: 900 },
      locale: options.locale ?? 'en-GB',
      // Not the farm's: what the page shows must be the farm's days all the same.
      timezoneId: 'America/New_York',
      colorScheme: options.dark ? 'dark' : 'light',
      acceptDownloads: true,
    });
    this.contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const strangers: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== this.url) strangers.push(request.url());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      const networkNotice = /^Failed to load resource|^WebSocket connection to/.test(message.text());
      if (message.type() === 'error' && !networkNotice) complaints.push(message.text());
    });
    await page.goto(this.url + path);
    await page.getByLabel('User').fill(user);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    return { page, strangers, complaints, context };
  }
}

/** Resolves when the live connection says that it is live. */
export async function live(page: Page): Promise<void> {
  await page.locator('.connection-live').waitFor();
}

/** The farm's time zone: an eastern one in which the day did not begin just now. */
export const ZONE = [14, 15].includes(new Date().getUTCHours()) ? 'Asia/Kolkata' : 'Asia/Tokyo';

async function registryText(secrets: ReadonlyMap<string, string>): Promise<string> {
  const hash = (id: string) => hashSecret(secrets.get(id) ?? '');
  const password = await hashPassword(PASSWORD);
  return `farms:
  - { id: north, name: North Farm, timezone: ${ZONE} }
  - { id: south, name: South Farm, timezone: Europe/Berlin }
fields:
  - { id: f1, farm: north, name: Orchard, crop: apples, polygon: [[52.1, 11.2], [52.1, 11.204], [52.103, 11.204], [52.103, 11.2]] }
  - { id: f2, farm: north, name: Meadow, polygon: [[52.1, 11.205], [52.1, 11.209], [52.103, 11.209]] }
sensors:
  - { id: s1, farm: north, field: f1, name: Row 3, position: [52.101, 11.201], interval: 600, secret: ${hash('s1')} }
  - { id: s2, farm: north, field: f1, name: Row 9, position: [52.102, 11.203], interval: 600, secret: ${hash('s2')} }
  - { id: s3, farm: north, field: f2, name: Gate, interval: 600, secret: ${hash('s3')} }
  - { id: quick, farm: north, field: f2, name: Quick, interval: 1, secret: ${hash('quick')} }
  - { id: far, farm: south, name: Far, secret: ${hash('far')} }
metrics:
  - { id: soil_moisture, label: Soil moisture, unit: "%", min: 20, max: 45, decimals: 1 }
  - { id: soil_temperature, label: Soil temperature, unit: °C, decimals: 1 }
users:
  - { name: ada, password: "${password}", farms: { north: admin } }
  - { name: vic, password: "${password}", farms: { north: viewer } }
`;
}
