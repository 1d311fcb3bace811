import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import { printable } from './printable.ts';
import type { LogLevel } from './settings.ts';

export type { Logger } from 'pino';

/**
 * One JSON line for each event on standard error, or coloured lines on a terminal. Standard output is for the results
 * of commands. Written synchronously: the line that says why a process ended must not be lost.
 */
export function createLogger(level: LogLevel): Logger {
  if (process.stderr.isTTY) {
    const lines = pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss' });
    return pino({ level, hooks: { streamWrite: shownWhenRead } }, lines);
  }
  return pino({ level, hooks: { streamWrite: printable } }, pino.destination({ dest: 2, sync: true }));
}

/** A logger that says nothing, for tests and for parts that are used alone. */
export const silent: Logger = pino({ level: 'silent' });

/** Each escape of JSON: one of a character, or one with a letter. */
const ESCAPES = /\\(?:u[\dA-Fa-f]{4}|.)/g;

/** A line of JSON whose control characters are still escapes after it was parsed: who prints it colours it, and adds his own. */
function shownWhenRead(line: string): string {
  return printable(line).replace(ESCAPES, (one) => (/^\\[ubfr]/.test(one) ? `\\${one}` : one));
}
