import { hashSecret, newSecret } from '../core/secrets.ts';
import type { DemoCredential } from './demo.ts';
import type { ProbeKind } from './probe.ts';

const FARM = 'demo';

type DemoCorner = readonly [latitude: number, longitude: number];

interface DemoSensor {
  readonly id: string;
  readonly name: string;
  readonly kind: ProbeKind;
  readonly position: DemoCorner;
}

interface DemoField {
  readonly id: string;
  readonly name: string;
  readonly crop: string;
  readonly polygon: readonly DemoCorner[];
  readonly sensors: readonly DemoSensor[];
}

const FIELDS: readonly DemoField[] = [
  {
    id: 'river',
    name: 'River meadow',
    crop: 'potatoes',
    polygon: [
      [52.4102, 12.9701],
      [52.4131, 12.9714],
      [52.4127, 12.9772],
      [52.4098, 12.9765],
    ],
    sensors: [
      { id: 'river-1', name: 'Row 4', kind: 'irrigated', position: [52.4108, 12.9722] },
      { id: 'river-2', name: 'Row 19', kind: 'irrigated', position: [52.4119, 12.9748] },
      { id: 'river-air', name: 'Mast', kind: 'weather', position: [52.4114, 12.9735] },
    ],
  },
  {
    id: 'mill',
    name: 'Mill field',
    crop: 'winter wheat',
    polygon: [
      [52.4136, 12.9716],
      [52.4168, 12.973],
      [52.4175, 12.9761],
      [52.4161, 12.9789],
      [52.4132, 12.9774],
    ],
    sensors: [
      { id: 'mill-1', name: 'South end', kind: 'soil', position: [52.4141, 12.9745] },
      { id: 'mill-2', name: 'Hilltop', kind: 'soil', position: [52.4164, 12.9757] },
      { id: 'mill-air', name: 'Mast', kind: 'weather', position: [52.4152, 12.9751] },
    ],
  },
  {
    id: 'orchard',
    name: 'Old orchard',
    crop: 'apples',
    polygon: [
      [52.4094, 12.9781],
      [52.4123, 12.9787],
      [52.4119, 12.9826],
      [52.409, 12.9819],
    ],
    sensors: [
      { id: 'orchard-1', name: 'Terrace A', kind: 'irrigated', position: [52.4101, 12.9793] },
      { id: 'orchard-2', name: 'Terrace C', kind: 'irrigated', position: [52.4113, 12.9811] },
      { id: 'orchard-air', name: 'Mast', kind: 'weather', position: [52.4106, 12.9803] },
    ],
  },
  {
    // One dripper here is blocked, so that a newcomer sees what trouble looks like.
    id: 'tunnel',
    name: 'Tunnel',
    crop: 'tomatoes',
    polygon: [
      [52.4133, 12.9793],
      [52.4158, 12.9799],
      [52.4154, 12.9836],
      [52.4129, 12.983],
    ],
    sensors: [
      { id: 'tunnel-1', name: 'Bed 1', kind: 'dripped', position: [52.4137, 12.9803] },
      { id: 'tunnel-2', name: 'Bed 4', kind: 'blocked', position: [52.4149, 12.9823] },
      { id: 'tunnel-air', name: 'Air', kind: 'tunnel', position: [52.4135, 12.9823] },
    ],
  },
];

/**
 * A farm to look at before there are own sensors: its registry as YAML, without users, and the secrets that its sensors
 * connect with, which are new at every call. `now` (Unix ms) is only the date in the YAML's comment.
 */
export function demoFarm(now: number): { registryYaml: string; credentials: DemoCredential[] } {
  const credentials = FIELDS.flatMap((field) => field.sensors).map(
    ({ id, kind }, i): DemoCredential => ({ id, farm: FARM, secret: newSecret(), kind, seed: 101 + i * 17 }),
  );
  return { registryYaml: registryYaml(now, credentials), credentials };
}

function registryYaml(now: number, credentials: readonly DemoCredential[]): string {
  const hashOf = (id: string) => hashSecret(credentials.find((credential) => credential.id === id)?.secret ?? '');
  return `# Loam's registry: farms, fields, sensors, metrics and users. Saved changes are taken up within seconds.
# This demo farm was written on ${new Date(now).toISOString().slice(0, 10)}; its sensors are simulated. Delete what you do not need.

farms:
  - id: ${FARM}
    name: Demo farm
    timezone: Europe/Berlin

# A polygon's corners, and a sensor's position, are [latitude, longitude].
fields:
${FIELDS.map(fieldYaml).join('\n')}

# \`secret\` is the SHA-256 of what the sensor connects with. Make your own: loam sensor add ID --farm FARM --field FIELD
# \`interval\` is how often a sensor is expected to report, in seconds.
sensors:
${FIELDS.flatMap((field) => field.sensors.map((sensor) => sensorYaml(field, sensor, hashOf(sensor.id)))).join('\n')}

# \`min\` and \`max\` are the range in which all is well.
metrics:
  - { id: soil_moisture, label: Soil moisture, unit: "%", min: 18, max: 40, decimals: 1 }
  - { id: soil_temperature, label: Soil temperature, unit: °C, decimals: 1 }
  - { id: ec, label: Conductivity, unit: mS/cm, decimals: 2 }
  - { id: irrigation, label: Irrigation, unit: mm/h, decimals: 0 }
  - { id: air_temperature, label: Air temperature, unit: °C, decimals: 1 }
  - { id: air_humidity, label: Air humidity, unit: "%", decimals: 0 }
  - { id: rain, label: Rain in the last hour, unit: mm, decimals: 1 }
  - { id: battery, label: Battery, unit: V, min: 3.4, decimals: 2 }
  - { id: rssi, label: Signal, unit: dBm, min: -115, decimals: 0 }
`;
}

function fieldYaml({ id, name, crop, polygon }: DemoField): string {
  return `  - id: ${id}
    farm: ${FARM}
    name: ${name}
    crop: ${crop}
    polygon: ${pairs(polygon)}`;
}

function sensorYaml(field: DemoField, { id, name, position }: DemoSensor, secretHash: string): string {
  return `  - id: ${id}
    farm: ${FARM}
    field: ${field.id}
    name: ${name}
    position: [${position.join(', ')}]
    interval: 10
    secret: ${secretHash}`;
}

function pairs(corners: readonly DemoCorner[]): string {
  return `[${corners.map((corner) => `[${corner.join(', ')}]`).join(', ')}]`;
}
