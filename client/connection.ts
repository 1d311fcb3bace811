import { SUBPROTOCOL } from './messages.ts';

/** One connection to the server. After `close` none of its handlers is called. */
export interface Line {
  send(text: string): void;
  close(): void;
}

export interface LineHandlers {
  opened(): void;
  message(data: string): void;
  /** The connection broke or could not be made; `code` is the WebSocket close code. */
  closed(code: number): void;
}

/** The part of a WebSocket that a line uses. The WebSockets of browsers, of Node and of the package `ws` have it. */
export interface Socket {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(): void;
}

/**
 * Returns a function that connects to `address` (`ws://…/ws` or `wss://…/ws`). If it is a function, it is called at
 * each try.
 * `open` makes the WebSocket: `(address, protocol) => new WebSocket(address, protocol)`.
 */
export function dialWith(
  open: (address: string, protocol: string) => Socket,
  address: string | (() => string),
): (handlers: LineHandlers) => Line {
  return (handlers) => {
    const socket = open(typeof address === 'string' ? address : address(), SUBPROTOCOL);
    let over = false;
    socket.onopen = () => {
      if (!over) handlers.opened();
    };
    socket.onmessage = ({ data }: { data?: unknown }) => {
      if (!over && typeof data === 'string') handlers.message(data);
    };
    // A `close` event always follows and reports the failure. Without a listener, the error would be unhandled.
    socket.onerror = () => undefined;
    socket.onclose = ({ code = 1006 }: { code?: number }) => {
      if (over) return;
      over = true;
      handlers.closed(code);
    };
    return {
      send: (text) => socket.send(text),
      close: () => {
        over = true;
        socket.close();
      },
    };
  };
}
