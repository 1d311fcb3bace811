import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { compressedForms } from '../../dashboard/vite-compress.ts';
import type { Request } from '../../dashboard-gateway/http/request.ts';
import { StaticApp } from '../../dashboard-gateway/http/static.ts';
import { temporaryFolder } from '../services/wait.ts';

const SCRIPT = 'export const loam = 1;\n'.repeat(200);

describe('the browser app in memory', () => {
  let app: StaticApp;

  before(async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'assets'));
    for (const [name, text] of [
      ['app-1a2b.js', SCRIPT],
      ['small-1a2b.js', '1;'],
    ] as const) {
      const file = join(folder, 'assets', name);
      await writeFile(file, text);
      // As the build does.
      for (const [ending, body] of Object.entries(compressedForms(name, Buffer.from(text)) ?? {})) {
        await writeFile(file + ending, body);
      }
    }
    app = await StaticApp.load(folder);
  });

  const get = (path: string, acceptEncoding: string) => {
    const headers = {
      ...{ host: 'h', origin: '', cookie: '', authorization: '', contentType: '', ifMatch: '', ifNoneMatch: '' },
    };
    const request: Request = {
      ...{ method: 'GET', path, query: new URLSearchParams(), body: '', remoteAddress: '127.0.0.1', secure: false },
      headers: { ...headers, forwarded: false, userAgent: '', acceptEncoding },
      signal: new AbortController().signal,
    };
    const reply = app.answer(request);
    if (!('body' in reply) || !(reply.body instanceof Uint8Array)) throw new Error('no bytes');
    return { coding: reply.headers['content-encoding'], body: reply.body };
  };

  it('is sent compressed in the best way that the browser takes', () => {
    const brotli = get('/assets/app-1a2b.js', 'gzip, deflate, br, zstd');
    expect(brotli.coding).to.equal('br');
    expect(brotliDecompressSync(brotli.body).toString()).to.equal(SCRIPT);
    const gzip = get('/assets/app-1a2b.js', 'gzip;q=0.8');
    expect(gzip.coding).to.equal('gzip');
    expect(gunzipSync(gzip.body).toString()).to.equal(SCRIPT);
  });

  it('is sent as it is to whoever takes nothing else, and where compressing gains nothing', () => {
    for (const [path, accepted] of [
      ['/assets/app-1a2b.js', ''],
      ['/assets/app-1a2b.js', 'identity'],
      ['/assets/small-1a2b.js', 'br'],
    ] as const) {
      expect(get(path, accepted).coding, `${path} ${accepted}`).to.equal(undefined);
    }
    expect(Buffer.from(get('/assets/app-1a2b.js', '').body).toString()).to.equal(SCRIPT);
  });

  it('is compressed from what the build has written, file by file', async () => {
    const files = await readdir('dist/dashboard', { recursive: true });
    const coded = files.filter((file) => file.endsWith('.br'));
    expect(coded.length).to.be.greaterThan(5);
    for (const file of coded) {
      const plain = await readFile(join('dist/dashboard', file.slice(0, -3)));
      expect(brotliDecompressSync(await readFile(join('dist/dashboard', file))).equals(plain), file).to.equal(true);
      const gzip = await readFile(join('dist/dashboard', file.replace(/br$/, 'gz')));
      expect(gunzipSync(gzip).equals(plain), file).to.equal(true);
    }
  });
});
