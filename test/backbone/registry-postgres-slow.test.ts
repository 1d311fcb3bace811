import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { silent } from '../../core/logger.ts';
import { pause } from '../../core/timing.ts';
import { shortOrLong } from '../services/length.ts';
import { postgres } from '../services/postgres.ts';
import { until } from '../services/wait.ts';
import { farm } from './registry-things.ts';

const STEP_MS = 20;
const BYTES_A_SECOND = 375_000;

async function* slowly(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const most = (BYTES_A_SECOND * STEP_MS) / 1_000;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += most) {
      yield chunk.subarray(at, at + most);
      await pause(STEP_MS);
    }
  }
}

describe('PostgreSQL: the registry over a slow line', function () {
  this.timeout(120_000);

  it('an answer that takes long because it is long is waited for, at the start and when it is followed', async () => {
    const url = await (await postgres()).createDatabase();
    const line = createServer((client) => {
      const target = connect(Number(new URL(url).port), '127.0.0.1');
      client.on('error', () => target.destroy());
      target.on('error', () => client.destroy());
      pipeline(client, target).catch(() => {});
      pipeline(target, slowly, client).catch(() => {});
    });
    await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve));
    const place = line.address();
    const slow = new URL(url);
    slow.port = String(typeof place === 'object' ? place?.port : 0);
    const near = await openPostgresRegistry(url, { log: silent });
    const far = await openPostgresRegistry(slow.toString(), { log: silent });
    try {
      await near.apply([farm()], 'ada');
      const codec = (id: string) => ({ kind: 'codec', id, value: { id, text: `//${'x'.repeat(1_000_000)}` } }) as const;
      await near.apply(['a.js', 'b.js', 'c.js', 'd.js'].map(codec), 'ada');
      await until('the codecs are known', () => far.current().codecs.size === 4, { timeoutMs: 40_000 });
      expect(far.state.is).to.equal('up');
      await far.close();
      if (!shortOrLong(false, true)) return;
      const again = await openPostgresRegistry(slow.toString(), { log: silent });
      expect(again.current().codecs.size).to.equal(4);
      await again.close();
    } finally {
      await Promise.all([near.close(), far.close()]);
      line.close();
    }
  });
});
