/** MQTT 3.1.1 packets made byte by byte, so that a test can also make those that no generator would. */

/** A packet: its first byte, its remaining length as 2.2.3 encodes it, and its parts. */
export function packet(firstByte: number, ...parts: readonly (Buffer | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length: number[] = [];
  for (let left = body.length; ; left = Math.floor(left / 128)) {
    length.push((left % 128) | (left >= 128 ? 0x80 : 0));
    if (left < 128) break;
  }
  return Buffer.concat([Buffer.from([firstByte]), Buffer.from(length), body]);
}

/** A text, or bytes in the place of one, with its length before it (1.5.3). */
export function text(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([number16(bytes.length), bytes]);
}

export function number16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

export const FLAG = {
  reserved: 0x01,
  clean: 0x02,
  will: 0x04,
  willQos1: 0x08,
  willQos2: 0x10,
  willRetain: 0x20,
  password: 0x40,
  username: 0x80,
} as const;

export interface ConnectBytes {
  readonly firstByte?: number;
  readonly name?: string | Buffer;
  readonly level?: number;
  /** Instead of the flags that follow from the fields below. */
  readonly flags?: number;
  readonly clean?: boolean;
  readonly keepalive?: number;
  readonly clientId?: string | Buffer;
  readonly will?: { readonly topic: string | Buffer; readonly payload: string; readonly more?: number };
  readonly username?: string | Buffer | undefined;
  readonly password?: string | Buffer | undefined;
  /** Bytes after the last field. */
  readonly rest?: Buffer;
}

/** A CONNECT of sensor a1 with its secret, a clean session and client id `c`, unless told otherwise. */
export function connect(changes: ConnectBytes = {}): Buffer {
  const all = { username: 'a1', password: 'secret-a1', clean: true, keepalive: 60, clientId: 'c', ...changes };
  const { username, password, will } = all;
  const flags =
    (all.clean ? FLAG.clean : 0) |
    (will ? FLAG.will | (will.more ?? 0) : 0) |
    (username === undefined ? 0 : FLAG.username) |
    (password === undefined ? 0 : FLAG.password);
  return packet(
    all.firstByte ?? 0x10,
    text(all.name ?? 'MQTT'),
    [all.level ?? 4, all.flags ?? flags],
    number16(all.keepalive),
    text(all.clientId),
    ...(will ? [text(will.topic), text(will.payload)] : []),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : [text(password)]),
    all.rest ?? Buffer.alloc(0),
  );
}

/** A PUBLISH with the given flags: 0 is QoS 0, 2 QoS 1, 4 QoS 2; plus 1 retain, 8 duplicate. */
export function publish(flags: number, topic: string | Buffer, id: number, payload: string | Buffer = '{}'): Buffer {
  const withId = (flags & 0b110) !== 0;
  return packet(0x30 | flags, text(topic), withId ? number16(id) : [], Buffer.from(payload));
}

/** PUBACK, PUBREC, PUBREL (0x62), PUBCOMP and such: a first byte and a packet id. */
export function answer(firstByte: number, id: number): Buffer {
  return packet(firstByte, number16(id));
}

export function subscribe(
  id: number,
  ...filters: readonly (readonly [filter: string | Buffer, qos: number])[]
): Buffer {
  return packet(0x82, number16(id), ...filters.flatMap(([filter, qos]) => [text(filter), [qos]]));
}

export function unsubscribe(id: number, ...filters: readonly (string | Buffer)[]): Buffer {
  return packet(0xa2, number16(id), ...filters.map(text));
}

export const PINGREQ = packet(0xc0);
export const DISCONNECT = packet(0xe0);
export const PUBREL = 0x62;

/** Names what a first byte begins: a packet type of 2.2.1. */
export function typeOf(firstByte: number): string {
  return TYPES[firstByte >> 4] ?? 'reserved';
}

const TYPES = [
  'reserved',
  'connect',
  'connack',
  'publish',
  'puback',
  'pubrec',
  'pubrel',
  'pubcomp',
  'subscribe',
  'suback',
  'unsubscribe',
  'unsuback',
  'pingreq',
  'pingresp',
  'disconnect',
  'reserved',
];
