import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { itIfLong } from '../services/length.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';

const RUNNING = /Loam is running/;
const OPS = /"ops":"(\S+?)"/;
const answer = z.object({
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), why: z.string().optional() })),
});

/** The check of the store in `/readyz`, once Loam runs. */
async function storeOf(loam: LoamProcess) {
  await loam.says(RUNNING);
  const [, address = ''] = await loam.says(OPS);
  const { checks } = answer.parse(await (await fetch(`http://${address}/readyz`)).json());
  return checks.find(({ name }) => name === 'store');
}

describe('a DuckDB file that is damaged', function () {
  this.timeout(240_000);
  let loam: LoamProcess | undefined;

  after(async () => {
    await loam?.stop('SIGKILL');
  });

  itIfLong('is named by Loam, which runs, and takes another file without a restart', async () => {
    const data = join(await temporaryFolder(), 'data');
    const file = join(data, 'readings.duckdb');
    const env = { LOAM_DATA: data, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(RUNNING);
    expect(await loam.stop()).to.equal(0);

    const damaged = await open(file, 'r+');
    await damaged.write(Buffer.alloc(4_096, 0xa5), 0, 4_096, 0);
    await damaged.close();
    loam = new LoamProcess(['up', '--no-demo'], env);
    const store = await storeOf(loam);
    expect(store?.ok).to.equal(false);
    expect(store?.why).to.contain(`${file} is damaged`);

    await rename(file, `${file}.damaged`);
    const running = loam;
    await until('the store to be there', async () => (await storeOf(running))?.ok, { timeoutMs: 60_000 });
    expect(await loam.stop()).to.equal(0);
  });
});
