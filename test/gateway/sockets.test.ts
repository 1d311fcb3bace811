import { expect } from 'chai';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { until } from '../services/wait.ts';
import { Place, reading } from './harness.ts';

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
    place.connect(gateway, headers, protocols).then(
      () => 'open',
      (error: Error) => error.message,
    );

  it('needs a session', async () => {
    expect(await refusal({})).to.equal('401');
    expect(await refusal({ cookie: 'loam=x.y.z' })).to.equal('401');
    expect(await refusal({ authorization: `Bearer ${cookie.slice(5)}` })).to.equal('open');
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
});
