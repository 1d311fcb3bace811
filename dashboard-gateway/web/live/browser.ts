import type { Line, LineHandlers, LiveClient } from './client.ts';
import { SUBPROTOCOL } from './messages.ts';

/** Dials the gateway that served this page. */
export function dialGateway(handlers: LineHandlers): Line {
  const address = new URL('/ws', window.location.href);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(address, SUBPROTOCOL);
  let over = false;
  socket.onopen = () => {
    if (!over) handlers.opened();
  };
  socket.onmessage = (event: MessageEvent<unknown>) => {
    if (!over && typeof event.data === 'string') handlers.message(event.data);
  };
  // A failed connection fires `error` and then always `close`.
  socket.onclose = (event) => {
    if (over) return;
    over = true;
    handlers.closed(event.code);
  };
  return {
    send: (text) => socket.send(text),
    close: () => {
      over = true;
      socket.close();
    },
  };
}

/** Tells the client when the network comes or goes and when the page comes back to the front. */
export function wakeWithDevice(client: LiveClient): void {
  window.addEventListener('online', () => client.wake());
  window.addEventListener('offline', () => client.sleep());
  window.addEventListener('pageshow', () => client.wake());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') client.wake();
  });
}
