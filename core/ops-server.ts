import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { ConfigInvalid, explain } from './errors.ts';
import { type Health, type Part, readiness } from './lifecycle.ts';
import type { Metrics } from './metrics.ts';

/** How long the headers of a request may take, and how often that is looked at, ms. */
const REQUEST_MS = 5_000;
const CHECK_MS = 1_000;
const MOST_CONNECTIONS = 100;

interface OpsAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Answers `/healthz` (the process lives), `/readyz` (each dependency by name; 503 when one is down) and `/metrics` of a role. */
export class OpsServer implements Part {
  readonly name = 'ops';
  private readonly host: string;
  private readonly wantedPort: number;
  private readonly health: () => readonly Health[];
  private readonly metrics: Metrics;
  private readonly server: Server;
  /** The oldest first. */
  private readonly sockets = new Set<Socket>();

  constructor(options: { host: string; port: number; health: () => readonly Health[]; metrics: Metrics }) {
    this.host = options.host;
    this.wantedPort = options.port;
    this.health = options.health;
    this.metrics = options.metrics;
    const times = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: CHECK_MS };
    this.server = createServer(times, (request, response) => {
      void this.answer(request.method ?? '', request.url ?? '').then(({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
        response.end(body);
      });
    });
    // Who watches Loam gets in, however many connections say nothing: the oldest makes room.
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      const [oldest] = this.sockets;
      if (this.sockets.size > MOST_CONNECTIONS) oldest?.destroy();
    });
  }

  /** The port in use, once started. */
  get port(): number {
    const address = this.server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  }

  /** Rejects with ConfigInvalid when it cannot listen there. */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (cause) =>
        reject(
          new ConfigInvalid(
            'LOAM_OPS_PORT',
            `LOAM_OPS_PORT: cannot listen on ${this.host}:${this.wantedPort}: ${explain(cause)}`,
            { cause },
          ),
        ),
      );
      this.server.listen(this.wantedPort, this.host, resolve);
    });
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  /** Never rejects. */
  private async answer(method: string, url: string): Promise<OpsAnswer> {
    if (method !== 'GET' && method !== 'HEAD') return json(405, { ok: false });
    switch (url.split('?', 1)[0]) {
      case '/healthz':
        return json(200, { ok: true });
      case '/readyz': {
        const { ok, checks } = readiness(this.health());
        return json(ok ? 200 : 503, { ok, checks });
      }
      case '/metrics':
        return await this.measured();
      default:
        return json(404, { ok: false });
    }
  }

  private async measured(): Promise<OpsAnswer> {
    try {
      return { status: 200, type: this.metrics.contentType, body: await this.metrics.text() };
    } catch (error) {
      return json(500, { ok: false, why: explain(error) });
    }
  }
}

function json(status: number, body: unknown): OpsAnswer {
  return { status, type: 'application/json', body: JSON.stringify(body) };
}
