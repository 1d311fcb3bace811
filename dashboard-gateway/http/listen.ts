import { createServer } from 'node:net';
import { ConfigInvalid, explain } from '../../core/errors.ts';
import type { TemplatedApp, UwsModule, us_listen_socket } from './uws.ts';

export interface Listening {
  readonly port: number;
  /** Takes no new connections from now on. */
  close(): void;
}

/**
 * Listens on `host` and `port` (0: a free one). Rejects with ConfigInvalid that names the cause and the setting.
 * uWebSockets.js does not say why it failed, and it may share a port with another process. So a server of node:net
 * tries the port first: its errors name the cause.
 */
export async function listen(uws: UwsModule, app: TemplatedApp, host: string, port: number): Promise<Listening> {
  await tryPort(host, port);
  const socket = await new Promise<us_listen_socket | false>((resolve) => app.listen(host, port, resolve));
  if (!socket) throw new ConfigInvalid('LOAM_HTTP_PORT', `LOAM_HTTP_PORT: cannot listen on ${host}:${port}`);
  return {
    port: uws.us_socket_local_port(socket),
    close: () => uws.us_listen_socket_close(socket),
  };
}

function tryPort(host: string, port: number): Promise<void> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const setting = cause.code === 'EADDRINUSE' || cause.code === 'EACCES' ? 'LOAM_HTTP_PORT' : 'LOAM_HTTP_HOST';
      const why = cause.code === 'EADDRINUSE' ? 'another program listens there' : explain(cause);
      reject(new ConfigInvalid(setting, `${setting}: cannot listen on ${host}:${port}: ${why}`, { cause }));
    });
    server.listen(port, host, () => server.close(() => resolve()));
  });
}
