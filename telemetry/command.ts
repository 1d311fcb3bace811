import { z } from 'zod';
import { decode, packr } from './batch.ts';

/**
 * A command for a sensor, as Loam took it. `payload` is JSON text in UTF-8. Times are Unix ms: Loam took it `at`, and
 * does not deliver it after `expires`. `by` is who sent it.
 */
export interface Command {
  readonly id: string;
  readonly farm: string;
  readonly sensor: string;
  readonly payload: Uint8Array;
  readonly at: number;
  readonly expires: number;
  readonly by: string;
}

/**
 * A request: `session` is to get the commands of a sensor. The session is the sensor's `own`, or a bridge's. It was
 * connected at `since`, Unix ms.
 */
export interface Claim {
  readonly farm: string;
  readonly sensor: string;
  readonly session: string;
  readonly since: number;
  readonly own: boolean;
}

/**
 * One entry of the commands log:
 * - `queued`: a command was sent;
 * - `delivered`: its sensor acknowledged it, at the broker's time `at`;
 * - `claim`: a broker wants to deliver a sensor's commands to one of its sessions;
 * - `mark`: only a place in the log. A reader that reads it has read every entry before it.
 */
export type CommandEntry =
  | { readonly kind: 'queued'; readonly command: Command }
  | {
      readonly kind: 'delivered';
      readonly id: string;
      readonly farm: string;
      readonly sensor: string;
      readonly at: number;
    }
  | { readonly kind: 'claim'; readonly claim: Claim }
  | { readonly kind: 'mark'; readonly id: string };

/** Longest time that a command is kept for a sensor that sleeps. */
export const COMMAND_MS = 24 * 3_600_000;
/** Largest JSON text of a command, bytes. */
export const MOST_COMMAND_BYTES = 4 * 1024;

const word = z.string().max(256);
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const entry = z.union([
  z.tuple([z.literal(1), z.literal('queued'), word, word, word, bytes, z.number(), z.number(), word]),
  z.tuple([z.literal(1), z.literal('delivered'), word, word, word, z.number()]),
  z.tuple([z.literal(1), z.literal('claim'), word, word, word, z.number(), z.boolean()]),
  z.tuple([z.literal(1), z.literal('mark'), word]),
]);
type CommandRow = z.infer<typeof entry>;

/** The bytes of an entry, for the commands log. */
export function encodeCommandEntry(entry: CommandEntry): Uint8Array {
  return packr.pack(toRow(entry));
}

function toRow(entry: CommandEntry): CommandRow {
  switch (entry.kind) {
    case 'queued': {
      const { id, farm, sensor, payload, at, expires, by } = entry.command;
      return [1, 'queued', id, farm, sensor, payload, at, expires, by];
    }
    case 'delivered':
      return [1, 'delivered', entry.id, entry.farm, entry.sensor, entry.at];
    case 'claim': {
      const { farm, sensor, session, since, own } = entry.claim;
      return [1, 'claim', farm, sensor, session, since, own];
    }
    case 'mark':
      return [1, 'mark', entry.id];
  }
}

/** The entry in a message of the commands log. Throws EncodingInvalid. */
export function decodeCommandEntry(message: Uint8Array): CommandEntry {
  const row = decode(entry, message, 'command entry');
  switch (row[1]) {
    case 'queued': {
      const [, kind, id, farm, sensor, payload, at, expires, by] = row;
      return { kind, command: { id, farm, sensor, payload, at, expires, by } };
    }
    case 'delivered': {
      const [, kind, id, farm, sensor, at] = row;
      return { kind, id, farm, sensor, at };
    }
    case 'claim': {
      const [, kind, farm, sensor, session, since, own] = row;
      return { kind, claim: { farm, sensor, session, since, own } };
    }
    case 'mark':
      return { kind: 'mark', id: row[2] };
  }
}

/**
 * The payload that a sensor gets: `{"id":"…","ts":…,"expires":…,"command":…}`. The same `id` twice is the same command
 * sent again: the sensor acknowledges it again, but does it only once.
 */
export function commandEnvelope({ id, at, expires, payload }: Command): Buffer {
  const head = JSON.stringify({ id, ts: at, expires });
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},"command":`), payload, Buffer.from('}')]);
}
