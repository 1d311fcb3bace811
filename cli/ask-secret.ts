import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { printError } from './output.ts';

/** One line from standard input; on a terminal it is asked for and not shown. */
export async function askSecret(question: string): Promise<string> {
  const terminal = process.stdin.isTTY;
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: mute, terminal });
  if (terminal) printError(question);
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
    if (terminal) printError('\n');
  }
}
