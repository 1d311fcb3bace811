import { expect } from 'chai';
import { COMMANDS, Place } from './conformance-place.ts';
import { topicOf } from './harness.ts';
import { number16, PINGREQ, packet, subscribe, text, unsubscribe } from './mqtt-bytes.ts';
import type { Peer } from './peer.ts';

const REFUSED = 0x80;
const FARM = 'farms/north/sensors/+/commands';
const commandsOf = (sensor: string) => `farms/north/sensors/${sensor}/commands`;

describe('MQTT 3.1.1 conformance: SUBSCRIBE, UNSUBSCRIBE, PINGREQ and filters', () => {
  let place: Place;

  before(async () => {
    place = await Place.open();
  });
  afterEach(() => place.clear());
  after(() => place.close());

  const endsWith = (bytes: Buffer) => place.endsWith(bytes);
  const bridge = () => place.client({ username: 'gate', password: 'secret-gate' });
  /** The return codes of a SUBACK. */
  async function granted(peer: Peer, ...filters: (readonly [string, number])[]): Promise<number[]> {
    const before = peer.of('suback').length;
    peer.send(subscribe(before + 1, ...filters));
    return [...(await peer.next('suback', before + 1)).body.subarray(2)];
  }
  /** Sends a command to a sensor through whichever session hears it; false when none does. */
  function command(sensor: string, key: string): boolean {
    const subscriber = place.broker.subscribers.hearing('north', sensor)[0];
    return subscriber !== undefined && subscriber.send(key, commandsOf(sensor), Buffer.from(key)) !== 'busy';
  }

  describe('a SUBSCRIBE', () => {
    it('has filters that are UTF-8 [MQTT-3.8.3-1]', async () => {
      await endsWith(subscribe(1, [COMMANDS, 1], [Buffer.from([0xc3, 0x28]), 1]));
    });
    it('has one filter at least [MQTT-3.8.3-3]', async () => {
      await endsWith(subscribe(1));
    });
    it('has a QoS of 0, 1 or 2 and no other bit beside each filter [MQTT-3.8.3-4]', async () => {
      for (const qos of [3, 4, 0x80, 0xfd]) await endsWith(subscribe(1, [COMMANDS, qos]));
      await endsWith(packet(0x82, number16(1), text(COMMANDS)));
    });
    it('has no empty filter [MQTT-4.7.3-1]', async () => {
      await endsWith(subscribe(1, ['', 1]));
      await endsWith(unsubscribe(1, ''));
    });
    it('is answered with a SUBACK that carries its packet id [MQTT-3.8.4-1] [MQTT-3.8.4-2]', async () => {
      const peer = await place.client();
      peer.send(subscribe(0x1234, [COMMANDS, 1]));
      await peer.next('suback');
      expect(peer.ids('suback')).to.deep.equal([0x1234]);
    });
    it('of several filters is answered by one SUBACK with a return code for each, in their order [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1]', async () => {
      const peer = await place.client();
      const codes = await granted(peer, ['x', 0], [COMMANDS, 1], [topicOf('a1'), 1], [commandsOf('a2'), 2]);
      expect(codes).to.deep.equal([REFUSED, 1, REFUSED, REFUSED]);
      expect(peer.of('suback')).to.have.length(1);
    });
    it('that names a filter twice is answered once for both, at its first place, with the QoS of the last [MQTT-3.8.4-5]', async () => {
      const peer = await place.client();
      expect(await granted(peer, [COMMANDS, 0], ['x', 1], [COMMANDS, 1])).to.deep.equal([1, REFUSED]);
    });
    it('is granted the QoS it asked for, or refused: there is no other return code [MQTT-3.9.3-2]', async () => {
      const peer = await place.client();
      for (const qos of [0, 1, 2]) expect(await granted(peer, [COMMANDS, qos])).to.deep.equal([qos]);
      expect(await granted(peer, ['#', 2])).to.deep.equal([REFUSED]);
    });
    it('of the same filter takes the place of the one before: one copy comes [MQTT-3.8.4-3]', async () => {
      const peer = await place.client();
      await granted(peer, [COMMANDS, 2]);
      await granted(peer, [COMMANDS, 1]);
      expect(command('a1', 'one copy')).to.equal(true);
      await peer.next('publish');
      await peer.ping();
      expect(peer.publishes.map(({ payload, qos }) => [payload, qos])).to.deep.equal([['one copy', 1]]);
    });
    it('with QoS 0 gets commands at QoS 0, with 1 or 2 at QoS 1, which is what they are published with [MQTT-3.8.4-6] [MQTT-4.3.1-1] [MQTT-4.3.3-1]', async () => {
      const peer = await place.client();
      for (const qos of [0, 1, 2]) {
        await granted(peer, [COMMANDS, qos]);
        expect(command('a1', `asked ${qos}`)).to.equal(true);
        await peer.next('publish', qos + 1);
      }
      expect(peer.publishes.map(({ payload, qos, dup, retain }) => [payload, qos, dup, retain])).to.deep.equal([
        ['asked 0', 0, false, false],
        ['asked 1', 1, false, false],
        ['asked 2', 1, false, false],
      ]);
    });
  });

  describe('filters', () => {
    it('with `+` in place of a sensor are a bridge’s; every other wildcard is refused [MQTT-3.8.3-2] [MQTT-4.7.1-3]', async () => {
      const peer = await bridge();
      expect(await granted(peer, [FARM, 1])).to.deep.equal([1]);
      const others = [
        'farms/north/#',
        '+/north/sensors/a1/commands',
        'farms/+/sensors/a1/commands',
        '#',
        '+',
        `${COMMANDS}/#`,
      ];
      for (const filter of others) expect(await granted(peer, [filter, 1]), filter).to.deep.equal([REFUSED]);
    });
    it('with `+` hear every sensor of the farm and no other farm’s [MQTT-4.7.1-3] [MQTT-4.5.0-1] [MQTT-3.3.2-3]', async () => {
      const peer = await bridge();
      await granted(peer, [FARM, 1]);
      expect(command('a1', 'first')).to.equal(true);
      expect(command('a2', 'second')).to.equal(true);
      expect(place.broker.subscribers.hearing('south', 'b1')[0]).to.equal(undefined);
      await peer.next('publish', 2);
      expect(peer.publishes.map(({ topic }) => topic)).to.deep.equal([COMMANDS, commandsOf('a2')]);
    });
    it('that overlap bring one copy, at the highest QoS of them [MQTT-3.3.5-1]', async () => {
      const peer = await bridge();
      await granted(peer, [FARM, 0], [COMMANDS, 1]);
      expect(command('a1', 'both')).to.equal(true);
      await peer.next('publish');
      await peer.ping();
      expect(peer.publishes.map(({ payload, qos }) => [payload, qos])).to.deep.equal([['both', 1]]);
    });
    it('with a wildcard in the midst of a level close the connection [MQTT-4.7.1-2] [MQTT-4.7.1-3]', async () => {
      for (const filter of ['farms/north#', 'farms/#/commands', 'a+', 'farms/n+/sensors']) {
        await endsWith(subscribe(1, [filter, 1]));
      }
    });
    it('never hear the broker’s own topics [MQTT-4.7.2-1]', async () => {
      const peer = await bridge();
      for (const filter of ['#', '+/#', '$SYS/#', '$SYS/+/new/clients', '$share/x/farms/north/sensors/+/commands']) {
        expect(await granted(peer, [filter, 1]), filter).to.deep.equal([REFUSED]);
      }
    });
    it('are taken byte for byte [MQTT-4.7.3-4]', async () => {
      const peer = await place.client();
      for (const filter of [
        'farms/north/sensors/A1/commands',
        `/${COMMANDS}`,
        `${COMMANDS}/`,
        COMMANDS.toUpperCase(),
      ]) {
        expect(await granted(peer, [filter, 1]), filter).to.deep.equal([REFUSED]);
      }
    });
    it('are as long as a packet lets them be [MQTT-4.7.3-3]', async () => {
      const peer = await place.client();
      expect(await granted(peer, ['x'.repeat(60_000), 1])).to.deep.equal([REFUSED]);
    });
  });

  describe('an UNSUBSCRIBE', () => {
    it('has filters that are UTF-8, and one at least [MQTT-3.10.3-1] [MQTT-3.10.3-2]', async () => {
      await endsWith(unsubscribe(1, Buffer.from([0xc3, 0x28])));
      await endsWith(unsubscribe(1));
    });
    it('is answered with an UNSUBACK that carries its packet id, whether there was a subscription or not [MQTT-3.10.4-4] [MQTT-3.10.4-5]', async () => {
      const peer = await place.client();
      await granted(peer, [COMMANDS, 1]);
      peer.send(unsubscribe(0x4321, COMMANDS), unsubscribe(0x4322, 'never/there'));
      await peer.next('unsuback', 2);
      expect(peer.ids('unsuback')).to.have.members([0x4321, 0x4322]);
    });
    it('of several filters is answered by one UNSUBACK [MQTT-3.10.4-6]', async () => {
      const peer = await bridge();
      await granted(peer, [COMMANDS, 1], [commandsOf('a2'), 1], [commandsOf('x'), 1]);
      peer.send(unsubscribe(5, COMMANDS, 'never/there', commandsOf('a2')));
      await peer.next('unsuback');
      await peer.ping();
      expect(peer.of('unsuback')).to.have.length(1);
      expect(['a1', 'a2', 'x'].map((sensor) => command(sensor, `after, ${sensor}`))).to.deep.equal([
        false,
        false,
        true,
      ]);
    });
    it('ends the subscription whose filter is the same byte for byte, and no other [MQTT-3.10.4-1]', async () => {
      const peer = await bridge();
      await granted(peer, [FARM, 1]);
      peer.send(unsubscribe(1, COMMANDS, 'farms/north/sensors/#', FARM.toUpperCase()));
      await peer.next('unsuback');
      expect(command('a1', 'still heard')).to.equal(true);
      await peer.next('publish');
    });
    it('is the end of new messages, and not of those under way [MQTT-3.10.4-2] [MQTT-3.10.4-3]', async () => {
      const peer = await place.client();
      await granted(peer, [COMMANDS, 1]);
      const sent = place.broker.subscribers
        .hearing('north', 'a1')[0]
        ?.send('under way', COMMANDS, Buffer.from('under way'));
      await peer.next('publish');
      peer.send(unsubscribe(9, COMMANDS));
      await peer.next('unsuback');
      expect(command('a1', 'too late')).to.equal(false);
      peer.send(packet(0x40, number16(peer.publishes[0]?.id ?? 0)));
      expect(await sent).to.equal('acknowledged');
      await peer.ping();
      expect(peer.publishes.map(({ payload }) => payload)).to.deep.equal(['under way']);
    });
  });

  it('a PINGREQ is answered with a PINGRESP [MQTT-3.12.4-1]', async () => {
    const peer = await place.client();
    peer.send(PINGREQ, PINGREQ);
    await peer.next('pingresp', 2);
  });
});
