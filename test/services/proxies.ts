import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateTool } from './install.ts';
import { ServerProcess } from './process.ts';
import { freePort, listening, temporaryFolder } from './wait.ts';

export const proxyNames = ['nginx', 'haproxy', 'caddy'] as const;
export type ProxyName = (typeof proxyNames)[number];

/** A proxy of somebody else's, as a process of the tests. */
export interface RealProxy {
  /** On 127.0.0.1 and on ::1. */
  readonly port: number;
  stop(): Promise<void>;
}

/** How the samples in `deploy/` are changed: no TLS, this port, and in front of `target`, a port of 127.0.0.1. */
type Written = (sample: string, port: number, target: number) => string;

const SAMPLES: Record<ProxyName, { file: string; written: Written; args: (file: string, folder: string) => string[] }> =
  {
    nginx: {
      file: 'nginx.conf',
      written: (sample, port, target) => {
        const server = replaced(sample, 'listen 443 ssl;', `listen 127.0.0.1:${port}; listen [::1]:${port};`)
          .replace(/^\s*ssl_.*$/gm, '')
          .replace('127.0.0.1:8080', `127.0.0.1:${target}`);
        return `daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http { access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
${server}}
`;
      },
      args: (file, folder) => ['-e', 'stderr', '-p', folder, '-c', file],
    },
    haproxy: {
      file: 'haproxy.cfg',
      written: (sample, port, target) =>
        replaced(sample, /bind :443 ssl.*$/m, `bind 127.0.0.1:${port},[::1]:${port}`).replace(
          '127.0.0.1:8080',
          `127.0.0.1:${target}`,
        ),
      args: (file) => ['-db', '-f', file],
    },
    caddy: {
      file: 'Caddyfile',
      written: (sample, port, target) => {
        const here = `admin off\n\tdefault_bind 127.0.0.1 [::1]\n`;
        return replaced(sample, 'admin off\n', here)
          .replace('{$LOAM_DOMAIN:localhost}', `http://:${port}`)
          .replace('{$LOAM_GATEWAY:gateway:8080}', `127.0.0.1:${target}`);
      },
      args: (file) => ['run', '--config', file, '--adapter', 'caddyfile'],
    },
  };

/**
 * Starts a proxy with its sample of `deploy/`, in front of `target`, a port of 127.0.0.1. `edit` changes what the sample
 * became. Rejects with the end of its log when it does not start, or with what to install.
 */
export async function startProxy(
  name: ProxyName,
  target: number,
  edit: (text: string) => string = (text) => text,
): Promise<RealProxy> {
  const program = await locateTool(name);
  const { file: sample, written, args } = SAMPLES[name];
  const folder = await temporaryFolder();
  const port = await freePort();
  const file = join(folder, sample);
  const text = await readFile(fileURLToPath(new URL(`../../deploy/${sample}`, import.meta.url)), 'utf8');
  await writeFile(file, edit(written(text, port, target)));
  const env = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder, PATH: process.env.PATH };
  const log = join(folder, `${name}.log`);
  const proxy = new ServerProcess({ program, args: args(file, folder), env, log });
  await proxy.start(() => listening(port), 30_000);
  return { port, stop: () => proxy.kill() };
}

function replaced(text: string, what: string | RegExp, by: string): string {
  const after = text.replace(what, by);
  if (after === text) throw new Error(`the sample has no ${String(what)}`);
  return after;
}
