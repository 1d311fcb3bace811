import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { z } from 'zod';
import { shortOrLong } from '../services/length.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const figures = z.record(z.string(), z.number());
const outcome = z.object({
  bench: z.literal('encoding'),
  unit: z.string(),
  loam: z.number().positive(),
  peers: figures,
  ratio: figures,
  detail: z.record(z.string(), z.record(z.string(), z.number())),
  machine: z.object({ cpu: z.string(), cores: z.number() }),
  versions: z.record(z.string(), z.string()),
});

function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const command = ['--import', 'tsx', 'bench/main.ts', ...args];
    execFile(process.execPath, command, { cwd: root }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

describe('npm run bench', () => {
  it('lists what there is and exits 2 when asked for anything else', async () => {
    for (const args of shortOrLong([['constructor']], [[], ['nothing'], ['constructor'], ['encoding', '--fast']])) {
      const { code, stdout, stderr } = await bench(...args);
      expect(code, args.join(' ')).to.equal(2);
      expect(stdout).to.equal('');
      expect(stderr).to.include('encoding');
    }
  });

  it('ends with one object on standard output when asked for JSON', async () => {
    const { code, stdout } = await bench('encoding', '--quick', '--json');
    expect(code).to.equal(0);
    const { loam, peers, ratio } = outcome.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
    for (const [name, peer] of Object.entries(peers)) expect(ratio[name]).to.be.closeTo(loam / peer, 0.01);
  });
});
