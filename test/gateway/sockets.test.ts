import { expect } from 'chai';
import { Networks } from '../../core/networks.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { until } from '../services/wait.ts';
import { call, PASSWORD, Place, reading } from './harness.ts';

describe('the WebSocket door', () => {
  let place: Place;
  let gateway: Gateway;
  let cookie: string;

  before(async () => {
    place = await Place.open();
    gateway = await place.gateway();
    cookie = await place.signIn(gateway, 'vera');
  });

  after(() => place.close());

  const refusal = (headers: Record<string, string>, protocols?: string[]) =>
    refusalOf(place.connect(gateway, headers, protocols));

  it('needs a session', async () => {
    expect(await refusal({})).to.equal('401');
    expect(await refusal({ cookie: 'loam=x.y.z' })).to.equal('401');
    expect(await refusal({ authorization: `Bearer ${cookie.slice(5)}` })).to.equal('open');
  });

  it('opens for the token that a program gets for user and password, in the header and nowhere else', async () => {
    const body = { user: 'vera', password: PASSWORD, answer: 'token' };
    const answer = await call(gateway.port, '/api/login', { method: 'POST', body });
    const { token }: { token: string } = JSON.parse(answer.text);
    expect(answer.headers).not.to.have.property('set-cookie');
    const client = await place.connect(gateway, { authorization: `Bearer ${token}` });
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    client.say({ type: 'subscribe', id: 2, farm: 'south' });
    expect(await client.next('error')).to.include({ id: 2, code: 'forbidden' });
    // A token in a message lets nobody into more than the handshake did.
    client.say({ type: 'token', token });
    expect((await client.next('error')).code).to.equal('bad-message');
    expect(await refusal({ authorization: `Bearer ${token}x` })).to.equal('401');
    expect(await refusal({ authorization: token })).to.equal('401');
    // Addresses end up in logs.
    expect(await refusalOf(place.connect(gateway, {}, ['loam.v1'], `?token=${token}`))).to.equal('401');
  });

  it('is shut for pages of other sites', async () => {
    expect(await refusal({ cookie, origin: 'http://evil.example' })).to.equal('403');
    expect(await refusal({ cookie, origin: `http://127.0.0.1:${gateway.port}` })).to.equal('open');
  });

  it('needs the subprotocol', async () => {
    expect(await refusal({ cookie }, ['loam.v9'])).to.equal('400');
    const client = await place.connect(gateway, { cookie }, ['other', 'loam.v1']);
    expect(client.socket.protocol).to.equal('loam.v1');
  });

  it('answers what is not a message with an error and stays open', async () => {
    const client = await place.connect(gateway, { cookie });
    for (const text of ['', '{', '{"type":"dance","id":3}', '[]']) {
      client.say(text);
      expect((await client.next('error')).code).to.equal('bad-message');
    }
    client.socket.send(Buffer.from([1, 2, 3]), { binary: true });
    expect((await client.next('error')).code).to.equal('bad-message');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
  });

  it('closes on a message over 16 KiB', async () => {
    const client = await place.connect(gateway, { cookie });
    client.say('x'.repeat(17_000));
    await client.ended();
  });

  it('takes 64 subscriptions and not one more', async () => {
    const client = await place.connect(gateway, { cookie });
    for (let id = 0; id < 65; id++) client.say({ type: 'subscribe', id, farm: 'north', fields: ['f1'] });
    expect(await client.next('error')).to.include({ code: 'too-many-subscriptions', id: 64 });
    await until('every snapshot', () => client.all('snapshot').length === 64);
  });

  it('closes on a flood of messages', async () => {
    const client = await place.connect(gateway, { cookie });
    for (let i = 0; i < 300; i++) client.say('{}');
    expect((await client.ended()).code).to.equal(1008);
  });

  it('says goodbye when the gateway stops', async () => {
    const other = await place.gateway();
    const client = await place.watching(other, 'vera');
    client.say({ type: 'subscribe', id: 1, farm: 'north' });
    await client.next('snapshot');
    await other.stop(5_000);
    expect((await client.ended()).code).to.equal(1001);
    await place.announce([reading()]);
  });

  it('gives one address so many sockets and no more, and a place that was left to the next', async () => {
    const other = await place.gateway({ maxSocketsOfAddress: 2 });
    const open = () => place.connect(other, { cookie });
    const [first] = [await open(), await open()];
    expect(await refusalOf(open())).to.equal('503');
    first?.socket.close();
    await until('a place', async () => (await refusalOf(open())) === 'open');
  });

  it('counts the clients of a trusted proxy each for itself, and believes nobody else', async () => {
    const from = (gatewayOf: Gateway, address: string) =>
      refusalOf(place.connect(gatewayOf, { cookie, 'x-forwarded-for': address }));
    const trustedProxies = Networks.parse('127.0.0.1') ?? new Networks();
    const behind = await place.gateway({ maxSocketsOfAddress: 1, trustedProxies });
    expect(await from(behind, '203.0.113.7')).to.equal('open');
    expect(await from(behind, '203.0.113.7')).to.equal('503');
    expect(await from(behind, '203.0.113.8')).to.equal('open');
    const direct = await place.gateway({ maxSocketsOfAddress: 1 });
    expect(await from(direct, '203.0.113.7')).to.equal('open');
    expect(await from(direct, '203.0.113.8')).to.equal('503');
  });

  it('refuses a farm’s fields, numbers and places that cannot be', async () => {
    const client = await place.connect(gateway, { cookie });
    for (const wrong of [
      { farm: 'a/b' },
      { fields: [] },
      { fields: Array.from({ length: 201 }, (_, i) => `f${i}`) },
      { id: -1 },
      { id: 1.5 },
      { since: { epoch: 'e' } },
      { since: { epoch: 'e', seq: -2 } },
      { since: { epoch: 'e'.repeat(65), seq: 1 } },
    ]) {
      client.say({ type: 'subscribe', id: 1, farm: 'north', ...wrong });
      expect((await client.next('error')).code, JSON.stringify(wrong)).to.equal('bad-message');
    }
    expect(client.all('snapshot')).to.have.length(0);
  });
});

function refusalOf(opening: Promise<unknown>): Promise<string> {
  return opening.then(
    () => 'open',
    (error: Error) => error.message,
  );
}
