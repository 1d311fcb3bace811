import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { batchId, type Publish } from '../telemetry/batch.ts';
import { parseRegistry } from '../telemetry/registry/file.ts';
import { telemetryTopic } from '../telemetry/topic.ts';
import { CODEC_LIMITS } from '../workers/codecs/codec.ts';
import { Sandbox } from '../workers/codecs/sandbox.ts';
import { createValidate } from '../workers/validate.ts';
import type { Benchmark, BenchmarkOptions, Outcome } from './outcome.ts';
import { median } from './turns.ts';

const PUBLISHES = 256;
const VALUES = { soil_moisture: 31.25, soil_temperature: 18.4, ec: 0.85, battery: 3.31 };
const NOW = Date.now();

const registry = parseRegistry(`
farms: [{ id: bench, name: Bench, timezone: Europe/Berlin }]
sensors: [${Array.from({ length: PUBLISHES }, (_, i) => `{ id: s${i}, farm: bench }`).join(', ')}]
metrics: [{ id: soil_moisture, label: Soil moisture, unit: "%" }]
`);

interface Case {
  readonly topic: (sensor: string) => string;
  readonly payload: object;
}

/** One reading of four values in each format. */
const CASES: Readonly<Record<string, Case>> = {
  native: { topic: (sensor) => telemetryTopic('bench', sensor), payload: { ts: NOW, values: VALUES } },
  senml: {
    topic: (sensor) => telemetryTopic('bench', sensor),
    payload: Object.entries(VALUES).map(([n, v], i) => (i === 0 ? { bt: NOW / 1000, n, v } : { n, v })),
  },
  thingsboard: { topic: () => 'v1/devices/me/telemetry', payload: { ts: NOW, values: VALUES } },
  ttn: {
    topic: (sensor) => `v3/app@tenant/devices/${sensor}/up`,
    payload: {
      end_device_ids: { device_id: 's', application_ids: { application_id: 'app' }, dev_eui: '70B3D57ED0001234' },
      received_at: new Date(NOW).toISOString(),
      uplink_message: {
        f_port: 2,
        frm_payload: 'DPQAAAxKBzAAVxA=',
        decoded_payload: VALUES,
        rx_metadata: [{ gateway_ids: { gateway_id: 'barn' }, rssi: -97, snr: 6.25 }],
        received_at: new Date(NOW).toISOString(),
      },
    },
  },
  chirpstack: {
    topic: (sensor) => `application/7/device/${sensor}/event/up`,
    payload: {
      time: new Date(NOW).toISOString(),
      deviceInfo: { tenantName: 'farm', applicationName: 'soil', deviceName: 'row 3', devEui: '70b3d57ed0001234' },
      fPort: 2,
      data: 'DPQAAAxKBzAAVxA=',
      object: VALUES,
      rxInfo: [{ gatewayId: '0016c001f153a14c', rssi: -97, snr: 6.25 }],
    },
  },
};

/** An uplink of the codec's station, and the values in it. */
const STATION_UPLINK = Buffer.from('0276F20C0367EB0004687A207F3A0C217F5410', 'hex');
const STATION_VALUES =
  '{"battery":3.314,"air_temperature":23.5,"air_humidity":61,"soil_moisture_10cm":31.3,"soil_moisture_20cm":41.8}';

/**
 * Readings decoded and validated in a second of one core: by Loam in each format, and the native one by JSON.parse and a zod
 * schema. `codec` is what a maker’s file of 12 kB makes of an uplink, from bytes to values.
 */
export const decode: Benchmark = {
  name: 'decode',
  about: 'readings decoded and validated a second and core, by format',
  run,
};

async function run({ quick, say }: BenchmarkOptions): Promise<Outcome> {
  const rounds = quick ? 5 : 15;
  const work = new Map(Object.entries(CASES).map(([name, one]) => [name, loamWork(one)]));
  work.set('codec', await codecWork());
  work.set('zod', zodWork());
  const rates = new Map([...work.keys()].map((name) => [name, [] as number[]]));
  // By turns, so that a busy moment of the machine falls on all of them.
  for (let round = 0; round <= rounds; round++) {
    say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    for (const [name, once] of work) {
      const rate = readingsPerCpuSecond(once, quick ? 200 : 400);
      if (round > 0) rates.get(name)?.push(rate);
    }
  }
  const figures = new Map([...rates].map(([name, all]) => [name, median(all)]));
  const loam = Math.round(figures.get('native') ?? 0);
  const zod = Math.round(figures.get('zod') ?? 0);
  const detail = Object.fromEntries(
    [...rates].map(([name, all]) => [
      name,
      {
        'readings/s': Math.round(median(all)),
        least: Math.round(Math.min(...all)),
        most: Math.round(Math.max(...all)),
      },
    ]),
  );
  return { bench: 'decode', unit: 'readings/s and core', loam, peers: { zod }, ratio: { zod: loam / zod }, detail };
}

function loamWork({ topic, payload }: Case): () => number {
  const validate = createValidate({ registry: { current: () => registry } });
  const bytes = new TextEncoder().encode(JSON.stringify(payload));
  const publishes = Array.from({ length: PUBLISHES }, (_, i): Publish => {
    const sensor = `s${i}`;
    return { farm: 'bench', field: 'unassigned', sensor, topic: topic(sensor), payload: bytes, received: NOW };
  });
  const batch = { id: batchId(), publishes };
  return () => {
    const outcome = validate(batch, NOW);
    if (outcome.readings.length !== PUBLISHES || outcome.dead.length > 0) {
      throw new Error('a publish did not become a reading');
    }
    return outcome.readings.length;
  };
}

async function codecWork(): Promise<() => number> {
  const sandbox = await Sandbox.open(CODEC_LIMITS);
  const source = await readFile(new URL('soil-station.js', import.meta.url), 'utf8');
  return () => {
    const outcome = sandbox.run(source, { bytes: STATION_UPLINK, fPort: 85, recvTime: NOW });
    if ('why' in outcome || JSON.stringify(outcome.data) !== STATION_VALUES) throw new Error('a value is wrong');
    return 1;
  };
}

function zodWork(): () => number {
  const schema = z.object({ ts: z.number(), values: z.record(z.string(), z.number()) });
  const bytes = new TextEncoder().encode(JSON.stringify(CASES.native?.payload));
  const text = new TextDecoder('utf-8', { fatal: true });
  return () => {
    for (let i = 0; i < PUBLISHES; i++) schema.parse(JSON.parse(text.decode(bytes)));
    return PUBLISHES;
  };
}

/** CPU time instead of the clock's: on a shared machine the clock also measures the neighbours. */
function readingsPerCpuSecond(once: () => number, forMs: number): number {
  const end = performance.now() + forMs;
  const before = process.cpuUsage();
  let readings = 0;
  while (performance.now() < end) readings += once();
  const { user, system } = process.cpuUsage(before);
  return readings / ((user + system) / 1e6);
}
