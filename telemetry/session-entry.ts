import { z } from 'zod';
import { decode, packr } from './batch.ts';

/**
 * Somebody has signed in.
 *
 * - `fingerprint` stands for the password that the user had then: with another one the session is over.
 * - `by` is what keeps it: a browser in a cookie, or a program. `address` and `agent` are where it came from, and what that called itself.
 * - `at` and `ends` are Unix ms. It ends then at the latest, however much it is used.
 */
export interface SessionBegun {
  readonly kind: 'begun';
  readonly id: string;
  readonly user: string;
  readonly fingerprint: string;
  readonly by: 'browser' | 'program';
  readonly address: string;
  readonly agent: string;
  readonly at: number;
  readonly ends: number;
}

/** A session was used, said at most once an hour. */
export interface SessionUsed {
  readonly kind: 'used';
  readonly id: string;
  readonly address: string;
  readonly at: number;
}

/** A session was ended before its time. */
export interface SessionEnded {
  readonly kind: 'ended';
  readonly id: string;
  readonly at: number;
}

/** One entry of the log of sessions. */
export type SessionEntry = SessionBegun | SessionUsed | SessionEnded;

/** The longest name of a browser or program that is kept, UTF-16 code units. */
export const MOST_AGENT = 256;

const VERSION = 1;
const text = z.string().max(256);
const row = z.union([
  z.tuple([
    z.literal(VERSION),
    z.literal('begun'),
    text,
    text,
    text,
    z.enum(['browser', 'program']),
    text,
    text,
    z.number(),
    z.number(),
  ]),
  z.tuple([z.literal(VERSION), z.literal('used'), text, text, z.number()]),
  z.tuple([z.literal(VERSION), z.literal('ended'), text, z.number()]),
]);

/** The bytes of an entry of the log of sessions. */
export function encodeSessionEntry(entry: SessionEntry): Uint8Array {
  return packr.pack(rowOf(entry));
}

/** The entry in a message of the log of sessions. Throws EncodingInvalid. */
export function decodeSessionEntry(bytes: Uint8Array): SessionEntry {
  const found = decode(row, bytes, 'entry of the log of sessions');
  switch (found[1]) {
    case 'begun': {
      const [, kind, id, user, fingerprint, by, address, agent, at, ends] = found;
      return { kind, id, user, fingerprint, by, address, agent, at, ends };
    }
    case 'used': {
      const [, kind, id, address, at] = found;
      return { kind, id, address, at };
    }
    case 'ended': {
      const [, kind, id, at] = found;
      return { kind, id, at };
    }
  }
}

function rowOf(entry: SessionEntry): z.infer<typeof row> {
  switch (entry.kind) {
    case 'begun': {
      const { kind, id, user, fingerprint, by, address, agent, at, ends } = entry;
      return [VERSION, kind, id, user, fingerprint, by, address, agent.slice(0, MOST_AGENT), at, ends];
    }
    case 'used':
      return [VERSION, entry.kind, entry.id, entry.address, entry.at];
    case 'ended':
      return [VERSION, entry.kind, entry.id, entry.at];
  }
}
