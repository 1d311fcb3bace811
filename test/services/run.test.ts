import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { itIfLong } from './length.ts';
import { temporaryFolder } from './wait.ts';

/** What `npm test` says of one file with this text, and how it ends. */
async function run(source: string): Promise<{ code: unknown; said: string }> {
  const file = join(await temporaryFolder(), 'some.test.js');
  await writeFile(file, source);
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/run.ts', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, LOAM_TEST_SILENCE_MS: '10000' },
  });
  const ended = once(child, 'close');
  const said = await text(child.stdout);
  const [code] = await ended;
  return { code, said };
}

describe('the run of all tests', function () {
  this.timeout(120_000);

  itIfLong('ends a test that never gives the processor back, names it, and fails', async () => {
    const { code, said } = await run(`describe('some', () => {
      it('goes well', () => {});
      it('spins for ever', () => { for (;;); });
    });`);
    expect(code).to.not.equal(0);
    expect(said).to.include('✔ goes well').and.to.include('some spins for ever');
  });

  it('shows what passed and exits 0', async () => {
    const { code, said } = await run(`describe('some', () => { it('goes well', () => {}); });`);
    expect(code).to.equal(0);
    expect(said)
      .to.include('✔ goes well')
      .and.to.match(/^ {2}1 passing/m);
  });
});
