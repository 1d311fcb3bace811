import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { hashSecret } from '../../core/secrets.ts';
import { startBroker, Valve } from '../broker/harness.ts';
import { run } from '../e2e/loam-process.ts';
import { itIfLong } from '../services/length.ts';
import { Book } from '../services/registry.ts';
import { freePort, temporaryFolder } from '../services/wait.ts';

const IDS = ['probe-1', 'probe-2'];
const REGISTRY = `farms: [{ id: north, name: North, timezone: UTC }]
sensors:
${IDS.map((id) => `  - { id: ${id}, farm: north, secret: ${hashSecret(`secret-${id}`)} }`).join('\n')}
`;
const PROFILE = 'groups: [{ name: probe, count: 2, farm: north, interval: 200ms }]\n';

describe('loam simulate', function () {
  this.timeout(120_000);
  let folder: string;
  let env: Record<string, string>;
  let valve: Valve;
  let broker: Broker;

  beforeEach(async () => {
    folder = await temporaryFolder();
    env = { LOAM_DATA: folder };
    await writeFile(join(folder, 'profile.yaml'), PROFILE);
    await secrets((id) => `secret-${id}`);
    valve = new Valve(await openFileQueue(join(folder, 'queue')));
    broker = await startBroker(valve, { registry: new Book(REGISTRY) });
  });
  afterEach(async () => {
    await broker.stop(2_000);
    await valve.close();
  });

  const secrets = (of: (id: string) => string) =>
    writeFile(
      join(folder, 'secrets.json'),
      JSON.stringify(IDS.map((id) => ({ id, farm: 'north', secret: of(id), kind: 'soil', seed: 0 }))),
    );
  const simulate = (port = broker.port) => {
    const files = ['--profile', join(folder, 'profile.yaml'), '--secrets', join(folder, 'secrets.json')];
    return run(['simulate', ...files, '--mqtt', `mqtt://127.0.0.1:${port}`, '--for', '2s'], env);
  };

  it('exits 0 when all was acknowledged, and says how much', async () => {
    const { code, stdout, stderr } = await simulate();
    expect(code, stdout + stderr).to.equal(0);
    const [, acknowledged] = /(\d+) acknowledged/.exec(stdout) ?? [];
    expect(Number(acknowledged), stdout).to.equal(broker.counters.received).and.to.be.above(4);
  });

  itIfLong('exits 1 when something was not acknowledged, and says how much', async () => {
    valve.refuse('unavailable');
    const { code, stdout, stderr } = await simulate();
    expect(code, stdout + stderr).to.equal(1);
    expect(stdout).to.match(/, 0 acknowledged \(.*\), [1-9]\d* not, /);
  });

  it('exits 2 for a wrong profile, and says where', async () => {
    await writeFile(join(folder, 'profile.yaml'), `${PROFILE}intervall: 3s\n`);
    const { code, stderr } = await simulate();
    expect(code).to.equal(2);
    expect(stderr).to.include('profile.yaml').and.to.include('intervall');
  });

  itIfLong('exits 3 when nobody answers', async () => {
    const port = await freePort();
    const { code, stderr } = await simulate(port);
    expect(code).to.equal(3);
    expect(stderr).to.include(String(port));
  });

  it('exits 4 when the broker refuses the credentials, and says whose', async () => {
    await secrets(() => 'wrong');
    const { code, stderr } = await simulate();
    expect(code).to.equal(4);
    expect(stderr).to.match(/probe-[12]/);
  });
});
