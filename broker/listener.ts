import { createServer, type Server, type Socket } from 'node:net';
import { ConfigInvalid, explain } from '../core/errors.ts';

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly maxConnections: number;
  readonly onSocket: (socket: Socket) => void;
  /** Called for a socket that was closed at once because there are too many. */
  readonly onDrop: () => void;
}

const IDLE_PROBE_MS = 60_000;

/** The TCP socket that clients connect to. */
export class Listener {
  private readonly options: ListenerOptions;
  private readonly server: Server;

  constructor(options: ListenerOptions) {
    this.options = options;
    // Answers are small and each is waited for; a peer that vanished is found out even when its keepalive is 0.
    this.server = createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: IDLE_PROBE_MS },
      options.onSocket,
    );
    this.server.maxConnections = options.maxConnections;
    this.server.on('drop', options.onDrop);
  }

  /** Resolves with the port when sockets are taken. Rejects with ConfigInvalid when the address cannot be listened on. */
  listen(): Promise<number> {
    const { host, port } = this.options;
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => reject(cannotListen(host, port, error));
      this.server.once('error', failed);
      this.server.listen({ host, port, backlog: 4_096 }, () => {
        this.server.off('error', failed);
        const address = this.server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** Takes no more sockets. Those that are open stay open. */
  close(): void {
    this.server.close();
  }
}

const CAUSES: Readonly<Record<string, { setting: string; cause: string }>> = {
  EADDRINUSE: { setting: 'LOAM_MQTT_PORT', cause: 'another program listens there already' },
  EACCES: { setting: 'LOAM_MQTT_PORT', cause: 'this user may not listen there (ports below 1024 need a privilege)' },
  EADDRNOTAVAIL: { setting: 'LOAM_MQTT_HOST', cause: 'this machine has no such address' },
  ENOTFOUND: { setting: 'LOAM_MQTT_HOST', cause: 'this host name is not known' },
  EAI_AGAIN: { setting: 'LOAM_MQTT_HOST', cause: 'this host name cannot be looked up' },
};

function cannotListen(host: string, port: number, error: NodeJS.ErrnoException): ConfigInvalid {
  const { setting, cause } = CAUSES[error.code ?? ''] ?? { setting: 'LOAM_MQTT_HOST', cause: explain(error) };
  const value = setting === 'LOAM_MQTT_PORT' ? port : host;
  return new ConfigInvalid(setting, `${setting}=${value}: cannot listen for MQTT on ${host}:${port}: ${cause}`, {
    cause: error,
  });
}
