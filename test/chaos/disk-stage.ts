import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { run } from '../e2e/loam-process.ts';
import { DiskImage } from '../services/disk-image.ts';
import { output } from '../services/process.ts';
import { freePort, temporaryFolder } from '../services/wait.ts';
import type { DiskPlace } from './disk-faults.ts';
import { Role } from './role.ts';
import { farmOf, type Stage } from './stage.ts';

const promised = z.object({ farm: z.string(), sensor: z.string(), seq: z.number(), ts: z.number() });
const audited = z.object({
  sensors: z.number(),
  promised: z.number(),
  found: z.number(),
  missing: z.number(),
  duplicates: z.number(),
  unpromised: z.number(),
  examples: z.array(promised),
});

export interface DiskStage extends Stage {
  readonly place: DiskPlace;
}

/** `loam up` with `count` sensors and its whole data folder on an ext4 of `megabytes` that can be broken. */
export async function diskStage(count: number, megabytes: number): Promise<DiskStage> {
  const folder = await temporaryFolder();
  const disk = await DiskImage.make('ext4', megabytes);
  const data = join(disk.folder, 'data');
  await mkdir(data);
  const { registry, connections } = await farmOf(data, count);
  await output('sync', ['-f', registry]);
  const port = await freePort();
  const up = new Role('up', ['up', '--no-demo'], {
    LOAM_DATA: data,
    LOAM_MQTT_PORT: String(port),
    LOAM_HTTP_PORT: '0',
    // A start that waits for room answers at the same address as one that has it.
    LOAM_OPS_PORT: String(await freePort()),
  });
  await up.ready();
  return {
    name: 'disks',
    folder,
    mqttUrl: `mqtt://127.0.0.1:${port}`,
    connections,
    roles: { up },
    place: { up, disk, data, troubles: new Map() },
    audit: async (promises) => {
      const [, url = ''] = await up.says(/Open (http:\/\/[^/\s]+)/);
      const { stdout, stderr } = await run(['audit', promises, '--json'], { LOAM_DATA: data, LOAM_URL: url });
      if (stdout === '') throw new Error(`nothing can be compared: ${stderr}`);
      return audited.parse(JSON.parse(stdout));
    },
    settled: async () => {
      const code = await up.stop();
      if (code !== 0) throw new Error(`it ended with ${code} when it was asked to stop: ${up.log.slice(-2_000)}`);
      return await openDuckdbStore(join(data, 'readings.duckdb'));
    },
    close: async () => {
      await up.end();
      await disk.close();
    },
  };
}
