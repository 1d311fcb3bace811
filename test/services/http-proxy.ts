import { Agent, createServer, type IncomingHttpHeaders, request } from 'node:http';
import { atEnd } from './cleanup.ts';

/**
 * What a proxy does with a request instead of passing it on: an answer, after `afterMs` if that is told, or `hang`, no answer at all.
 * `reset` breaks the connection instead of an answer; `half` passes the request on, and breaks it in the middle of the server's answer.
 */
export type Fault =
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
      readonly afterMs?: number;
    }
  | 'hang'
  | 'reset'
  | 'half';

/** A request as it came. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly body: Buffer;
}

/** An HTTP proxy that can answer in its server's place. */
export interface HttpProxy {
  port: number;
  /** Requests that reached the server, and those that were answered here. */
  readonly passed: number;
  readonly faulty: number;
  /** From now on `decide` says what becomes of each request; undefined passes it on. */
  set(decide: (asked: Asked) => Fault | undefined): void;
  /** Passes everything on again; what hangs stays without an answer. */
  clear(): void;
  /** From now on every request that is passed on waits so long first, ms: a server far away. */
  delay(ms: number): void;
  close(): Promise<void>;
}

/** Starts an HTTP proxy in front of a server on loopback. It listens there, too, or on `listenAddress`. */
export async function startHttpProxy(targetPort: number, listenAddress = '127.0.0.1'): Promise<HttpProxy> {
  const agent = new Agent({ keepAlive: true });
  let decide: (asked: Asked) => Fault | undefined = () => undefined;
  let delayMs = 0;
  let passed = 0;
  let faulty = 0;
  const server = createServer((incoming, outgoing) => {
    const pieces: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => pieces.push(piece));
    incoming.on('end', () => {
      const { method = '', url = '', headers } = incoming;
      const asked = { method, url, body: Buffer.concat(pieces) };
      const fault = decide(asked);
      if (fault === undefined) {
        passed += 1;
        if (delayMs > 0) setTimeout(() => pass(asked, headers), delayMs);
        else pass(asked, headers);
        return;
      }
      faulty += 1;
      if (fault === 'hang') return;
      if (fault === 'reset') return outgoing.destroy();
      if (fault === 'half') return pass(asked, headers, true);
      const answer = () => outgoing.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      if (fault.afterMs === undefined) answer();
      else setTimeout(answer, fault.afterMs);
    });

    const pass = ({ method, url, body }: Asked, headers: IncomingHttpHeaders, isHalf = false) => {
      const onward = request({ host: '127.0.0.1', port: targetPort, method, path: url, headers, agent }, (answer) => {
        if (isHalf) {
          answer.resume();
          outgoing.socket?.end(`HTTP/1.1 ${answer.statusCode} H`);
          return;
        }
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      onward.on('error', () => outgoing.destroy());
      onward.end(body);
    };
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, listenAddress, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('an HTTP server has an address with a port');
  const close = async () => {
    forget();
    agent.destroy();
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
  const forget = atEnd({ end: close, exit: () => {} });
  return {
    port: address.port,
    get passed() {
      return passed;
    },
    get faulty() {
      return faulty;
    },
    set: (next) => {
      decide = next;
    },
    clear: () => {
      decide = () => undefined;
    },
    delay: (ms) => {
      delayMs = ms;
    },
    close,
  };
}
