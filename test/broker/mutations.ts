import mqttPacket, { type Packet } from 'mqtt-packet';
import { topicOf } from './harness.ts';

/** Numbers in [0, 1) that are the same for a seed on every run (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const TOPICS = [
  topicOf('a1'),
  topicOf('a2'),
  'farms/north/sensors/a1/commands',
  '$SYS/x/new/clients',
  'a/b/c',
  '/'.repeat(90),
];

/** A packet that a client could send, made by a generator that keeps the rules. */
function wellFormed(roll: () => number): Buffer {
  const messageId = 1 + Math.floor(roll() * 65_535);
  const topic = pick(TOPICS, roll);
  const payload = Buffer.alloc(Math.floor(roll() ** 4 * 5_000), '{"n":1}');
  const qos = pick([0, 1, 2] as const, roll);
  const packets: Packet[] = [
    { cmd: 'publish', topic, payload, qos, dup: qos > 0 && roll() < 0.3, retain: roll() < 0.3, messageId },
    { cmd: 'subscribe', messageId, subscriptions: [{ topic, qos }] },
    { cmd: 'unsubscribe', messageId, unsubscriptions: [topic] },
    { cmd: 'puback', messageId },
    { cmd: 'pubrec', messageId },
    { cmd: 'pubrel', messageId },
    { cmd: 'pubcomp', messageId },
    { cmd: 'pingreq' },
    {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'mutant',
      clean: roll() < 0.8,
      keepalive: Math.floor(roll() * 100),
      username: pick(['a1', 'secret-a1', 'nobody'], roll),
      password: Buffer.from('secret-a1'),
      will: { topic, payload, qos, retain: false },
    },
  ];
  return mqttPacket.generate(pick(packets, roll));
}

/** A packet with one to four faults: bits turned, bytes put in, cut off or doubled, a length that lies, or nothing but noise. */
export function mutated(roll: () => number): Buffer {
  let bytes = wellFormed(roll);
  const faults = 1 + Math.floor(roll() * 4);
  for (let i = 0; i < faults; i++) {
    const at = Math.floor(roll() * bytes.length);
    const noise = Buffer.from(Array.from({ length: 1 + Math.floor(roll() * 8) }, () => Math.floor(roll() * 256)));
    switch (Math.floor(roll() * 7)) {
      case 0:
        bytes = Buffer.from(bytes.map((byte, place) => (place === at ? byte ^ (1 << Math.floor(roll() * 8)) : byte)));
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
        break;
      case 2:
        bytes = Buffer.from(bytes.subarray(0, Math.max(1, at)));
        break;
      case 3:
        bytes = Buffer.concat([bytes, bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, 1), noise.subarray(0, 4), bytes.subarray(2)]);
        break;
      case 5:
        bytes = Buffer.concat([Buffer.from([Math.floor(roll() * 256)]), bytes.subarray(1)]);
        break;
      default:
        bytes = noise;
    }
  }
  return bytes;
}

function pick<T>(items: readonly [T, ...T[]] | readonly T[], roll: () => number): T {
  const item = items[Math.floor(roll() * items.length)];
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}
