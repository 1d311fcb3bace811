import { createServer } from 'node:net';
import { expect } from 'chai';
import { ConfigInvalid } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import { OpsServer } from '../../core/ops-server.ts';

describe('the port for operators', () => {
  let health: Health[];
  let ops: OpsServer;

  beforeEach(async () => {
    health = [{ name: 'queue', ok: true }];
    ops = new OpsServer({ host: '127.0.0.1', port: 0, health: () => health });
    await ops.start();
  });

  afterEach(() => ops.stop());

  const ask = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${ops.port}${path}`, { method });

  it('says that the process lives', async () => {
    const answer = await ask('/healthz');
    expect(answer.status).to.equal(200);
    expect(await answer.json()).to.deep.equal({ ok: true });
  });

  it('is ready when every dependency is, and names the one that is not, with 503', async () => {
    expect((await ask('/readyz')).status).to.equal(200);
    health.push({ name: 'store', ok: false, why: 'connect ECONNREFUSED' });
    const answer = await ask('/readyz');
    expect(answer.status).to.equal(503);
    expect(await answer.json()).to.deep.equal({ ok: false, checks: health });
  });

  it('answers nothing else', async () => {
    expect((await ask('/metrics/../etc')).status).to.equal(404);
    expect((await ask('/readyz', 'POST')).status).to.equal(405);
  });

  it('says which setting is wrong when the port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const address = other.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const second = new OpsServer({ host: '127.0.0.1', port, health: () => health });
    const error: unknown = await second.start().catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(ConfigInvalid).and.to.include({ setting: 'LOAM_OPS_PORT' });
    await new Promise((resolve) => other.close(resolve));
  });
});
