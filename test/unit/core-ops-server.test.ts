import { createServer } from 'node:net';
import { expect } from 'chai';
import { ConfigInvalid } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import { Metrics } from '../../core/metrics.ts';
import { OpsServer } from '../../core/ops-server.ts';

describe('the port for operators', () => {
  let health: Health[];
  let ops: OpsServer;
  let metrics: Metrics;

  beforeEach(async () => {
    health = [{ name: 'queue', ok: true }];
    metrics = new Metrics();
    ops = new OpsServer({ host: '127.0.0.1', port: 0, health: () => health, metrics });
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

  it('joins what several roles say of one dependency: it is ready when it is for all, and says all that is wrong', async () => {
    health.push({ name: 'queue', ok: false, why: 'full' }, { name: 'queue', ok: true });
    const checks = async () => JSON.parse(await (await ask('/readyz')).text());
    expect((await ask('/readyz')).status).to.equal(503);
    expect(await checks()).to.deep.equal({ ok: false, checks: [{ name: 'queue', ok: false, why: 'full' }] });
    health.push({ name: 'queue', ok: false, why: 'away' }, { name: 'queue', ok: false, why: 'full' });
    expect((await checks()).checks).to.deep.equal([{ name: 'queue', ok: false, why: 'full; away' }]);
    health = [
      { name: 'log', ok: true },
      { name: 'log', ok: false, why: 'late', optional: true },
    ];
    expect(await checks()).to.deep.equal({
      ok: true,
      checks: [{ name: 'log', ok: false, why: 'late', optional: true }],
    });
    health.unshift({ name: 'log', ok: false, why: 'needed' });
    expect(await checks()).to.deep.equal({ ok: false, checks: [{ name: 'log', ok: false, why: 'needed; late' }] });
  });

  it('shows what the process counts, in the form that Prometheus scrapes', async () => {
    metrics.addProcess();
    metrics.counter('loam_tests_total', 'Tests', ['farm']).inc({ farm: 'north' }, 3);
    const answer = await ask('/metrics');
    expect(answer.status).to.equal(200);
    expect(answer.headers.get('content-type')).to.match(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    expect(text)
      .to.contain('\nloam_tests_total{farm="north"} 3\n')
      .and.to.match(/^nodejs_eventloop_lag_p99_seconds /m);
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
    const second = new OpsServer({ host: '127.0.0.1', port, health: () => health, metrics });
    const error: unknown = await second.start().catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(ConfigInvalid).and.to.include({ setting: 'LOAM_OPS_PORT' });
    await new Promise((resolve) => other.close(resolve));
  });
});
