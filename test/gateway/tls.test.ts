import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { expect } from 'chai';
import { generate } from 'selfsigned';
import { WebSocket } from 'ws';
import { ConfigInvalid } from '../../core/errors.ts';
import { Networks } from '../../core/networks.ts';
import type { Gateway } from '../../dashboard-gateway/gateway.ts';
import { secureApp } from '../../dashboard-gateway/http/tls.ts';
import { loadUws } from '../../dashboard-gateway/http/uws.ts';
import { signed } from '../broker/certificates.ts';
import { call, cookieOf, overlay, PASSWORD, Place, problemCode } from './harness.ts';

describe('a gateway that speaks TLS', () => {
  let place: Place;
  let gateway: Gateway;
  let files: { cert: string; key: string };
  let ca: string;

  before(async () => {
    place = await Place.open();
    const made = await generate([{ name: 'commonName', value: 'localhost' }], {
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
    });
    ca = made.cert;
    files = { cert: join(place.folder, 'cert.pem'), key: join(place.folder, 'key.pem') };
    await writeFile(files.cert, made.cert);
    await writeFile(files.key, made.private);
    gateway = await place.gateway({ tls: files });
  });

  after(() => place.close());

  const signIn = (origin: string) =>
    new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
      const headers = { 'content-type': 'application/json', origin };
      const options = { host: '127.0.0.1', port: gateway.port, path: '/api/login', method: 'POST', ca, headers };
      const sent = request({ ...options, agent: false }, (response) => {
        let text = '';
        response.on('data', (part) => {
          text += String(part);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      });
      sent.on('error', reject);
      sent.end(JSON.stringify({ user: 'vera', password: PASSWORD }));
    });

  it('answers over it, keeps browsers there, and lets cookies travel nowhere else', async () => {
    expect(gateway.url).to.equal(`https://127.0.0.1:${gateway.port}`);
    const answer = await signIn(gateway.url);
    expect(answer.status).to.equal(200);
    expect(answer.headers['strict-transport-security']).to.match(/^max-age=\d+$/);
    expect(String(answer.headers['set-cookie'])).to.include('; Secure');
  });

  it('takes a page that came without TLS for another site', async () => {
    const answer = await signIn(gateway.url.replace('https', 'http'));
    expect(JSON.parse(answer.text).code).to.equal('cross-origin');
  });

  it('opens sockets over it', async () => {
    const answer = await signIn(gateway.url);
    const cookie = String(answer.headers['set-cookie']).split(';')[0] ?? '';
    const socket = new WebSocket(`wss://127.0.0.1:${gateway.port}/ws`, ['loam.v1'], { ca, headers: { cookie } });
    await new Promise<void>((resolve, reject) => {
      socket.on('open', resolve);
      socket.on('error', reject);
    });
    socket.terminate();
  });

  it('names the setting whose file is missing or no good', async () => {
    const refusal = (tls: { cert: string; key: string }) => place.gateway({ tls }).catch((error: unknown) => error);
    const missing = await refusal({ ...files, key: join(place.folder, 'nowhere.pem') });
    expect(missing).to.be.instanceOf(ConfigInvalid).and.include({ setting: 'LOAM_HTTPS_KEY' });
    const swapped = await refusal({ cert: files.key, key: files.cert });
    expect(swapped).to.be.instanceOf(ConfigInvalid).and.include({ setting: 'LOAM_HTTPS_CERT' });
    const otherKind = join(place.folder, 'other-kind.pem');
    await writeFile(otherKind, (await signed('other kind')).key);
    const unlike = await refusal({ ...files, key: otherKind });
    expect(unlike).to.be.instanceOf(ConfigInvalid).and.include({ setting: 'LOAM_HTTPS_CERT' });
    // Also where the library takes them, and would fail at the first handshake.
    const { uws } = loadUws();
    const lenient = overlay(uws, { SSLApp: () => uws.App() });
    expect(() => secureApp(lenient, { ...files, key: otherKind })).to.throw(ConfigInvalid);
  });
});

describe('a gateway behind a proxy', () => {
  let place: Place;
  // It stands still: how long a check of a password takes must not matter.
  const started = Date.now();
  const now = () => started;

  before(async () => {
    place = await Place.open();
  });

  after(() => place.close());

  const login = (gateway: Gateway, client: string, password: string, proto = 'http') => {
    const headers = { 'x-forwarded-for': client, 'x-forwarded-proto': proto };
    return call(gateway.port, '/api/login', { method: 'POST', headers, body: { user: 'vera', password } });
  };

  it('that it trusts knows its clients apart', async () => {
    const gateway = await place.gateway({ now, trustedProxies: Networks.parse('127.0.0.1') ?? new Networks() });
    for (let i = 0; i < 5; i++) await login(gateway, '203.0.113.1', 'wrong');
    expect(problemCode(await login(gateway, '203.0.113.1', PASSWORD))).to.equal('too-many-attempts');
    const other = await login(gateway, '203.0.113.2', PASSWORD, 'https');
    expect(other.status).to.equal(200);
    expect(String(other.headers['set-cookie'])).to.include('; Secure');
    expect(cookieOf(other)).to.match(/^__Host-loam=./);
  });

  it('that nobody told it of takes them all for the proxy', async () => {
    const gateway = await place.gateway({ now });
    for (let i = 0; i < 5; i++) await login(gateway, `203.0.113.${i}`, 'wrong');
    const held = await login(gateway, '203.0.113.9', PASSWORD, 'https');
    expect(problemCode(held)).to.equal('too-many-attempts');
    expect(held.headers['strict-transport-security']).to.equal(undefined);
  });
});
