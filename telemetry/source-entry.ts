import { z } from 'zod';
import { decode, packr } from './batch.ts';

/**
 * What is known of one source, from the log of sources: the newest entry of a source counts.
 *
 * - `session` names its session at the other broker: the address and the client id. `''`: nothing is to be known any more.
 * - `filters` are the topics that may be subscribed in that session, with the QoS that was granted; -1 while that is not known.
 * - `seen` are digests of the last message of each topic, `SEEN_BYTES` for each: of the topic, then of topic and payload.
 */
export interface SourceEntry {
  readonly source: string;
  readonly session: string;
  readonly filters: readonly (readonly [filter: string, qos: number])[];
  readonly seen: Uint8Array;
}

/** Bytes of the digest of a topic, and of a topic with a payload. */
export const TOPIC_BYTES = 8;
export const MESSAGE_BYTES = 16;
export const SEEN_BYTES = TOPIC_BYTES + MESSAGE_BYTES;

const VERSION = 1;
const text = z.string().max(5_000);
const row = z.tuple([
  z.literal(VERSION),
  text,
  text,
  z.array(z.tuple([text, z.int().min(-1).max(2)])).max(1_000),
  z.custom<Uint8Array>((bytes) => bytes instanceof Uint8Array && bytes.length % SEEN_BYTES === 0),
]);

/** The bytes of an entry of the log of sources. */
export function encodeSourceEntry({ source, session, filters, seen }: SourceEntry): Uint8Array {
  const message: z.infer<typeof row> = [VERSION, source, session, filters.map(([filter, qos]) => [filter, qos]), seen];
  return packr.pack(message);
}

/** The entry in a message of the log of sources. Throws EncodingInvalid. */
export function decodeSourceEntry(bytes: Uint8Array): SourceEntry {
  const [, source, session, filters, seen] = decode(row, bytes, 'entry of the log of sources');
  return { source, session, filters, seen };
}
