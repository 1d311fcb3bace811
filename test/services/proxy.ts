import { connect, createServer, type Socket } from 'node:net';
import { atEnd } from './cleanup.ts';

/** A TCP proxy that can be a bad network between a client and a server. */
export interface Proxy {
  port: number;
  /** Destroys every connection, and each new one as it comes, until `restore`. */
  cut(): void;
  restore(): void;
  /** Keeps connections open, and takes new ones, but passes no byte either way until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Destroys every connection and stops listening. */
  close(): Promise<void>;
}

/**
 * Starts a proxy in front of a server; what a slow side does not take holds the other side back. A function chooses the server anew for
 * each connection, as a load balancer does. It listens on loopback, or on `listenAddress`.
 */
export async function startProxy(
  targetPort: number | (() => number),
  targetHost = '127.0.0.1',
  listenAddress = '127.0.0.1',
): Promise<Proxy> {
  const portOf = typeof targetPort === 'function' ? targetPort : () => targetPort;
  const pairs = new Set<[Socket, Socket]>();
  let isCut = false;
  let isFrozen = false;

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const target = connect({ port: portOf(), host: targetHost, allowHalfOpen: true, noDelay: true });
    const pair: [Socket, Socket] = [client, target];
    pairs.add(pair);
    const over = () => pairs.delete(pair);
    endTogether(client, target, over);
    endTogether(target, client, over);
    if (!isFrozen) {
      join(pair);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, listenAddress, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new Error('a TCP server has an address with a port');
  }

  const destroyAll = () => {
    for (const socket of [...pairs].flat()) {
      socket.destroy();
    }
  };
  const close = async () => {
    forget();
    destroyAll();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
  const forget = atEnd({ end: close, exit: () => {} });
  return {
    port: address.port,
    cut: () => {
      isCut = true;
      destroyAll();
    },
    restore: () => {
      isCut = false;
    },
    freeze: () => {
      isFrozen = true;
      pairs.forEach(part);
    },
    thaw: () => {
      if (isFrozen) {
        isFrozen = false;
        pairs.forEach(join);
      }
    },
    close,
  };
}

function join([client, target]: [Socket, Socket]): void {
  client.pipe(target);
  target.pipe(client);
}

function part(pair: [Socket, Socket]): void {
  for (const socket of pair) {
    socket.unpipe();
    socket.pause();
  }
}

/** A connection that ended in good order lets the other side take its last bytes; a broken one does not. */
function endTogether(socket: Socket, other: Socket, over: () => void): void {
  // An error is followed by 'close', which deals with it.
  socket.on('error', () => {});
  socket.on('close', (broken) => {
    over();
    if (broken || !socket.readableEnded) {
      other.destroy();
    } else {
      other.end();
    }
  });
}
