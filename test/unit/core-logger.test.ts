import { execFile } from 'node:child_process';
import { promisify, stripVTControlCharacters } from 'node:util';
import { expect } from 'chai';

const run = promisify(execFile);

/** Clears the screen by C0, names the window by C1, turns the direction of writing, and forges a line. */
const HOSTILE = 'a\u001B[2J\u0007\u009D0;x\u009C\u202Egnp.exe\u2066\b\f\r\u007F \\u001b "Ä 😀"';
const PROGRAM = `
  import { createLogger } from './core/logger.ts';
  createLogger('info').warn({ sensor: ${JSON.stringify(HOSTILE)} }, ${JSON.stringify(HOSTILE)});
`;
const NODE = [process.execPath, '--import', './test/services/typescript.js', '--input-type=module', '-e', PROGRAM];

describe('the log', function () {
  this.timeout(30_000);

  it('is JSON without a raw control character, and says the same', async () => {
    const [file = '', ...args] = NODE;
    const { stderr } = await run(file, args);
    expect(stderr.trimEnd()).to.not.match(/[\p{Cc}\p{Bidi_Control}]/u);
    expect(JSON.parse(stderr)).to.include({ sensor: HOSTILE, msg: HOSTILE });
  });

  it('sends a terminal no escape but its own colours', async () => {
    const command = NODE.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    // `script` gives it a terminal of its own; the one of macOS takes its words otherwise.
    const { stdout } = await run(
      'script',
      process.platform === 'linux' ? ['-qec', command, '/dev/null'] : ['-q', '/dev/null', ...NODE],
    );
    expect(stdout).to.not.match(/[\u007F-\u009F\p{Bidi_Control}]/u);
    const text = stripVTControlCharacters(stdout).replace(/\r?\n/g, '');
    expect(text).to.include('\\u001b[2J').and.to.include('gnp.exe').and.to.include('Ä 😀');
    expect(text).to.not.match(/[\p{Cc}\p{Bidi_Control}]/u);
  });
});
