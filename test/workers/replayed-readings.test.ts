import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { StoreRejected } from '../../core/errors.ts';
import { replayMessage } from '../../dashboard-gateway/dead-letters/replay-message.ts';
import { type Batch, type DeadLetter, encodeBatch, type Publish } from '../../telemetry/batch.ts';
import { encodeImported } from '../../telemetry/imported.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { influx } from '../services/influx.ts';
import { shortOrLong } from '../services/length.ts';
import { temporaryFolder } from '../services/wait.ts';
import { FARM, listening, T0, Workbench } from './bench.ts';

const registry = parseRegistry(`
farms: [{ id: ${FARM}, name: North, timezone: Europe/Berlin }]
sensors:
  - { id: fahrenheit, farm: ${FARM}, units: { soil_temperature: °F } }
  - { id: crossed, farm: ${FARM}, aliases: { rain: water_level, water_level: rain } }
  - { id: undated, farm: ${FARM}, clock: receipt }
  - { id: filed, farm: ${FARM}, units: { soil_temperature: °F }, clock: { offset: 3600 } }
`);
const RECEIVED = T0 + 60_000.25;

function publishOf(sensor: string, payload: unknown): Publish {
  const bytes = payload instanceof Uint8Array ? payload : new TextEncoder().encode(JSON.stringify(payload));
  return { farm: FARM, field: '', sensor, topic: telemetryTopic(FARM, sensor), payload: bytes, received: RECEIVED };
}

const BATCHES: readonly Batch[] = [
  {
    id: 'sent',
    publishes: [
      publishOf('fahrenheit', { ts: T0, values: { soil_temperature: 77 } }),
      publishOf('crossed', { ts: T0, values: { rain: 3 } }),
      publishOf('undated', [
        { ts: 1_000, values: { ec: 1 } },
        { ts: 4_000, values: { ec: 2 } },
      ]),
    ],
  },
  {
    id: 'imported',
    origin: 'import',
    publishes: [publishOf('filed', encodeImported([{ ts: T0 + 0.125, values: { soil_temperature: 25 } }]))],
  },
];

/** What was measured, as the store must have it in the end. */
const MEASURED = [
  ['fahrenheit', 'soil_temperature', T0, 25],
  ['crossed', 'water_level', T0, 3],
  ['undated', 'ec', RECEIVED - 3_000, 1],
  ['undated', 'ec', RECEIVED, 2],
  ['filed', 'soil_temperature', T0 + 0.125, 25],
] as const;

let databases = 0;
const STORES: Readonly<Record<string, () => Promise<Store>>> = {
  DuckDB: async () => openDuckdbStore(`${await temporaryFolder()}/readings.duckdb`),
  InfluxDB: async () =>
    openInfluxStore(`influx://127.0.0.1:${(await influx()).port}/replayed-${process.pid}-${++databases}`),
};

for (const [i, [name, open]] of Object.entries(STORES).entries()) {
  describe(`readings that ${name} refused, and whose letters are replayed`, function () {
    this.timeout(60_000);

    const reasons = ['store_rejected', 'beyond_retention'] as const;
    for (const reason of shortOrLong(reasons.slice(i, i + 1), reasons.slice())) {
      it(`are what was measured, not converted again (${reason})`, async () => {
        const store = await open();
        const bench = await Workbench.open();
        try {
          const write = store.write.bind(store);
          let refuses = true;
          store.write = async (readings, options) => {
            if (refuses) throw new StoreRejected('it takes none of these', { reason });
            await write(readings, options);
          };
          await bench.work(store, listening().log, { registry: { current: () => registry, watch: () => () => {} } });
          for (const batch of BATCHES) await bench.queue.publish(encodeBatch(batch));
          await bench.emptied();
          expect(await stored(store)).to.deep.equal([]);
          refuses = false;
          const letters = await bench.letters();
          expect(letters.map((letter) => letter.reason)).to.include(reason);
          for (const [offset, letter] of letters.entries()) await bench.queue.publish(replayed(letter, offset));
          await bench.emptied();
          expect(await stored(store)).to.have.deep.members(MEASURED);
          expect(await bench.letters()).to.have.length(letters.length);
        } finally {
          await bench.close();
          await store.close();
        }
      });
    }
  });
}

/** The message that replays a letter. Those of earlier versions, and those that stand for many, have less to tell what they are. */
function replayed(letter: DeadLetter, offset: number): Uint8Array {
  const { settled, ...earlier } = letter;
  expect(settled).to.equal(true);
  const kept = offset % 2 === 0 ? earlier : { ...letter, reason: 'over_quota' };
  const message = replayMessage(kept, offset, 'e', registry);
  if (!('publishes' in message)) throw new Error('it cannot be replayed');
  return encodeBatch(message);
}

async function stored(store: Store): Promise<unknown[]> {
  const sensors = ['fahrenheit', 'crossed', 'undated', 'filed'];
  const metrics = ['soil_temperature', 'rain', 'water_level', 'ec'];
  const found: unknown[] = [];
  for await (const { sensor, metric, ts, value } of store.export({
    farm: FARM,
    sensors,
    metrics,
    from: 0,
    to: T0 * 2,
  })) {
    found.push([sensor, metric, ts, value]);
  }
  return found;
}
