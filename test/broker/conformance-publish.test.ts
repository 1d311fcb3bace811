import { expect } from 'chai';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { temporaryFolder } from '../services/wait.ts';
import { COMMANDS, Place } from './conformance-place.ts';
import { startBroker, topicOf, Valve } from './harness.ts';
import { answer, DISCONNECT, FLAG, number16, PUBREL, packet, publish, subscribe, text } from './mqtt-bytes.ts';
import { Peer } from './peer.ts';

const QOS1 = 2;
const QOS2 = 4;
const RETAIN = 1;
const DUP = 8;

describe('MQTT 3.1.1 conformance: PUBLISH and wills', () => {
  let place: Place;
  const topic = topicOf('a1');

  before(async () => {
    place = await Place.open();
  });
  afterEach(() => place.clear());
  after(() => place.close());

  const endsWith = (bytes: Buffer) => place.endsWith(bytes);

  describe('a PUBLISH', () => {
    it('with QoS 0 is not a duplicate [MQTT-3.3.1-2]', async () => {
      await endsWith(publish(DUP, topic, 0));
    });
    it('with both QoS bits set closes the connection [MQTT-3.3.1-4]', async () => {
      await endsWith(publish(QOS1 | QOS2, topic, 1));
    });
    it('begins with its topic, which is UTF-8 [MQTT-3.3.2-1]', async () => {
      await endsWith(packet(0x32, number16(200), Buffer.from('short')));
      await endsWith(packet(0x30));
      await endsWith(publish(QOS1, Buffer.from([0xff, 0xfe]), 1));
    });
    it('to a topic with a wildcard closes the connection [MQTT-3.3.2-2] [MQTT-4.7.1-1]', async () => {
      for (const wild of ['farms/+/sensors/a1/telemetry', 'farms/north/#', '#', '+', 'a+b', 'a#b']) {
        await endsWith(publish(QOS1, wild, 1));
      }
    });
    it('to an empty topic closes the connection [MQTT-4.7.3-1]', async () => {
      await endsWith(publish(QOS1, '', 1));
      await endsWith(publish(0, '', 0));
    });
    it('is answered as its QoS asks: not at all, with PUBACK, with PUBREC [MQTT-3.3.4-1]', async () => {
      const peer = await place.client();
      peer.send(publish(0, topic, 0, 'qos 0'), publish(QOS1, topic, 1, 'qos 1'), publish(QOS2, topic, 2, 'qos 2'));
      await Promise.all(['qos 0', 'qos 1', 'qos 2'].map((payload) => place.gets(payload)));
      await peer.next('puback');
      await peer.next('pubrec');
      await peer.ping();
      expect([peer.ids('puback'), peer.ids('pubrec')]).to.deep.equal([[1], [2]]);
    });
    it('that its client has no right to is answered as if it were taken, and dropped [MQTT-3.3.5-2]', async () => {
      const peer = await place.client();
      peer.send(publish(QOS1, topicOf('a2'), 1, 'not mine'), publish(QOS2, topicOf('a2'), 2, 'not mine'));
      await peer.next('puback');
      await peer.next('pubrec');
      peer.send(publish(QOS1, topic, 3, 'behind what is not mine'));
      await place.gets('behind what is not mine');
      expect(place.payloads('not mine')).to.deep.equal([]);
    });
    it('is answered in the order in which it came [MQTT-4.6.0-5]', async () => {
      const peer = await place.client();
      const ids = Array.from({ length: 300 }, (_, i) => i + 1);
      peer.send(...ids.map((id) => publish(QOS1, topic, id, `in order ${id}`)));
      await peer.next('puback', ids.length);
      expect(peer.ids('puback')).to.deep.equal(ids);
      await place.gets(`in order ${ids.length}`);
      expect(place.payloads('in order ')).to.deep.equal(ids.map((id) => `in order ${id}`));
    });
    it('that cannot be kept now is not acknowledged: its connection is closed [MQTT-4.8.0-2]', async () => {
      const inner = await openFileQueue(await temporaryFolder());
      const valve = new Valve(inner);
      const broker = await startBroker(valve);
      const peer = new Peer(broker.port);
      valve.refuse('unavailable');
      await peer.connect({ keepalive: 2 });
      peer.send(publish(QOS1, topic, 1));
      await peer.end();
      expect(peer.of('puback')).to.deep.equal([]);
      await broker.stop(500);
      await inner.close();
    });
  });

  describe('at QoS 1', () => {
    it('a PUBACK means that the publish is kept, and frees its packet id: the same id is a new publish, DUP or not [MQTT-4.3.2-2]', async () => {
      const peer = await place.client();
      for (const [i, flags] of [QOS1, QOS1, QOS1 | DUP].entries()) {
        peer.send(publish(flags, topic, 7, `id 7, ${i}`));
        await peer.next('puback', i + 1);
      }
      await place.gets('id 7, 2');
      expect(place.payloads('id 7')).to.deep.equal(['id 7, 0', 'id 7, 1', 'id 7, 2']);
    });
  });

  describe('at QoS 2', () => {
    it('a publish is kept once, however often it is sent before its PUBREL, and its id is free after PUBCOMP [MQTT-4.3.3-2]', async () => {
      const peer = await place.client();
      peer.send(publish(QOS2, topic, 8, 'once'));
      await peer.next('pubrec');
      peer.send(publish(QOS2 | DUP, topic, 8, 'once'), publish(QOS2, topic, 8, 'once'));
      await peer.next('pubrec', 3);
      peer.send(answer(PUBREL, 8));
      await peer.next('pubcomp');
      peer.send(publish(QOS2, topic, 8, 'once more'));
      await place.gets('once more');
      expect(peer.ids('pubrec').concat(peer.ids('pubcomp'))).to.deep.equal(
        [8, 8, 8, 8, 8].slice(0, peer.of('pubrec').length + 1),
      );
      expect(place.payloads('once')).to.deep.equal(['once', 'once more']);
    });
    it('a PUBREL is answered with PUBCOMP even when its publish is not known any more [MQTT-4.3.3-2]', async () => {
      const peer = await place.client();
      peer.send(answer(PUBREL, 99));
      await peer.next('pubcomp');
      expect(peer.ids('pubcomp')).to.deep.equal([99]);
    });
  });

  describe('a PUBLISH with RETAIN', () => {
    it('is kept as a reading like any other; nothing is retained, nor removed, and no later subscriber gets it [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.3.1-12] [MQTT-3.1.2-7]', async () => {
      const peer = await place.client();
      peer.send(publish(QOS1 | RETAIN, topic, 1, 'retained, qos 1'), publish(RETAIN, topic, 0, 'retained, qos 0'));
      peer.send(publish(QOS1 | RETAIN, COMMANDS, 2, 'retained'), publish(QOS1 | RETAIN, topic, 3, ''));
      await peer.next('puback', 3);
      await place.gets('retained, qos 1');
      await place.gets('retained, qos 0');
      peer.send(subscribe(4, [COMMANDS, 1]));
      await peer.next('suback');
      await peer.ping();
      expect(peer.publishes).to.deep.equal([]);
    });
  });

  describe('a will', () => {
    const will = (payload: string, more = 0) => ({ topic, payload, more });

    it('is published when the connection ends without DISCONNECT [MQTT-3.1.2-8]', async () => {
      const peer = await place.client({ will: will('will: cut', FLAG.willQos1) });
      peer.cut();
      await place.gets('will: cut');
    });
    it('is published when the connection is closed for a violation or for silence [MQTT-3.1.2-8]', async () => {
      const peer = await place.client({ will: will('will: violation') });
      peer.send(packet(0xc1));
      await place.gets('will: violation');
      await place.client({ will: will('will: silence'), keepalive: 1, clientId: 'silent' });
      await place.gets('will: silence');
    });
    it('is published when another connection takes over [MQTT-3.1.2-8]', async () => {
      await place.client({ will: will('will: taken over'), clientId: 'twice' });
      await place.client({ clientId: 'twice' });
      await place.gets('will: taken over');
    });
    it('goes with DISCONNECT, and does not come back with the session [MQTT-3.1.2-10] [MQTT-3.14.4-3]', async () => {
      const peer = await place.client({ will: will('will: given up'), clean: false, clientId: 'kept' });
      peer.send(DISCONNECT);
      await peer.end();
      const again = await place.client({ clean: false, clientId: 'kept' });
      again.cut();
      const last = await place.client();
      last.send(publish(QOS1, topic, 1, 'after the will'));
      await place.gets('after the will');
      expect(place.payloads('will: given up')).to.deep.equal([]);
    });
    it('is published once, also in a session that is kept [MQTT-3.1.2-10]', async () => {
      const peer = await place.client({ will: will('will: once'), clean: false, clientId: 'kept' });
      peer.cut();
      await place.gets('will: once');
      const again = await place.client({ clean: false, clientId: 'kept' });
      again.cut();
      const last = await place.client();
      last.send(publish(QOS1, topic, 1, 'after the one will'));
      await place.gets('after the one will');
      expect(place.payloads('will: once')).to.deep.equal(['will: once']);
    });
    it('that was not given is not published [MQTT-3.1.2-12]', async () => {
      const before = place.kept.length;
      const peer = await place.client();
      peer.cut();
      const other = await place.client();
      other.send(publish(QOS1, topic, 1, 'behind no will'));
      await place.gets('behind no will');
      expect(place.kept.length).to.equal(before + 1);
    });
    it('is never a retained message, whether it asked for that or not [MQTT-3.1.2-16] [MQTT-3.1.2-17]', async () => {
      for (const more of [0, FLAG.willRetain]) {
        const peer = await place.client({ will: will(`will: retain ${more}`, more) });
        peer.cut();
        await place.gets(`will: retain ${more}`);
      }
      const late = await place.client();
      late.send(subscribe(1, [COMMANDS, 1]));
      await late.next('suback');
      await late.ping();
      expect(late.publishes).to.deep.equal([]);
    });
  });

  it('a DISCONNECT is the end: what comes behind it is not taken [MQTT-4.8.0-1]', async () => {
    const peer = await place.client();
    peer.send(publish(QOS1, topic, 1, 'before DISCONNECT'), DISCONNECT, publish(QOS1, topic, 2, 'behind DISCONNECT'));
    await peer.end();
    const other = await place.client();
    other.send(publish(QOS1, topic, 1, 'long after DISCONNECT'));
    await place.gets('long after DISCONNECT');
    await place.gets('before DISCONNECT');
    expect(place.payloads('behind DISCONNECT')).to.deep.equal([]);
  });

  it('a topic is taken byte for byte: nothing in it is normalised [MQTT-4.7.3-4]', async () => {
    const peer = await place.client();
    const others = ['farms/north/sensors/A1/telemetry', '/farms/north/sensors/a1/telemetry', `${topic}/`, ` ${topic}`];
    for (const [i, other] of others.entries()) peer.send(publish(QOS1, other, i + 1, 'not quite'));
    await peer.next('puback', others.length);
    peer.send(publish(QOS1, topic, 9, 'exactly'));
    await place.gets('exactly');
    expect(place.payloads('not quite')).to.deep.equal([]);
    await endsWith(packet(0x32, text(`${topic}\0`), number16(1)));
  });
});
