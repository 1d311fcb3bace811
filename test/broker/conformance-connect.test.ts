import { expect } from 'chai';
import { until } from '../services/wait.ts';
import { Place } from './conformance-place.ts';
import { topicOf } from './harness.ts';
import {
  answer,
  type ConnectBytes,
  connect,
  DISCONNECT,
  FLAG,
  number16,
  PINGREQ,
  PUBREL,
  packet,
  publish,
  subscribe,
  text,
} from './mqtt-bytes.ts';

const REFUSED = { protocol: 1, identifier: 2, credentials: 4 };

describe('MQTT 3.1.1 conformance: texts, headers and CONNECT', () => {
  let place: Place;

  before(async () => {
    place = await Place.open({ limits: { connectMs: 2_000 } });
  });
  afterEach(() => place.clear());
  after(() => place.close());

  const endsWith = (bytes: Buffer) => place.endsWith(bytes);
  /** Sends bytes as the first packet and resolves when that ended the connection without CONNACK. */
  async function isShutOut(bytes: Buffer): Promise<void> {
    const peer = place.peer().send(bytes);
    await peer.end();
    expect(peer.arrived).to.deep.equal([]);
  }
  async function connack(changes: ConnectBytes): Promise<number | undefined> {
    return await place.peer().connect(changes);
  }

  const ILL_FORMED: Readonly<Record<string, Buffer>> = {
    'a lone continuation byte': Buffer.from([0x61, 0x80]),
    'an overlong slash': Buffer.from([0xc0, 0xaf]),
    'a surrogate': Buffer.from([0xed, 0xa0, 0x80]),
    'a sequence that is cut short': Buffer.from([0x61, 0xe2, 0x82]),
    'a code point above U+10FFFF': Buffer.from([0xf4, 0x90, 0x80, 0x80]),
  };

  describe('texts', () => {
    for (const [what, bytes] of Object.entries(ILL_FORMED)) {
      it(`with ${what} close the connection [MQTT-1.5.3-1] [MQTT-3.1.3-4] [MQTT-3.1.3-10] [MQTT-3.1.3-11]`, async () => {
        await isShutOut(connect({ clientId: bytes }));
        await isShutOut(connect({ username: bytes }));
        await isShutOut(connect({ will: { topic: bytes, payload: '{}' } }));
        await endsWith(publish(2, bytes, 1));
        await endsWith(subscribe(1, [bytes, 1]));
      });
    }
    it('that are well-formed beyond ASCII are taken [MQTT-1.5.3-1]', async () => {
      expect(await connack({ clientId: 'Fühler-泥-🌱' })).to.equal(0);
    });
    it('with U+0000 close the connection [MQTT-1.5.3-2] [MQTT-4.7.3-2]', async () => {
      await isShutOut(connect({ clientId: 'a\0b' }));
      await isShutOut(connect({ username: 'a1\0' }));
      await isShutOut(connect({ will: { topic: `${topicOf('a1')}\0`, payload: '{}' } }));
      await endsWith(publish(2, `${topicOf('a1')}\0`, 1));
      await endsWith(publish(0, `${topicOf('a1')}\0`, 0));
      await endsWith(subscribe(1, ['farms/north\0', 1]));
      await endsWith(packet(0xa2, number16(1), text('farms/north\0')));
    });
    it('keep a byte order mark as a character of theirs [MQTT-1.5.3-3]', async () => {
      expect(await connack({ username: '\ufeffa1' })).to.equal(REFUSED.credentials);
    });
  });

  describe('the fixed header', () => {
    it('of every answer has the flags that the specification lists [MQTT-2.2.2-1]', async () => {
      const peer = await place.client();
      peer.send(publish(2, topicOf('a1'), 1), publish(4, topicOf('a1'), 2));
      await peer.next('pubrec');
      peer.send(answer(PUBREL, 2));
      peer.send(subscribe(3, ['farms/north/sensors/a1/commands', 1]), packet(0xa2, number16(4), text('x')), PINGREQ);
      await peer.next('pingresp');
      await peer.next('unsuback');
      await peer.next('pubcomp');
      await peer.next('suback');
      const types = ['connack', 'pingresp', 'puback', 'pubcomp', 'pubrec', 'suback', 'unsuback'];
      expect(peer.arrived.map(({ type }) => type).sort()).to.deep.equal(types);
      for (const { type, flags } of peer.arrived) expect(flags, type).to.equal(0);
    });
    it('with flags that are reserved closes the connection [MQTT-2.2.2-2] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.6.1-1] [MQTT-3.14.1-1]', async () => {
      await isShutOut(connect({ firstByte: 0x11 }));
      const topic = 'farms/north/sensors/a1/commands';
      const packets = [
        packet(0x80, number16(1), text(topic), [1]),
        packet(0x83, number16(1), text(topic), [1]),
        packet(0xa0, number16(1), text(topic)),
        packet(0xa3, number16(1), text(topic)),
        packet(0x60, number16(1)),
        packet(0x63, number16(1)),
        packet(0x41, number16(1)),
        packet(0x51, number16(1)),
        packet(0x71, number16(1)),
        packet(0xc1),
        packet(0xe1),
        packet(0xf0),
        packet(0x00),
      ];
      for (const bytes of packets) await endsWith(bytes);
    });
    it('of a packet with a packet id is followed by one that is not zero [MQTT-2.3.1-1]', async () => {
      await endsWith(publish(2, topicOf('a1'), 0));
      await endsWith(publish(4, topicOf('a1'), 0));
      await endsWith(subscribe(0, ['farms/north/sensors/a1/commands', 1]));
      await endsWith(packet(0xa2, number16(0), text('x')));
    });
    it('of a packet that is too short for its packet id, or longer than it, closes the connection [MQTT-4.8.0-1]', async () => {
      for (const firstByte of [0x40, 0x50, 0x62, 0x70]) {
        await endsWith(packet(firstByte));
        await endsWith(packet(firstByte, [1]));
        await endsWith(packet(firstByte, number16(1), [0]));
      }
      await endsWith(packet(0xc0, [0]));
      await endsWith(packet(0xe0, [0]));
      await endsWith(packet(0x32, text(topicOf('a1')), [1]));
      await endsWith(packet(0x82, [0]));
      await endsWith(packet(0xa2, [0]));
    });
    it('of a packet that only a server sends closes the connection [MQTT-4.8.0-1]', async () => {
      await endsWith(packet(0x20, [0, 0]));
      await endsWith(packet(0x90, number16(1), [0]));
      await endsWith(packet(0xb0, number16(1)));
      await endsWith(packet(0xd0));
    });
    it('of an acknowledgement is followed by the packet id of what it acknowledges [MQTT-2.3.1-6] [MQTT-2.3.1-7]', async () => {
      const peer = await place.client();
      peer.send(publish(2, topicOf('a1'), 0xfffe), publish(4, topicOf('a1'), 0x0100));
      await peer.next('pubrec');
      peer.send(answer(PUBREL, 0x0100));
      peer.send(subscribe(0x00ff, ['farms/north/sensors/a1/commands', 1]), packet(0xa2, number16(0x7f80), text('x')));
      await peer.next('pubcomp');
      await peer.next('unsuback');
      await peer.next('suback');
      const ids = ['puback', 'pubrec', 'pubcomp', 'suback', 'unsuback'].map((type) => peer.ids(type));
      expect(ids).to.deep.equal([[0xfffe], [0x0100], [0x0100], [0x00ff], [0x7f80]]);
    });
  });

  describe('CONNECT', () => {
    it('comes first, or the connection is closed [MQTT-3.1.0-1]', async () => {
      await isShutOut(publish(2, topicOf('a1'), 1));
      await isShutOut(PINGREQ);
      await isShutOut(DISCONNECT);
      await isShutOut(subscribe(1, ['x', 0]));
    });
    it('comes once: a second one ends the connection [MQTT-3.1.0-2]', async () => {
      await endsWith(connect());
    });
    it('with another protocol name ends the connection [MQTT-3.1.2-1]', async () => {
      for (const name of ['mqtt', 'MQTT2', '', 'MQIsdp', 'HTTP']) await isShutOut(connect({ name }));
    });
    it('with a protocol level that is not 4 is answered with return code 1 and closed [MQTT-3.1.2-2]', async () => {
      for (const level of [0, 3, 5, 6, 127, 128 + 3, 128 + 5, 255]) {
        const peer = place.peer();
        expect(await peer.connect({ level }), `level ${level}`).to.equal(REFUSED.protocol);
        await peer.end();
      }
    });
    it('of MQTT 3.1 under its own name is taken too, and so is one with the bit of a Mosquitto bridge', async () => {
      expect(await connack({ name: 'MQIsdp', level: 3 })).to.equal(0);
      expect(await connack({ name: 'MQIsdp', level: 128 + 3 })).to.equal(0);
      expect(await connack({ level: 128 + 4 })).to.equal(0);
    });
    it('with the reserved flag set ends the connection [MQTT-3.1.2-3]', async () => {
      const flags = FLAG.username | FLAG.password | FLAG.clean | FLAG.reserved;
      await isShutOut(connect({ flags }));
    });
    it('with a will flag has will topic and message [MQTT-3.1.2-9]', async () => {
      await isShutOut(connect({ flags: FLAG.will | FLAG.clean, username: undefined, password: undefined }));
    });
    it('without a will flag has no will QoS, no will retain and no will [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15]', async () => {
      const flags = FLAG.username | FLAG.password | FLAG.clean;
      for (const more of [FLAG.willQos1, FLAG.willQos2, FLAG.willRetain])
        await isShutOut(connect({ flags: flags | more }));
      await isShutOut(connect({ will: { topic: topicOf('a1'), payload: '{}' }, flags }));
    });
    it('with will QoS 3 ends the connection; with 0, 1 or 2 it is taken [MQTT-3.1.2-14]', async () => {
      const will = (more: number) => ({ will: { topic: topicOf('a1'), payload: '{}', more } });
      await isShutOut(connect(will(FLAG.willQos1 | FLAG.willQos2)));
      for (const more of [0, FLAG.willQos1, FLAG.willQos2]) {
        const peer = place.peer();
        expect(await peer.connect(will(more))).to.equal(0);
        peer.send(DISCONNECT);
        await peer.end();
      }
    });
    it('with a user name flag has a user name, without it none [MQTT-3.1.2-18] [MQTT-3.1.2-19]', async () => {
      await isShutOut(connect({ flags: FLAG.username | FLAG.clean, username: undefined, password: undefined }));
      await isShutOut(connect({ flags: FLAG.clean, password: undefined }));
    });
    it('with a password flag has a password, without it none [MQTT-3.1.2-20] [MQTT-3.1.2-21]', async () => {
      await isShutOut(connect({ flags: FLAG.username | FLAG.password | FLAG.clean, password: undefined }));
      await isShutOut(connect({ flags: FLAG.username | FLAG.clean }));
    });
    it('with a password but no user name ends the connection [MQTT-3.1.2-22]', async () => {
      await isShutOut(connect({ username: undefined }));
    });
    it('has its fields in the order of the specification, nothing before and nothing after [MQTT-3.1.3-1] [MQTT-3.1.3-3]', async () => {
      const flags = FLAG.will | FLAG.username | FLAG.password | FLAG.clean;
      const fields = ['c', topicOf('a1'), '{}', 'a1', 'secret-a1'].map((field) => text(field));
      const inOrder = packet(0x10, text('MQTT'), [4, flags], number16(60), ...fields);
      const peer = place.peer().send(inOrder);
      expect((await peer.next('connack')).body[1]).to.equal(0);
      peer.send(DISCONNECT);
      await isShutOut(packet(0x10, text('MQTT'), [4, flags], number16(60)));
      await isShutOut(packet(0x10, text('MQTT'), [4, flags]));
      await isShutOut(packet(0x10, text('MQTT')));
      await isShutOut(packet(0x10));
      await isShutOut(connect({ rest: Buffer.from([0]) }));
      await isShutOut(connect({ rest: text('more') }));
    });
    it('names the client: state belongs to the client id [MQTT-3.1.3-2] [MQTT-3.1.4-2]', async () => {
      const first = await place.client({ clientId: 'one' });
      const other = await place.client({ clientId: 'two' });
      const second = await place.client({ clientId: 'one' });
      await first.end();
      await Promise.all([other.ping(), second.ping()]);
    });
    it('with a client id of 1 to 23 letters and digits is taken [MQTT-3.1.3-5]', async () => {
      const every = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
      for (const clientId of ['0', 'Z', ...(every.match(/.{1,23}/g) ?? [])]) {
        expect(await connack({ clientId })).to.equal(0);
      }
    });
    it('with an empty client id and a clean session is given an id of its own [MQTT-3.1.3-6] [MQTT-3.1.3-7]', async () => {
      const [one, two] = [await place.client({ clientId: '' }), await place.client({ clientId: '' })];
      await Promise.all([one.ping(), two.ping()]);
    });
    it('with an empty client id and a session to be kept is answered with return code 2 and closed [MQTT-3.1.3-8]', async () => {
      const peer = place.peer();
      expect(await peer.connect({ clientId: '', clean: false })).to.equal(REFUSED.identifier);
      await peer.end();
    });
    it('with a client id that is too long is answered with return code 2 and closed [MQTT-3.1.3-9]', async () => {
      const peer = place.peer();
      expect(await peer.connect({ clientId: 'x'.repeat(300) })).to.equal(REFUSED.identifier);
      await peer.end();
    });
    it('that is not one ends the connection without CONNACK [MQTT-3.1.4-1]', async () => {
      await isShutOut(packet(0x10, Buffer.from('GET / HTTP/1.1\r\n')));
      await isShutOut(packet(0x10, text('MQTT'), [4]));
    });
  });

  describe('CONNACK', () => {
    it('acknowledges a CONNECT with return code 0, whether its session is clean or kept [MQTT-3.1.4-3] [MQTT-3.1.4-4]', async () => {
      expect(await connack({ clean: true })).to.equal(0);
      expect(await connack({ clean: false, clientId: 'kept' })).to.equal(0);
    });
    it('comes before anything else, however early the client sends [MQTT-3.2.0-1]', async () => {
      const peer = place.peer().send(connect(), PINGREQ, publish(2, topicOf('a1'), 1), subscribe(2, ['x', 0]));
      await peer.next('puback');
      await peer.next('suback');
      expect(peer.arrived[0]?.type).to.equal('connack');
    });
    it('with return code 0 says that a clean session is not a kept one [MQTT-3.2.2-1]', async () => {
      const peer = await place.client({ clean: true });
      expect(peer.of('connack')[0]?.body).to.deep.equal(Buffer.from([0, 0]));
    });
    it('with return code 0 says of a session that was never there that it is not [MQTT-3.2.2-3]', async () => {
      const peer = await place.client({ clean: false, clientId: 'never-seen' });
      expect(peer.of('connack')[0]?.body).to.deep.equal(Buffer.from([0, 0]));
    });
    it('with another return code says that no session is kept, and is the end [MQTT-3.2.2-4] [MQTT-3.2.2-5]', async () => {
      const refused: ConnectBytes[] = [
        { level: 5 },
        { clientId: '', clean: false },
        { password: 'wrong' },
        { will: { topic: topicOf('a2'), payload: '{}' } },
      ];
      for (const changes of refused) {
        const peer = place.peer();
        expect(await peer.connect(changes)).to.be.greaterThan(0);
        expect(peer.of('connack')[0]?.body[0]).to.equal(0);
        await peer.end();
      }
    });
    it('is not sent where no return code fits [MQTT-3.2.2-6]', async () => {
      await isShutOut(connect({ clientId: 'tab\there' }));
    });
    it('that refuses is the last thing that is done for a client: what it sent behind CONNECT is not taken [MQTT-3.1.4-5]', async () => {
      const peer = place.peer().send(connect({ password: 'wrong' }), publish(2, topicOf('a1'), 1, 'behind a refusal'));
      await peer.end();
      expect(peer.arrived.map(({ type }) => type)).to.deep.equal(['connack']);
      const honest = await place.client();
      honest.send(publish(2, topicOf('a1'), 1, 'after a refusal'));
      await place.gets('after a refusal');
      expect(place.payloads('behind a refusal')).to.deep.equal([]);
    });
  });

  describe('keep alive', () => {
    it('of a client that is silent for one and a half times as long ends its connection [MQTT-3.1.2-24]', async () => {
      const begun = performance.now();
      const peer = await place.client({ keepalive: 1 });
      await peer.end();
      expect(performance.now() - begun).to.be.greaterThan(1_400);
    });
    it('is begun anew by every packet [MQTT-3.1.2-24]', async () => {
      const peer = await place.client({ keepalive: 2 });
      const begun = performance.now();
      await until(
        'five seconds of pings',
        async () => {
          await peer.ping();
          return performance.now() - begun > 5_000;
        },
        { everyMs: 400 },
      );
    });
  });

  it('needs TCP and nothing else [MQTT-7.1.1-1] [MQTT-7.0.0-2]', async () => {
    const peer = await place.client();
    peer.send(publish(2, topicOf('a1'), 1, 'over TCP'));
    await peer.next('puback');
    await place.gets('over TCP');
  });
});
