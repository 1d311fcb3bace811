import { runLoad } from '../simulators/load/load.ts';
import type { LoadConnection } from '../simulators/load/plan.ts';
import { rabbit } from '../test/services/rabbitmq.ts';
import { benchFarm, signedInAs, steppedTimes } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { MQTT_ADDRESS, startLoam } from './servers/loam.ts';
import { startMosquitto } from './servers/mosquitto.ts';
import { queueEmptier, startRabbitMqtt } from './servers/rabbitmq-mqtt.ts';
import { byTurns, type Contender, type Run, row } from './turns.ts';

const CONNECTIONS = 100;
const IN_FLIGHT = 20;

interface Length {
  readonly rounds: number;
  readonly warmupMs: number;
  readonly forMs: number;
}

/**
 * QoS 1 publishes acknowledged a second, closed loop. Loam's broker acknowledges what a RabbitMQ quorum queue has confirmed; `rabbitmq-mqtt`
 * is RabbitMQ's own MQTT plugin into a quorum queue of another node; `mosquitto` has no subscriber and keeps nothing: it is the
 * most that this machine and this generator can do.
 */
export const ingest: Benchmark = {
  name: 'ingest',
  about: 'QoS 1 publishes acknowledged a second: Loam on a quorum queue, RabbitMQ’s MQTT plugin, Mosquitto',
  async run({ quick, say }): Promise<Outcome> {
    const length: Length = quick
      ? { rounds: 3, warmupMs: 500, forMs: 1_500 }
      : { rounds: 5, warmupMs: 1_000, forMs: 6_000 };
    const { yaml, connections } = benchFarm(CONNECTIONS);
    const [loam, plugin, mosquitto] = await Promise.all([loamBroker(yaml), startRabbitMqtt(), startMosquitto()]);
    const guest = { username: 'guest', password: 'guest' };
    const contenders: Contender[] = [
      contender('loam', loam, connections, length),
      contender('rabbitmq-mqtt', plugin, signedInAs(connections, guest), length),
      contender('mosquitto', mosquitto, signedInAs(connections), length),
    ];
    try {
      const summaries = await byTurns(contenders, length.rounds, (name, round, { figure }) =>
        say(`round ${round}: ${name} ${Math.round(figure)}/s`),
      );
      const rows = Object.fromEntries([...summaries].map(([name, summary]) => [name, row(summary)]));
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

function contender(name: string, server: Server, connections: LoadConnection[], length: Length): Contender {
  return {
    name,
    measure: async () => {
      const run = await load(server.url, connections, length);
      await server.empty?.();
      return run;
    },
  };
}

async function load(url: string, connections: LoadConnection[], { warmupMs, forMs }: Length): Promise<Run> {
  const { perSecond, latencyMs, generator, unacknowledged, connectionsLost } = await runLoad({
    url,
    connections,
    pace: { loop: 'closed' },
    qos: 1,
    inFlight: IN_FLIGHT,
    times: steppedTimes(),
    warmupMs,
    forMs: warmupMs + forMs,
  });
  if (unacknowledged + connectionsLost > 0) {
    throw new Error(`${url} left ${unacknowledged} publishes unacknowledged and lost ${connectionsLost} connections`);
  }
  return {
    figure: perSecond,
    beside: { p50Ms: latencyMs?.p50 ?? 0, p99Ms: latencyMs?.p99 ?? 0, generatorBusy: generator.busiest },
  };
}
