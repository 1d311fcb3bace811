import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { type IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { Networks } from '../../core/networks.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { PASSWORD, Place } from '../gateway/harness.ts';
import { locateTool } from '../services/install.ts';
import { itIfLong } from '../services/length.ts';
import { output, ServerProcess } from '../services/process.ts';
import { freePort, listening, temporaryFolder, until } from '../services/wait.ts';

const CADDYFILE = fileURLToPath(new URL('../../deploy/Caddyfile', import.meta.url));

describe('the proxy of compose.yaml', function () {
  this.timeout(300_000);
  let place: Place;
  let gateway: Gateway;
  let caddy: ServerProcess;
  let ca: string;
  let port: number;

  before(async () => {
    const program = await locateTool('caddy');
    place = await Place.open();
    gateway = await place.gateway({ trustedProxies: Networks.parse('127.0.0.1') ?? new Networks() });
    const folder = await temporaryFolder();
    port = await freePort();
    const env = {
      ...{ HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder, PATH: process.env.PATH },
      ...{ LOAM_DOMAIN: `https://localhost:${port}`, LOAM_GATEWAY: `127.0.0.1:${gateway.port}` },
    };
    await output(program, ['validate', '--config', CADDYFILE, '--adapter', 'caddyfile'], env);
    // Of this machine's ports it is to take this one only, and on loopback.
    const file = join(folder, 'Caddyfile');
    const here = 'admin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n';
    await writeFile(file, (await readFile(CADDYFILE, 'utf8')).replace('admin off\n', here));
    const args = ['run', '--config', file, '--adapter', 'caddyfile'];
    caddy = new ServerProcess({ program, args, env, log: join(folder, 'caddy.log') });
    await caddy.start(() => listening(port), 30_000);
    const root = join(folder, 'caddy/pki/authorities/local/root.crt');
    ca = await until('the certificate of its authority', () => readFile(root, 'utf8').catch(() => undefined));
    // It listens before its certificate is made, and ends handshakes until then.
    await until('its certificate', async () => (await ask('/').catch(() => undefined)) !== undefined);
  });

  after(async () => {
    await caddy.kill();
    await place.close();
  });

  interface Told {
    readonly status: number;
    readonly cookie: string;
    readonly headers: IncomingHttpHeaders;
  }

  /** Over TLS that its own authority vouches for. */
  async function ask(path: string, body?: object, more: Record<string, string> = {}): Promise<Told> {
    const headers = { ...(body ? { 'content-type': 'application/json' } : {}), ...more };
    const sent = request({
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      path,
      ca,
      method: body ? 'POST' : 'GET',
      headers: { host: `localhost:${port}`, ...headers },
    });
    sent.end(body && JSON.stringify(body));
    const [answer] = z.tuple([z.instanceof(IncomingMessage)]).parse(await once(sent, 'response'));
    answer.resume();
    const cookie = answer.headers['set-cookie']?.[0] ?? '';
    return { status: answer.statusCode ?? 0, cookie, headers: answer.headers };
  }

  itIfLong(
    'speaks TLS, signs people in with a cookie that is for TLS only, and passes live values on by WebSocket',
    async () => {
      const origin = `https://localhost:${port}`;
      expect((await ask('/')).headers).to.not.have.property('server');
      const signed = await ask('/api/login', { user: 'vera', password: PASSWORD }, { origin });
      expect(signed.status).to.equal(200);
      expect(signed.cookie).to.match(/; *Secure/i);
      const elsewhere = await ask(
        '/api/login',
        { user: 'vera', password: PASSWORD },
        { origin: 'https://evil.example' },
      );
      expect(elsewhere.status).to.equal(403);
      const cookie = signed.cookie.split(';')[0] ?? '';
      const socket = new WebSocket(`wss://localhost:${port}/ws`, ['loam.v1'], {
        ca,
        headers: { cookie, origin },
      });
      await once(socket, 'open');
      socket.send(JSON.stringify({ type: 'subscribe', farm: 'north' }));
      await once(socket, 'message');
      socket.terminate();
    },
  );

  itIfLong('says who is there, and passes on nothing that they claim', async () => {
    const wrong = (from: string) => ask('/api/login', { user: 'sam', password: 'wrong' }, { 'x-forwarded-for': from });
    // Each of these claims to be another: the throttle of an address holds them back all the same.
    const tries: number[] = [];
    for (let i = 0; i < 7; i++) tries.push((await wrong(`192.0.2.${i}`)).status);
    expect(tries.slice(0, 5)).to.deep.equal(Array(5).fill(401));
    expect(tries.at(-1)).to.equal(429);
  });
});
