import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { ConfigInvalid } from '../../core/errors.ts';
import { HttpProblem } from './problem.ts';
import type { Reply } from './reply.ts';
import type { Request } from './request.ts';

const MAX_FILES = 1_000;
const MAX_BYTES = 64 * 1024 * 1024;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};

/** Content codings by file ending, the better one first. The build writes these files beside the plain one. */
const CODINGS = [
  ['.br', 'br'],
  ['.gz', 'gzip'],
] as const;

interface Asset {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** The compressed bodies by content coding, the better one first. */
  readonly coded: readonly { readonly coding: string; readonly body: Uint8Array }[];
}

/**
 * The built browser app, held in memory: a request is looked up in a map and never touches the file system,
 * so no path can lead out of the folder.
 */
export class StaticApp {
  private readonly assets: ReadonlyMap<string, Asset>;

  private constructor(assets: ReadonlyMap<string, Asset>) {
    this.assets = assets;
  }

  /**
   * Reads all files of `folder`. If the folder does not exist, the app answers `app-not-built`. Rejects with
   * ConfigInvalid when it is too big.
   */
  static async load(folder: string): Promise<StaticApp> {
    const files = new Map<string, Uint8Array>();
    let bytes = 0;
    for (const path of await filesUnder(folder)) {
      const file = join(folder, path);
      bytes += (await stat(file)).size;
      if (files.size >= MAX_FILES || bytes > MAX_BYTES) {
        throw new ConfigInvalid('webFolder', `${folder}: a browser app has at most ${MAX_FILES} files and 64 MiB`);
      }
      files.set(path, await readFile(file));
    }
    const plain = [...files].filter(([path]) => !isCoded(path, files));
    return new StaticApp(new Map(plain.map(([path, body]) => [`/${path}`, asset(path, body, files)])));
  }

  get built(): boolean {
    return this.assets.has('/index.html');
  }

  /** The app's answer to GET or HEAD. Throws HttpProblem `not-found`, `method-not-allowed` or `app-not-built`. */
  answer(request: Request): Reply {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw this.assets.has(request.path)
        ? new HttpProblem('method-not-allowed', undefined, { allow: 'GET' })
        : new HttpProblem('not-found');
    }
    const asset = this.find(request.path);
    if (!asset) throw new HttpProblem('not-found');
    if (request.headers.ifNoneMatch.includes(asset.headers.etag ?? '-')) {
      return { status: 304, headers: asset.headers };
    }
    const accepted = request.headers.acceptEncoding.split(',').map((coding) => coding.split(';')[0]?.trim());
    const coded = asset.coded.find(({ coding }) => accepted.includes(coding));
    if (!coded) return { status: 200, headers: asset.headers, body: asset.body };
    return { status: 200, headers: { ...asset.headers, 'content-encoding': coded.coding }, body: coded.body };
  }

  private find(path: string): Asset | undefined {
    const exact = this.assets.get(path);
    if (exact) return exact;
    // A path without a dot is a route of the browser app, which handles it itself.
    if (path.includes('.')) return undefined;
    if (!this.built) throw new HttpProblem('app-not-built', 'run `npm run build`, then start again');
    return this.assets.get('/index.html');
  }
}

async function filesUnder(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, '/').length))
      .map((path) => path.replaceAll('\\', '/'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

type Files = ReadonlyMap<string, Uint8Array>;

function isCoded(path: string, files: Files): boolean {
  return CODINGS.some(([ending]) => path.endsWith(ending) && files.has(path.slice(0, -ending.length)));
}

function asset(path: string, body: Uint8Array, files: Files): Asset {
  // The build puts a hash of the content into the names of the files in assets/, so a file of one name never changes.
  const forever = path.startsWith('assets/');
  return {
    body,
    coded: CODINGS.flatMap(([ending, coding]) => {
      const coded = files.get(path + ending);
      return coded ? [{ coding, body: coded }] : [];
    }),
    headers: {
      vary: 'accept-encoding',
      'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
      'cache-control': forever ? 'public, max-age=31536000, immutable' : 'no-cache',
      etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
    },
  };
}
