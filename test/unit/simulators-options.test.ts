import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { readSimulateOptions } from '../../cli/simulate/options.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { temporaryFolder } from '../services/wait.ts';

const MQTT = { mqtt: 'mqtt://127.0.0.1:1883' };
const START = 1_764_000_000_000;

const RECORDINGS = {
  'night.ndjson': ['{"sensor":"a","ts":1000,"values":{"t":1}}', '', '{"sensor":"a","ts":61000,"values":{"t":2}}'],
  'night.csv': ['measured,sensor,metric,value', '1000000000000,a,t,1', '2001-09-09T01:47:40Z,a,t,2'],
};

async function said(options: Record<string, unknown>): Promise<string> {
  const outcome = await readSimulateOptions({ ...MQTT, ...options }).catch((error: unknown) => error);
  expect(outcome).to.be.instanceOf(ConfigInvalid);
  return String(outcome);
}

describe('the options of a simulation', () => {
  it('are refused with their name, what was given and what is allowed', async () => {
    expect(await said({ rate: '10', qos: '5' })).to.match(/--qos: got "5", allowed: 0, 1/);
    expect(await said({ shard: '5/4' })).to.match(/--shard: got "5\/4"/);
    expect(await said({ profile: 'nowhere' })).to.match(/--profile: got "nowhere", allowed: .*bad-day/);
    expect(await said({ verify: true, rate: '10' })).to.match(/--verify/);
  });

  it('play a recording at its speed, its times moved to now', async () => {
    const folder = await temporaryFolder();
    for (const [name, lines] of Object.entries(RECORDINGS)) {
      const replay = join(folder, name);
      await writeFile(replay, lines.join('\n'));
      const { script } = await readSimulateOptions({ ...MQTT, replay, speed: '60', farm: 'north' });
      const [device] = script.lines.flatMap(({ devices }) => devices);
      if (!device) throw new Error('no sensor in it');
      const sendings = [...script.sendingsOf(device, START)];
      const played = sendings.map(({ at, payload }) => [at, JSON.parse(String(payload)).ts]);
      expect(played, name).to.deep.equal([
        [0, START],
        [1_000, START + 60_000],
      ]);
    }
  });

  it('refuse a recording that is not there, is none, or has a line that is none', async () => {
    const folder = await temporaryFolder();
    for (const name of ['missing.ndjson', 'missing.csv']) {
      expect(await said({ replay: join(folder, name) })).to.match(/--replay: .*no such file/);
    }
    expect(await said({ replay: folder })).to.match(/--replay: .*is no file/);
    const wrong = join(folder, 'wrong.ndjson');
    await writeFile(wrong, '{"sensor":"a","ts":1,"values":{"t":1}}\n{"sensor":"a"}\n');
    expect(await said({ replay: wrong })).to.match(/wrong\.ndjson:2: ts/);
  });
});
