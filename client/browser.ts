import type { LiveClient } from './client.ts';
import { dialWith, type Line, type LineHandlers } from './connection.ts';

/** Dials the gateway that served this page. */
export const dialGateway: (handlers: LineHandlers) => Line = dialWith(
  (address, protocol) => new WebSocket(address, protocol),
  () => {
    const address = new URL('/ws', window.location.href);
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
    return address.href;
  },
);

/** Tells `client` when the network comes or goes and the page becomes visible. Returns a function that ends this. */
export function wakeWithDevice(client: LiveClient): () => void {
  const ended = new AbortController();
  const { signal } = ended;
  window.addEventListener('online', () => client.wake(), { signal });
  window.addEventListener('offline', () => client.sleep(), { signal });
  window.addEventListener('pageshow', () => client.wake(), { signal });
  const seen = () => {
    if (document.visibilityState === 'visible') client.wake();
  };
  document.addEventListener('visibilitychange', seen, { signal });
  return () => ended.abort();
}
