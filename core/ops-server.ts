import { createServer, type Server } from 'node:http';
import { ConfigInvalid, explain } from './errors.ts';
import { type Health, type Part, readiness } from './lifecycle.ts';

/** Answers `/healthz` (the process lives) and `/readyz` (each dependency by name; 503 when one is down) of a role. */
export class OpsServer implements Part {
  readonly name = 'ops';
  private readonly host: string;
  private readonly wantedPort: number;
  private readonly health: () => readonly Health[];
  private readonly server: Server;

  constructor(options: { host: string; port: number; health: () => readonly Health[] }) {
    this.host = options.host;
    this.wantedPort = options.port;
    this.health = options.health;
    this.server = createServer((request, response) => {
      const { status, body } = this.answer(request.method ?? '', request.url ?? '');
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(JSON.stringify(body));
    });
    this.server.requestTimeout = 5_000;
    this.server.maxConnections = 100;
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

  private answer(method: string, url: string): { status: number; body: unknown } {
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: { ok: false } };
    switch (url.split('?', 1)[0]) {
      case '/healthz':
        return { status: 200, body: { ok: true } };
      case '/readyz': {
        const { ok, checks } = readiness(this.health());
        return { status: ok ? 200 : 503, body: { ok, checks } };
      }
      default:
        return { status: 404, body: { ok: false } };
    }
  }
}
