import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { LogLevel } from './settings.ts';

export type { Logger } from 'pino';

/**
 * One JSON line for each event on standard error, or coloured lines on a terminal. Standard output is for the results
 * of commands. Written synchronously: the line that says why a process ended must not be lost.
 */
export function createLogger(level: LogLevel): Logger {
  if (process.stderr.isTTY) {
    return pino({ level }, pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss' }));
  }
  return pino({ level }, pino.destination({ dest: 2, sync: true }));
}

/** A logger that says nothing, for tests and for parts that are used alone. */
export const silent: Logger = pino({ level: 'silent' });
