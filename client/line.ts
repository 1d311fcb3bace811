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

/** What a line needs of a WebSocket: a browser's has it, Node's own, and that of the package `ws`. */
export interface Socket {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(): void;
}

/**
 * A function that dials `address` (`ws://…/ws` or `wss://…/ws`). `open` makes the WebSocket:
 * `(address, protocol) => new WebSocket(address, protocol)`. `address` may be a function, asked at each try.
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
    // What failed is told by `close`, which always follows; without a listener Node would take an error for unhandled.
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
