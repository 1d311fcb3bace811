import { z } from 'zod';
import { decode, packr } from './batch.ts';

/**
 * By which clock the batches of a run were received. There is one for each run of an entrance that takes publishes; when the wall clock is
 * set, or is believed again, another run begins.
 *
 * - `run` is the bare id of the run.
 * - `machine` names the time since the machine was started; `distance` is how far its wall clock was from the clock that counts from there, ms. Of two
 *   runs of one `machine`, the difference of their distances is how far the wall clock was set between them.
 * - `at` is what the wall clock said at the begin of the run, Unix ms.
 * - `doubt` says why nobody believes that clock; `''` when there is no doubt.
 * - `waits`: publishes that need a receipt wait until a later run of that machine does not wait.
 */
export interface ClockEntry {
  readonly run: string;
  readonly machine: string;
  readonly distance: number;
  readonly at: number;
  readonly doubt: string;
  readonly waits: boolean;
}

const VERSION = 1;
const text = z.string().max(1024);
const row = z.tuple([z.literal(VERSION), text, text, z.number(), z.number(), text, z.boolean()]);

/** The bytes of an entry of the log of clocks. */
export function encodeClockEntry({ run, machine, distance, at, doubt, waits }: ClockEntry): Uint8Array {
  const message: z.infer<typeof row> = [VERSION, run, machine, distance, at, doubt, waits];
  return packr.pack(message);
}

/** The entry in a message of the log of clocks. Throws EncodingInvalid. */
export function decodeClockEntry(bytes: Uint8Array): ClockEntry {
  const [, run, machine, distance, at, doubt, waits] = decode(row, bytes, 'entry of the log of clocks');
  return { run, machine, distance, at, doubt, waits };
}
