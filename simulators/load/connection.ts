import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { clock } from '../../core/clock.ts';
import { backoff } from '../../core/timing.ts';

/** The settings of a connection. */
export interface ConnectionOptions {
  readonly url: URL;
  readonly ca?: string;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  readonly keepaliveS: number;
  /** Most publishes without an acknowledgement; with QoS 0, most publishes in one write to the socket. */
  readonly inFlight: number;
  readonly qos: 0 | 1;
}

/** What a connection asks of its owner, and what it reports. */
export interface ConnectionEvents<Message> {
  /** The next message to publish, or undefined when none is due. */
  next(): Message | undefined;
  /** The bytes of a message. `again`: it was sent before, on a connection that broke. */
  packet(message: Message, messageId: number | undefined, again: boolean): Buffer;
  /** QoS 1: its PUBACK came. QoS 0: the operating system took its bytes. */
  done(message: Message): void;
  resent(message: Message): void;
  up(): void;
  /** The connection was up and broke. `why` is a short text such as `ECONNRESET`. */
  lost(why: string): void;
  /** An attempt to connect failed. `code` is the CONNACK's when the broker answered. */
  refused(why: string, code: number | undefined): void;
}

const FIRST_RETRY_MS = 100;
const MOST_RETRY_MS = 5_000;
const CONNACK_MS = 15_000;
const HOLD_MS = 1;

/** CONNACK return codes of MQTT 3.1.1, section 3.2.2.3. */
const REFUSALS: Readonly<Record<number, string>> = {
  1: 'unacceptable protocol version',
  2: 'client id rejected',
  3: 'server unavailable',
  4: 'bad user name or password',
  5: 'not authorized',
};

/**
 * An MQTT 3.1.1 client for messages of any kind, with as little around the codec as a load test needs.
 *
 *     idle ─open─▶ connecting ─CONNACK 0─▶ up ─socket closed─▶ waiting ─retry─▶ connecting
 *                       └──────── refused, closed ───────────────▲
 *
 * A QoS 1 message has one of `inFlight` slots from its first sending to its PUBACK, even over several connections:
 * after a break all messages in slots are sent again before any new one. `retry` asks the owner for the next attempt:
 * the owner limits how many go on at once.
 */
export class MqttConnection<Message> {
  state: 'idle' | 'connecting' | 'up' | 'waiting' | 'ended' = 'idle';
  private readonly options: ConnectionOptions;
  private readonly events: ConnectionEvents<Message>;
  private readonly retry: () => void;
  private readonly slots: (Message | undefined)[];
  private readonly free: number[] = [];
  private socket: Socket | undefined;
  private timer: NodeJS.Timeout | undefined;
  private hold: NodeJS.Timeout | undefined;
  private attempts = 0;
  private why = '';
  private code: number | undefined;
  private lastReceivedAt = 0;
  private lastSentAt = 0;
  private writing = false;

  constructor(options: ConnectionOptions, events: ConnectionEvents<Message>, retry: () => void) {
    this.options = options;
    this.events = events;
    this.retry = retry;
    this.slots = new Array<Message | undefined>(options.inFlight + 1).fill(undefined);
    for (let id = options.inFlight; id > 0; id--) this.free.push(id);
  }

  /** Messages sent and not acknowledged. */
  get unacknowledged(): number {
    return this.options.inFlight - this.free.length;
  }

  /** Whether a message that becomes due now would be sent now. */
  get hasRoom(): boolean {
    return this.state === 'up' && (this.options.qos === 0 ? !this.writing : this.free.length > 0);
  }

  /** Makes one attempt to connect. */
  open(): void {
    if (this.state === 'ended') return;
    clearTimeout(this.timer);
    this.state = 'connecting';
    this.why = '';
    this.code = undefined;
    const socket = this.dial();
    this.socket = socket;
    const parser = mqttPacket.parser();
    parser.on('packet', (packet) => this.take(packet));
    parser.on('error', (error: Error) => this.drop(`not MQTT: ${error.message}`));
    let whole = true;
    socket.on('data', (chunk) => {
      this.lastReceivedAt = clock.passed();
      if (!whole || !this.takeAcknowledgements(chunk)) whole = parser.parse(chunk) === 0;
      this.pumpSoon();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.why ||= error.code ?? error.message;
    });
    socket.once('close', () => this.closed());
    this.timer = setTimeout(() => this.drop('no CONNACK'), CONNACK_MS);
  }

  /** Publishes all messages that are due, as far as there is room. */
  pump(): void {
    if (this.state !== 'up') return;
    if (this.options.qos === 0) this.pumpUnacknowledged();
    else this.pumpAcknowledged();
  }

  /**
   * Some brokers send every PUBACK by itself. If each were answered with a write of one publish, both sides would need
   * a system call for each publish, and the generator would be the limit. So while less than half of the slots are
   * free, this waits up to `HOLD_MS` for more.
   */
  private pumpSoon(): void {
    if (this.free.length * 2 >= this.options.inFlight) this.pump();
    else this.hold ??= setTimeout(() => this.pump(), HOLD_MS);
  }

  private pumpAcknowledged(): void {
    clearTimeout(this.hold);
    this.hold = undefined;
    const packets: Buffer[] = [];
    while (this.free.length > 0) {
      const message = this.events.next();
      if (!message) break;
      const id = this.free.pop() ?? 0;
      this.slots[id] = message;
      packets.push(this.events.packet(message, id, false));
    }
    this.write(packets);
  }

