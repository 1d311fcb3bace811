import { isUtf8 } from 'node:buffer';

/**
 * `level`: a CONNECT with an unknown protocol version, which is answered with return code 1 [MQTT-3.1.2-2]. `answer`: a
 * PUBREC or PUBCOMP. They answer a publish with QoS 2, and Loam sends none: commands have QoS 1.
 */
export type PacketFault = 'malformed' | 'level' | 'answer';

/** A client has answered a command as nothing with QoS 1 is answered. Its connection is closed. */
export class WrongAnswer extends Error {}

/**
 * Finds the fault of one whole packet of a client, by MQTT 3.1.1; undefined when it has none.
 *
 * The library's parser accepts most of these faults: ill-formed UTF-8, packet ids of 0, missing or superfluous fields.
 * Checks that need a client's state (a second CONNECT, rights, an unknown packet id) are made elsewhere.
 */
export function faultOf(packet: Buffer): PacketFault | undefined {
  const first = packet[0] ?? 0;
  // The remaining length is known to be complete: 1 to 4 bytes, the last of them below 128 (2.2.3).
  let at = 1;
  while ((packet[at] ?? 0) >= 0x80) at += 1;
  const body = new Reader(packet, at + 1);
  const type = first >> 4;
  if (type === PUBLISH) return malformedUnless(publishHolds(first, body));
  // In all other packets the flags are reserved, with fixed values [MQTT-2.2.2-1].
  const flags = type === PUBREL || type === SUBSCRIBE || type === UNSUBSCRIBE ? 0b0010 : 0;
  if ((first & 0x0f) !== flags) return 'malformed';
  switch (type) {
    case CONNECT:
      return connectFault(body);
    case PUBACK:
    case PUBREL:
      return malformedUnless(body.id() && body.ended);
    case PUBREC:
    case PUBCOMP:
      return body.id() && body.ended ? 'answer' : 'malformed';
    case SUBSCRIBE:
      return malformedUnless(body.id() && filtersHold(body, true));
    case UNSUBSCRIBE:
      return malformedUnless(body.id() && filtersHold(body, false));
    case PINGREQ:
    case DISCONNECT:
      return malformedUnless(body.ended);
    default:
      return 'malformed';
  }
}

const CONNECT = 1;
const PUBLISH = 3;
const PUBACK = 4;
const PUBREC = 5;
const PUBREL = 6;
const PUBCOMP = 7;
const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;
const PINGREQ = 12;
const DISCONNECT = 14;

/** The bit in the protocol level by which a Mosquitto says that it is a bridge. A bridge of version 3.1 does not try without it. */
const BRIDGE = 0x80;
const HIGHEST_QOS = 2;
const [EVERY_LEVEL, ONE_LEVEL, SLASH] = Buffer.from('#+/');
const FLAGS = { reserved: 0x01, will: 0x04, willQos: 0x18, willRetain: 0x20, password: 0x40, username: 0x80 };

function malformedUnless(holds: boolean): PacketFault | undefined {
  return holds ? undefined : 'malformed';
}

function publishHolds(first: number, body: Reader): boolean {
  const qos = (first >> 1) & 3;
  // A publish with QoS 0 is never sent again, so it cannot have the DUP flag [MQTT-3.3.1-2].
  if (qos > HIGHEST_QOS || (qos === 0 && (first & 0b1000) !== 0)) return false;
  return body.text() && (qos === 0 || body.id());
}

function connectFault(body: Reader): PacketFault | undefined {
  const name = body.name();
  const stated = body.byte();
  const level = stated === undefined ? undefined : stated & ~BRIDGE;
  if (name === 'MQTT' && level !== undefined && level !== 4) return 'level';
  // MQTT 3.1 (MQIsdp, level 3) is accepted: only these two fields of a CONNECT differ in a way that matters here.
  if (!(name === 'MQTT' || (name === 'MQIsdp' && level === 3))) return 'malformed';
  const flags = body.byte();
  return malformedUnless(flags !== undefined && flagsHold(flags) && body.skip(2) && fieldsHold(flags, body));
}

function flagsHold(flags: number): boolean {
  const { reserved, will, willQos, willRetain, password, username } = FLAGS;
  if ((flags & reserved) !== 0 || (flags & willQos) === willQos) return false;
  if ((flags & will) === 0 && (flags & (willQos | willRetain)) !== 0) return false;
  return (flags & username) !== 0 || (flags & password) === 0;
}

/** Client id, then the fields that the flags announce, and nothing more [MQTT-3.1.3-1]. */
function fieldsHold(flags: number, body: Reader): boolean {
  if (!body.text()) return false;
  if ((flags & FLAGS.will) !== 0 && !(body.text() && body.binary())) return false;
  if ((flags & FLAGS.username) !== 0 && !body.text()) return false;
  if ((flags & FLAGS.password) !== 0 && !body.binary()) return false;
  return body.ended;
}

/** One filter at least, each followed by a QoS in a SUBSCRIBE. */
function filtersHold(body: Reader, withQos: boolean): boolean {
  do {
    if (!body.text() || !wildcardsHold(body.lastText)) return false;
    const qos = withQos ? body.byte() : 0;
    if (qos === undefined || qos > HIGHEST_QOS) return false;
  } while (!body.ended);
  return true;
}

/** Not empty; `+` takes up a whole level, `#` the last one [MQTT-4.7.1-2] [MQTT-4.7.1-3]. */
function wildcardsHold(filter: Buffer): boolean {
  for (const [i, byte] of filter.entries()) {
    if (byte !== ONE_LEVEL && byte !== EVERY_LEVEL) continue;
    if (i > 0 && filter[i - 1] !== SLASH) return false;
    const next = filter[i + 1];
    if (next !== undefined && (next !== SLASH || byte === EVERY_LEVEL)) return false;
  }
  return filter.length > 0;
}

/** Reads a packet's fields in order. Each method says whether the field is there and well-formed. */
class Reader {
  private readonly bytes: Buffer;
  private at: number;
  /** The bytes of the text or binary that was read last. */
  lastText: Buffer = Buffer.alloc(0);

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  get ended(): boolean {
    return this.at === this.bytes.length;
  }

  byte(): number | undefined {
    return this.bytes[this.at++];
  }

  skip(count: number): boolean {
    this.at += count;
    return this.at <= this.bytes.length;
  }

  /** A packet id, which is never 0 [MQTT-2.3.1-1]. */
  id(): boolean {
    const { bytes, at } = this;
    return this.skip(2) && (bytes[at] !== 0 || bytes[at + 1] !== 0);
  }

  binary(): boolean {
    const { bytes, at } = this;
    if (at + 2 > bytes.length) return false;
    const length = bytes.readUInt16BE(at);
    this.lastText = bytes.subarray(at + 2, at + 2 + length);
    return this.skip(2 + length);
  }

  /** Well-formed UTF-8 without U+0000 [MQTT-1.5.3-1] [MQTT-1.5.3-2]. */
  text(): boolean {
    return this.binary() && isUtf8(this.lastText) && !this.lastText.includes(0);
  }

  name(): string | undefined {
    return this.binary() ? this.lastText.toString('latin1') : undefined;
  }
}
