import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import mqttPacket from 'mqtt-packet';
import type { LoadConnection } from '../simulators/load/plan.ts';
import { rabbit } from '../test/services/rabbitmq.ts';
import { until } from '../test/services/wait.ts';
import { benchFarm } from './farm.ts';
import type { Benchmark, Outcome } from './outcome.ts';
import { MQTT_ADDRESS, startLoam } from './servers/loam.ts';

const RETURNING = 1_000;
/** Attempts at once when connections are only to be there. */
const AT_ONCE = 200;

/**
 * What a connection that says nothing costs `loam broker`, in kB of its resident memory; and how long 1,000 sensors with their passwords
 * need that come back at once, from the first SYN to the last CONNACK.
 */
export const connections: Benchmark = {
  name: 'connections',
  about: 'memory a connection of an idle MQTT client; time for 1,000 sensors to come back at once',
  async run({ quick, say }): Promise<Outcome> {
    const count = quick ? 2_000 : 10_000;
    const { yaml, connections: clients } = benchFarm(count);
    const { url } = await rabbit();
    const loam = await startLoam('broker', yaml, { LOAM_QUEUE: url, LOAM_LOG: url });
    const open: Socket[] = [];
    try {
      const [, address = ''] = await loam.says(MQTT_ADDRESS);
      const port = Number(address.split(':')[1]);
      const before = await residentBytes(loam.pid);
      for (let at = 0; at < count; at += AT_ONCE) {
        open.push(...(await Promise.all(clients.slice(at, at + AT_ONCE).map((client) => admitted(port, client)))));
      }
      await settled();
      const perConnection = (await residentBytes(loam.pid)) - before;
      say(`${count} idle connections take ${Math.round(perConnection / 1e6)} MB`);
      for (const socket of open) socket.destroy();
      await settled();
      const returned = performance.now();
      const back = await Promise.all(clients.slice(0, RETURNING).map((client) => admitted(port, client)));
      const returnedMs = performance.now() - returned;
      say(`${back.length} sensors came back at once in ${Math.round(returnedMs)} ms`);
      for (const socket of back) socket.destroy();
      return {
        bench: 'connections',
        unit: 'kB a connection',
        loam: perConnection / count / 1_000,
        peers: {},
        ratio: {},
        detail: {
          idle: {
            connections: open.length,
            residentBeforeMb: before / 1e6,
            residentWithThemMb: (before + perConnection) / 1e6,
          },
          return: { sensors: back.length, ms: returnedMs, perSecond: (back.length / returnedMs) * 1_000 },
        },
      };
    } finally {
      for (const socket of open) socket.destroy();
      await loam.close();
    }
  },
};

/** Resolves with the socket when CONNACK lets the client in; rejects when it does not. */
function admitted(port: number, { clientId, username = '', password = '' }: LoadConnection): Promise<Socket> {
  const packet = mqttPacket.generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId,
    clean: true,
    keepalive: 600,
    username,
    password: Buffer.from(password),
  });
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => socket.write(packet));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${clientId} was not let in`)));
    socket.once('data', (answer: Buffer) => {
      // CONNACK is 0x20, its length, session present, and 0 for yes.
      if (answer[0] === 0x20 && answer[3] === 0) resolve(socket);
      else reject(new Error(`${clientId} was refused with ${answer[3]}`));
    });
  });
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1_024;
}

/** Resolves after two seconds, in which what was needed to connect is let go. */
async function settled(): Promise<void> {
  const end = performance.now() + 2_000;
  await until('memory to settle', () => performance.now() > end);
}