  /** Call regularly: pings after half the keepalive without a write; drops a connection silent for 1.5 keepalives. */
  tend(now: number): void {
    if (this.state !== 'up') return;
    const keepalive = this.options.keepaliveS * 1_000;
    if (now - this.lastReceivedAt > keepalive * 1.5) this.drop('silent');
    else if (now - this.lastSentAt > keepalive / 2) this.write([mqttPacket.generate({ cmd: 'pingreq' })]);
  }

  /** Sends a packet that is not kept, such as a publish of QoS 0. Without a connection it is dropped. */
  send(packet: Buffer): void {
    if (this.state === 'up') this.write([packet]);
  }

  /** Breaks the connection as a failing network would; it reconnects as after any break. */
  cut(): void {
    this.drop('cut');
  }

  /** Disconnects from the broker for good. Messages without an acknowledgement stay so. */
  end(): void {
    const { state } = this;
    this.state = 'ended';
    clearTimeout(this.timer);
    if (state === 'up') this.socket?.end(mqttPacket.generate({ cmd: 'disconnect' }));
    else this.socket?.destroy();
  }

  /** Destroys the socket, for an ended connection that the broker does not close. */
  destroy(): void {
    this.socket?.destroy();
  }

  private dial(): Socket {
    const { url, ca, clientId, username, password, keepaliveS } = this.options;
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const greet = () => {
      this.lastSentAt = clock.passed();
      socket.write(
        mqttPacket.generate({
          cmd: 'connect',
          protocolId: 'MQTT',
          protocolVersion: 4,
          clean: true,
          clientId,
          keepalive: keepaliveS,
          ...(username === undefined ? {} : { username }),
          ...(password === undefined ? {} : { password: Buffer.from(password) }),
        }),
      );
    };
    const socket =
      url.protocol === 'mqtts:'
        ? connectTls({ host, port: Number(url.port || 8883), servername: host, ...(ca ? { ca } : {}) }, greet)
        : connectTcp({ host, port: Number(url.port || 1883), noDelay: true }, greet);
    return socket;
  }

  /**
   * Handles a chunk of nothing but whole PUBACKs, as nearly all chunks are (MQTT 3.1.1, section 3.4: 0x40, 2, packet
   * identifier). Returns false for any other chunk, without effect. With the parser, PUBACKs took a sixth of the
   * generator's time.
   */
  private takeAcknowledgements(chunk: Buffer): boolean {
    if (chunk.length % 4 !== 0) return false;
    for (let at = 0; at < chunk.length; at += 4) if (chunk[at] !== 0x40 || chunk[at + 1] !== 2) return false;
    for (let at = 2; at < chunk.length; at += 4) this.acknowledge(chunk.readUInt16BE(at));
    return true;
  }

  private take(packet: Packet): void {
    if (packet.cmd === 'puback') this.acknowledge(packet.messageId ?? 0);
    else if (packet.cmd === 'connack' && this.state === 'connecting') this.greeted(packet.returnCode ?? 0);
  }

  private greeted(code: number): void {
    if (code !== 0) {
      this.code = code;
      this.drop(REFUSALS[code] ?? `CONNACK ${code}`);
      return;
    }
    clearTimeout(this.timer);
    this.state = 'up';
    this.attempts = 0;
    this.events.up();
    this.resend();
    this.pump();
  }

  private resend(): void {
    const packets: Buffer[] = [];
    for (const [id, message] of this.slots.entries()) {
      if (!message) continue;
      packets.push(this.events.packet(message, id, true));
      this.events.resent(message);
    }
    this.write(packets);
  }

  private acknowledge(id: number): void {
    const message = this.slots[id];
    if (!message) return;
    this.slots[id] = undefined;
    this.free.push(id);
    this.events.done(message);
  }

  /** QoS 0: one write at a time; the next follows when the operating system has taken it. */
  private pumpUnacknowledged(): void {
    if (this.writing) return;
    const messages: Message[] = [];
    while (messages.length < this.options.inFlight) {
      const message = this.events.next();
      if (!message) break;
      messages.push(message);
    }
    if (messages.length === 0) return;
    this.writing = true;
    const packets = messages.map((message) => this.events.packet(message, undefined, false));
    this.write(packets, (error) => {
      this.writing = false;
      if (error) return;
      for (const message of messages) this.events.done(message);
      this.pump();
    });
  }

  private write(packets: readonly Buffer[], written?: (error?: Error | null) => void): void {
    const [first] = packets;
    if (!first) return;
    this.lastSentAt = clock.passed();
    this.socket?.write(packets.length === 1 ? first : Buffer.concat(packets), written);
  }

  private drop(why: string): void {
    this.why ||= why;
    this.socket?.destroy();
  }

  private closed(): void {
    clearTimeout(this.timer);
    this.writing = false;
    const { state } = this;
    if (state === 'ended') return;
    this.state = 'waiting';
    const why = this.why || 'closed by the broker';
    if (state === 'up') this.events.lost(why);
    else this.events.refused(why, this.code);
    this.timer = setTimeout(() => this.retry(), backoff(this.attempts, FIRST_RETRY_MS, MOST_RETRY_MS));
    this.attempts += 1;
  }
}
