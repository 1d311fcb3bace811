import { runLoad } from '../simulators/load/load.ts';
import type { LoadConnection, LoadPlan } from '../simulators/load/plan.ts';
import { rabbit } from '../test/services/rabbitmq.ts';
import { benchFarm, signedInAs, steppedTimes } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { MQTT_ADDRESS, startLoam } from './servers/loam.ts';
import { startMosquitto } from './servers/mosquitto.ts';
import { queueEmptier, startRabbitMqtt } from './servers/rabbitmq-mqtt.ts';
import { byTurns, row } from './turns.ts';

const CONNECTIONS = 100;
const IN_FLIGHT = 20;
/** A load that none of them should find hard, for the time that an acknowledgement takes. Publishes a second. */
const STEADY_RATE = 8_000;

interface Length {
  readonly rounds: number;
  readonly warmupMs: number;
  readonly forMs: number;
  readonly steadyRounds: number;
  readonly steadyMs: number;
}

/**
 * QoS 1 publishes acknowledged a second, closed loop. Loam's broker acknowledges what a RabbitMQ quorum queue has confirmed; `rabbitmq-mqtt`
 * is RabbitMQ's own MQTT plugin into a quorum queue of another node; `mosquitto` has no subscriber and keeps nothing: it is the
 * most that this machine and this generator can do. Afterwards each has a steady 8,000 a second to acknowledge, as an open loop.
 */
export const ingest: Benchmark = {
  name: 'ingest',
  about: 'QoS 1 publishes acknowledged a second: Loam on a quorum queue, RabbitMQ’s MQTT plugin, Mosquitto',
  async run({ quick, say }): Promise<Outcome> {
    const { rounds, warmupMs, forMs, steadyRounds, steadyMs }: Length = quick
      ? { rounds: 3, warmupMs: 500, forMs: 1_500, steadyRounds: 1, steadyMs: 3_000 }
      : { rounds: 5, warmupMs: 1_000, forMs: 6_000, steadyRounds: 5, steadyMs: 6_000 };
    const { yaml, connections } = benchFarm(CONNECTIONS);
    const [loam, plugin, mosquitto] = await Promise.all([loamBroker(yaml), startRabbitMqtt(), startMosquitto()]);
    const guest = { username: 'guest', password: 'guest' };
    const subjects = new Map<string, Subject>([
      ['loam', { server: loam, connections }],
      ['rabbitmq-mqtt', { server: plugin, connections: signedInAs(connections, guest) }],
      ['mosquitto', { server: mosquitto, connections: signedInAs(connections) }],
    ]);
    const asFastAsItGoes = { pace: { loop: 'closed' }, warmupMs, forMs: warmupMs + forMs } as const;
    const steadily = { pace: { loop: 'open', rate: STEADY_RATE }, warmupMs, forMs: warmupMs + steadyMs } as const;
    try {
      const contenders = [...subjects].map(([name, subject]) => ({
        name,
        measure: () => load(subject, asFastAsItGoes),
      }));
      const summaries = await byTurns(contenders, rounds, (name, round, { figure }) =>
        say(`round ${round}: ${name} ${Math.round(figure)}/s`),
      );
      const rows = Object.fromEntries([...summaries].map(([name, summary]) => [name, row(summary)]));
      const calm = [...subjects].map(([name, subject]) => ({ name, measure: () => load(subject, steadily) }));
      const answers = await byTurns(calm, steadyRounds, (name, round, { beside }) =>
        say(`${STEADY_RATE}/s due, round ${round}: ${name} p99 ${beside?.p99Ms} ms`),
      );
      for (const [name, summary] of answers) rows[`${name}, ${STEADY_RATE}/s due`] = row(summary);
      const figure = (name: string) => summaries.get(name)?.median ?? Number.NaN;
      const peers = { 'rabbitmq-mqtt': figure('rabbitmq-mqtt'), mosquitto: figure('mosquitto') };
      return {
        bench: 'ingest',
        unit: 'publishes acknowledged/s',
        loam: figure('loam'),
        peers,
        ratio: Object.fromEntries(Object.entries(peers).map(([name, peer]) => [name, figure('loam') / peer])),
        detail: { ...rows, load: { connections: CONNECTIONS, inFlight: IN_FLIGHT, qos: 1, mosquittoSubscribers: 0 } },
        versions: { rabbitmq: plugin.version, mosquitto: mosquitto.version },
      };
    } finally {
      await Promise.all([loam.close(), plugin.close(), mosquitto.close()]);
    }
  },
};

interface Server {
  readonly url: string;
  empty?(): Promise<number>;
  close(): Promise<void>;
}

async function loamBroker(registry: string): Promise<Server> {
  const { url } = await rabbit();
  const loam = await startLoam('broker', registry, { LOAM_QUEUE: url, LOAM_LOG: url });
  const [, address = ''] = await loam.says(MQTT_ADDRESS);
  const emptier = await queueEmptier(url, 'loam.readings');
  return {
    url: `mqtt://${address}`,
    empty: () => emptier.empty(),
    close: async () => {
      await emptier.close();
      await loam.close();
    },
  };
}

interface Subject {
  readonly server: Server;
  readonly connections: readonly LoadConnection[];
}

/** One run against a server, whose queue is empty again afterwards. */
async function load({ server, connections }: Subject, plan: Pick<LoadPlan, 'pace' | 'warmupMs' | 'forMs'>) {
  const { perSecond, latencyMs, generator, unacknowledged, connectionsLost } = await runLoad({
    url: server.url,
    connections,
    qos: 1,
    inFlight: IN_FLIGHT,
    times: steppedTimes(),
    ...plan,
  });
  if (unacknowledged + connectionsLost > 0) {
    throw new Error(
      `${server.url} left ${unacknowledged} publishes unacknowledged and lost ${connectionsLost} connections`,
    );
  }
  await server.empty?.();
  return {
    figure: perSecond,
    beside: { p50Ms: latencyMs?.p50 ?? 0, p99Ms: latencyMs?.p99 ?? 0, generatorBusy: generator.busiest },
  };
}
