import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LoamProcess } from '../../test/e2e/loam-process.ts';
import { atEnd } from '../../test/services/cleanup.ts';
import { temporaryFolder } from '../../test/services/wait.ts';

/** A `loam` command that serves, in a process of its own. */
export interface LoamServer {
  readonly pid: number;
  /** Its data folder. */
  readonly data: string;
  /** Resolves with the first match in what it has said or will say. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  /** Ends it in good order. */
  close(): Promise<void>;
}

/** Where `loam broker` and `loam up` say that their MQTT port is. */
export const MQTT_ADDRESS = /(?:"mqtt":"|publish to )(127\.0\.0\.1:\d+)/;

/** Where `loam up` says that its gateway answers. */
export const HTTP_ADDRESS = /Open (http:\/\/127\.0\.0\.1:\d+)/;
/** Where any role says that it answers operators. */
export const OPS_ADDRESS = /"ops":"(127\.0\.0\.1:\d+)"/;

/** Starts `loam COMMAND` on free ports with a registry and a data folder of its own. `env` holds further settings. */
export async function startLoam(
  command: 'broker' | 'worker' | 'gateway' | 'up',
  registryYaml: string,
  env: Readonly<Record<string, string>>,
): Promise<LoamServer> {
  const data = await temporaryFolder();
  const registry = join(data, 'registry.yaml');
  await writeFile(registry, registryYaml);
  const loam = new LoamProcess([command], {
    LOAM_DATA: data,
    LOAM_REGISTRY: registry,
    LOAM_MQTT_PORT: '0',
    LOAM_HTTP_PORT: '0',
    LOAM_OPS_PORT: '0',
    LOAM_LOG_LEVEL: 'info',
    ...env,
  });
  const close = async () => {
    forget();
    await loam.stop();
  };
  const forget = atEnd({ end: close, exit: () => loam.child.kill('SIGKILL') });
  return { pid: loam.child.pid ?? 0, data, says: (pattern) => loam.says(pattern), close };
}
