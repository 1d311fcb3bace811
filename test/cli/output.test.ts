import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { printable } from '../../core/printable.ts';
import { run } from '../e2e/loam-process.ts';
import { sources } from '../rooms/picture.ts';
import { temporaryFolder } from '../services/wait.ts';

/** Clears the screen, names the window (by C0 and by C1), turns the direction of writing, and forges a line. */
const HOSTILE = 'a\u001B[2J\u001B]0;x\u0007\u009D0;x\u009C\u202Egnp.exe\u2066\u200F\r\nforged\tline';
/** C0 but tab and line feed, DEL and C1, and what turns the direction of writing. */
const DANGEROUS = [
  [0, 8],
  [0xb, 0x1f],
  [0x7f, 0x9f],
  [0x61c, 0x61c],
  [0x200e, 0x200f],
  [0x202a, 0x202e],
  [0x2066, 0x2069],
] as const;
const isDangerous = (text: string) =>
  [...text].some((one) => DANGEROUS.some(([from, to]) => one.charCodeAt(0) >= from && one.charCodeAt(0) <= to));

describe('what the commands print', function () {
  this.timeout(60_000);

  it('has no control character of others in it, and none that turns the direction of writing', () => {
    for (let code = 0; code <= 0xffff; code++) {
      const text = String.fromCharCode(code);
      expect(isDangerous(printable(text)), `U+${code.toString(16)}`).to.equal(false);
    }
    expect(printable('Ä 😀\tx\n')).to.equal('Ä 😀\tx\n');
    const json = JSON.stringify({ name: HOSTILE });
    expect(JSON.parse(printable(json))).to.deep.equal({ name: HOSTILE });
  });

  it('goes through one place', () => {
    const others = sources().filter((path) => path.startsWith('cli/') && path !== 'cli/output.ts');
    const direct = others.filter((path) => /std(?:out|err)\.write|console\./.test(readFileSync(path, 'utf8')));
    expect(direct).to.deep.equal([]);
  });

  it('shows hostile names of the registry as they are written: in lists, when shown, as a difference, in an error', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'other.yaml');
    const env = { LOAM_DATA: join(folder, 'data'), LOAM_REGISTRY: join(folder, 'registry.yaml') };
    const registry = (name: string) =>
      `farms:\n  - { id: north, name: ${JSON.stringify(name)}, timezone: Europe/Berlin }\nsensors:\n  - { id: s1, farm: north, name: ${JSON.stringify(name)} }\n`;
    await writeFile(env.LOAM_REGISTRY, registry(HOSTILE));
    await writeFile(file, registry(`${HOSTILE}${HOSTILE}`));
    const wrong = join(folder, 'wrong.yaml');
    await writeFile(wrong, `farms:\n  - { id: ${JSON.stringify(HOSTILE)}, name: n, timezone: Europe/Berlin }\n`);
    for (const args of [
      ['sensor', 'list'],
      ['sensor', 'show', 's1', '--farm', 'north'],
      ['farm', 'list'],
      ['registry', 'diff', file],
      ['registry', 'diff', wrong],
      ['sensor', 'show', HOSTILE],
    ]) {
      const { stdout, stderr } = await run(args, env);
      const printed = `${stdout}${stderr}`;
      expect(printed, args.join(' ')).to.match(args[0] === 'registry' ? /\S/ : /\\u001[Bb]/);
      expect(isDangerous(printed), args.join(' ')).to.equal(false);
      if (args[1] === 'list') expect(printed.trim().split('\n'), args.join(' ')).to.have.length(1);
    }
  });
});
