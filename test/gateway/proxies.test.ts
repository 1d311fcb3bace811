import { once } from 'node:events';
import { IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { z } from 'zod';
import { silent } from '../../core/logger.ts';
import { Networks } from '../../core/networks.ts';
import { json } from '../../dashboard-gateway/http/reply.ts';
import type { Request } from '../../dashboard-gateway/http/request.ts';
import { HttpServer } from '../../dashboard-gateway/http/server.ts';
import { loadUws, type us_listen_socket } from '../../dashboard-gateway/http/uws.ts';
import { proxyNames, type RealProxy, startProxy } from '../services/proxies.ts';

const told = z.object({ address: z.string(), secure: z.boolean(), forwarded: z.boolean() });
/** Somebody else on this machine: of its addresses only 127.0.0.1 is trusted. */
const CLIENT = '127.0.0.9';

describe('a client behind a proxy of somebody else’s', function () {
  this.timeout(60_000);
  const { uws } = loadUws();
  const stops: (() => unknown)[] = [];
  let trusting: number;
  let wary: number;

  before(async () => {
    trusting = await serve('127.0.0.1');
    wary = await serve('192.0.2.1');
  });

  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  /** A server that says where it thinks a request comes from. Its port. */
  async function serve(proxies: string): Promise<number> {
    const app = uws.App();
    const answer = ({ remoteAddress, secure, headers }: Request) =>
      json({ address: remoteAddress, secure, forwarded: headers.forwarded });
    const server = new HttpServer({
      plan: () => ({ name: 'who', maxBody: 0, answer }),
      userOf: async () => undefined,
      access: { tls: false, trusted: Networks.parse(proxies) ?? new Networks() },
      log: silent,
      passed: () => performance.now(),
    });
    server.attach(app);
    const socket = await new Promise<us_listen_socket | false>((resolve) => app.listen('127.0.0.1', 0, resolve));
    if (socket === false) throw new Error('it does not listen');
    stops.push(() => uws.us_listen_socket_close(socket));
    return uws.us_socket_local_port(socket);
  }

  async function proxied(...given: Parameters<typeof startProxy>): Promise<RealProxy> {
    const proxy = await startProxy(...given);
    stops.push(() => proxy.stop());
    return proxy;
  }

  /** `lines`: header lines, each a name and a value, sent as they are. */
  async function who(port: number, lines: string[][] = [], from = CLIENT): Promise<z.infer<typeof told>> {
    const headers = ['host', 'loam.example', ...lines.flat()];
    const host = from.includes(':') ? '::1' : '127.0.0.1';
    const sent = request({ host, port, localAddress: from, agent: false, headers });
    sent.end();
    const [answer] = z.tuple([z.instanceof(IncomingMessage)]).parse(await once(sent, 'response'));
    return told.parse(JSON.parse(await text(answer)));
  }

  const far = ['X-Forwarded-For', '203.0.113.5'];
  const further = ['X-Forwarded-For', '198.51.100.6, 127.0.0.1'];
  const http = { secure: false, forwarded: true };

  for (const name of proxyNames) {
    describe(name, () => {
      let proxy: RealProxy;

      before(async () => {
        proxy = await proxied(name, trusting);
      });

      it('is known by its address', async () => {
        expect(await who(proxy.port)).to.deep.equal({ address: CLIENT, ...http });
      });

      it('is known by its IPv6 address', async () => {
        expect(await who(proxy.port, [], '::1')).to.deep.equal({ address: '::1', ...http });
      });

      it('cannot claim another one, in one line or in two', async () => {
        for (const lines of [[far], [far, further], [further, ['x-forwarded-for', '']], [['X-Forwarded-For', '']]]) {
          expect(await who(proxy.port, lines), JSON.stringify(lines)).to.deep.equal({ address: CLIENT, ...http });
        }
        const others = [
          ['Forwarded', 'for=203.0.113.5;proto=https'],
          ['X-Real-IP', '203.0.113.5'],
        ];
        expect(await who(proxy.port, others)).to.deep.equal({ address: CLIENT, ...http });
      });

      it('cannot claim TLS, in one line or in two', async () => {
        const tls = ['X-Forwarded-Proto', 'https'];
        for (const lines of [[tls], [tls, tls]]) expect((await who(proxy.port, lines)).secure).to.equal(false);
      });

      it('is the proxy where that is not trusted', async () => {
        const untrusted = await proxied(name, wary);
        expect(await who(untrusted.port, [far, ['X-Forwarded-Proto', 'https']])).to.deep.equal({
          ...{ address: '127.0.0.1', secure: false, forwarded: true },
        });
      });
    });
  }

  it('is known behind two proxies in a row, of any two kinds', async () => {
    for (const [outer, inner] of [
      ['nginx', 'haproxy'],
      ['haproxy', 'nginx'],
      ['haproxy', 'haproxy'],
    ] as const) {
      const second = await proxied(inner, trusting);
      const first = await proxied(outer, second.port);
      const seen = await who(first.port, [far, further]);
      expect(seen, `${outer}, then ${inner}`).to.deep.equal({ address: CLIENT, ...http });
    }
  });

  it('is not near when its proxy adds a line below an empty one', async () => {
    const untrusted = await proxied('haproxy', wary);
    expect((await who(untrusted.port, [['X-Forwarded-For', '']], '127.0.0.1')).forwarded).to.equal(true);
  });

  it('speaks TLS when the last line of the protocol says so', async () => {
    const add = (text: string) => text.replaceAll('set-header X-Forwarded-Proto', 'add-header X-Forwarded-Proto');
    const proxy = await proxied('haproxy', trusting, add);
    expect((await who(proxy.port, [['X-Forwarded-Proto', 'https']])).secure, 'http was added').to.equal(false);
    const says = (text: string) => add(text).replace('X-Forwarded-Proto http if', 'X-Forwarded-Proto https if');
    const tls = await proxied('haproxy', trusting, says);
    expect((await who(tls.port, [['X-Forwarded-Proto', 'http']])).secure, 'https was added').to.equal(true);
  });
});
