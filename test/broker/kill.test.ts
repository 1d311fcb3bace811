import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { DEAD_LOG_LIMITS, LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { compare } from '../../cli/audit-compare.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import { readPromises } from '../../simulators/load/acknowledged-readings.ts';
import { runLoad } from '../../simulators/load/load.ts';
import type { LoadConnection } from '../../simulators/load/plan.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { Worker } from '../../workers/worker.ts';
import { type Child, startChild } from '../backbone/child-process.ts';
import { shortOrLong } from '../services/length.ts';
import { startProxy } from '../services/proxy.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const SENSORS = Array.from({ length: 20 }, (_, i) => `s${i}`);
const REGISTRY = `farms: [{ id: north, name: North, timezone: UTC }]
rates: { sensor: { messages: 100000, bytes: 100000000 } }
sensors:
${SENSORS.map((id) => `  - { id: ${id}, farm: north, secret: ${hashSecret(`secret-${id}`)} }`).join('\n')}
`;
const connections: LoadConnection[] = SENSORS.map((sensor) => ({
  clientId: sensor,
  username: sensor,
  password: `secret-${sensor}`,
  sensors: [{ farm: 'north', sensor, topic: telemetryTopic('north', sensor) }],
}));

interface Place {
  readonly env: Record<string, string>;
  /** Opens the queue here, once the child is gone: its files belong to one process. */
  open(): Promise<Queue>;
  /** Lets what was sent and not confirmed be lost, as it is when a machine dies and not a process alone; then `kill` is called. */
  kill?(kill: () => Promise<void>): Promise<void>;
}

const PLACES: Record<string, () => Promise<Place>> = {
  files: async () => {
    const folder = await temporaryFolder();
    return { env: { CHILD_QUEUE: folder }, open: () => openFileQueue(folder) };
  },
  RabbitMQ: async () => {
    const { url } = await rabbit();
    const name = `broker-kill-${process.pid}`;
    const { hostname, port } = new URL(url);
    const proxy = await startProxy(Number(port), hostname);
    const through = new URL(url);
    through.host = `127.0.0.1:${proxy.port}`;
    return {
      env: { CHILD_QUEUE: through.href, CHILD_QUEUE_NAME: name },
      open: () => openRabbitQueue(url, { name }),
      kill: async (kill) => {
        proxy.freeze();
        await sleep(300);
        proxy.cut();
        await kill();
        proxy.restore();
        proxy.thaw();
      },
    };
  },
};

for (const [kind, prepare] of Object.entries(PLACES).slice(0, shortOrLong(1, 2))) {
  describe(`a broker that is killed under load, on ${kind}`, function () {
    this.timeout(120_000);

    it('has said "received" of nothing that does not reach the store', async () => {
      const folder = await temporaryFolder();
      const [registry, promises] = [join(folder, 'registry.yaml'), join(folder, 'promises')];
      await writeFile(registry, REGISTRY);
      const port = await freePort();
      const { env, open, kill = (now) => now() } = await prepare();
      const start = async (): Promise<Child> => {
        const child = await startChild(
          { script: '../broker/child-broker.ts', env: { ...env, CHILD_REGISTRY: registry, CHILD_PORT: String(port) } },
          {},
        );
        await child.printed(1);
        return child;
      };
      let child = await start();
      let kills = 0;
      let acknowledged = 0;
      let isBack = false;
      const over = new AbortController();
      const restart = async () => {
        await kill(() => child.kill());
        kills += 1;
        child = await start();
        isBack = true;
      };
      let underWay: Promise<void> | undefined;
      const report = await runLoad(
        {
          url: `mqtt://127.0.0.1:${port}`,
          connections,
          pace: { loop: 'open', rate: 4_000 },
          qos: 1,
          inFlight: 64,
          times: { are: 'stepped', first: 1_764_000_000_000, step: 10 },
          forMs: 60_000,
          graceMs: 2_000,
          promises,
        },
        {
          signal: over.signal,
          onStretch: (stretch) => {
            // Killed in full swing, and once more at the end.
            acknowledged += stretch.acknowledged;
            if (acknowledged <= 1_000 || stretch.acknowledged < 200) return;
            if (isBack) over.abort();
            underWay ??= restart();
          },
        },
      );
      await underWay;
      await child.kill();
      expect(kills).to.equal(1);
      expect(report.connectionsLost).to.be.at.least(connections.length);
      const queue = await open();
      const store = await drained(queue);
      const audit = await compare(readPromises(promises), (farm, sensor, from, to) =>
        store.export({ farm, sensors: [sensor], metrics: ['seq'], from, to }),
      );
      await store.close();
      await queue.close();
      expect(audit.promised).to.equal(report.acknowledged);
      expect(audit.promised).to.be.above(1_000);
      expect({ missing: audit.missing, duplicates: audit.duplicates, examples: audit.examples }).to.deep.equal({
        missing: 0,
        duplicates: 0,
        examples: [],
      });
    });
  });
}

/** A store into which a worker has brought everything that was in the queue. */
async function drained(queue: Queue): Promise<Store> {
  const folder = await temporaryFolder();
  const store = await openDuckdbStore(join(folder, 'readings.duckdb'));
  const [live, dead] = [
    await openFileLog(folder, 'live', LIVE_LOG_LIMITS),
    await openFileLog(folder, 'dead', DEAD_LOG_LIMITS),
  ];
  const openTrials = () => Promise.reject(new Error('no message comes so often'));
  const worker = new Worker({ queue, store, live, dead, openTrials, log: silent });
  await worker.start();
  await until('the queue is empty', async () => (await queue.depth()) === 0, { timeoutMs: 60_000 });
  await worker.stop(10_000);
  for (const log of [live, dead]) await log.close();
  return store;
}
