import { connect } from 'node:net';
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

  it('gives a client that fell behind a gap and a snapshot, and the others everything', async function () {
    this.timeout(60_000);
    const slow = await rawClient(gateway.port, cookie);
    const fast = await place.connect(gateway, { cookie });
    fast.say({ type: 'subscribe', id: 1, farm: 'north' });
    await fast.next('snapshot');
    slow.socket.write(masked('{"type":"subscribe","id":9,"farm":"north"}'));
    await until('its snapshot', () => slow.text().includes('"snapshot"'));
    slow.socket.pause();
    // Enough that neither the system's buffers nor the gateway's limit hold it all.
    const begin = Date.now();
    for (let i = 0; i < 120; i++) {
      const values = { m: i };
      await place.announce([...Array(5000)].map((_, n) => reading({ ts: begin + i * 1000, sensor: `b${n}`, values })));
      const last = (await place.live.head()).next - 1;
      await until('the fast one has it', () => Number(fast.all('tick').at(-1)?.seq) >= last);
    }
    expect(fast.all('gap')).to.have.length(0);
    slow.socket.resume();
    await until('gap and snapshot', () => /"type":"gap","id":9.*"type":"snapshot","id":9/s.test(slow.text()));
    slow.socket.destroy();
  });
});

/** A WebSocket client by hand, since it has to stop reading. */
async function rawClient(port: number, cookie: string) {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (bytes) => {
    text = (text + bytes.toString('latin1')).slice(-8_000_000);
  });
  socket.write(
    `GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: loam.v1\r\ncookie: ${cookie}\r\n\r\n`,
  );
  await until('the handshake', () => text.includes('101 Switching'));
  return { socket, text: () => text };
}

function masked(text: string): Buffer {
  const body = Buffer.from(text);
  // A mask of zeros leaves the text as it is.
  return Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]);
}
