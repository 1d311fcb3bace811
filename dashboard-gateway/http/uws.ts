import { createRequire } from 'node:module';
// Types of the older package. The newer package has everything that they describe.
import type * as Uws from '@trufflesuite/uws-js-unofficial';
import { ConfigInvalid, explain } from '../../core/errors.ts';

export type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocket,
} from '@trufflesuite/uws-js-unofficial';
export type UwsModule = Pick<
  typeof Uws,
  'App' | 'SSLApp' | 'us_listen_socket_close' | 'us_socket_local_port' | 'DISABLED'
>;

export interface LoadedUws {
  readonly uws: UwsModule;
  /** The package whose native binary is in use. */
  readonly from: string;
}

const NEWER = '@btc-vision/uwebsockets.js';
const OLDER = '@trufflesuite/uws-js-unofficial';

// When its binary does not load, the older package's own entry point silently falls back to a slow imitation. So its
// binary is loaded by name: it works or fails.
const CANDIDATES = [
  { from: NEWER, file: NEWER },
  {
    from: OLDER,
    file: `${OLDER}/binaries/uws_${process.platform}_${process.arch}_${process.versions.modules}.node`,
  },
] as const;

let loaded: LoadedUws | undefined;

/**
 * The first of two packages of uWebSockets.js whose native binary runs here.
 * Throws ConfigInvalid when neither does: the pair of Node version and C library is not one that they were built for.
 */
export function loadUws(): LoadedUws {
  if (loaded) return loaded;
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const { from, file } of CANDIDATES) {
    try {
      const uws: UwsModule = require(file);
      if (typeof uws.App !== 'function') throw new Error('it has no App');
      loaded = { uws, from };
      return loaded;
    } catch (error) {
      failures.push(`${from}: ${lastLine(explain(error))}`);
    }
  }
  throw new ConfigInvalid(
    'node',
    `no native uWebSockets.js for Node ${process.versions.node} on ${process.platform} ${process.arch} (${failures.join('; ')})`,
  );
}

function lastLine(text: string): string {
  return text.slice(-200);
}
