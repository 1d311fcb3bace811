/** Why a viewer who came back, or was too slow, was told of a gap instead of getting what it missed. */
export const GAP_REASONS = [
  /** The log was started over. */
  'epoch',
  /** The log no longer has it. */
  'trimmed',
  /** Too many entries, bytes or rows. */
  'too-much',
  /** The viewer has seen more than this gateway, which did not catch up in time. */
  'ahead',
  /** The log could not be read. */
  'unavailable',
  /** This gateway itself fell behind the log. */
  'feed',
] as const;
export type GapReason = (typeof GAP_REASONS)[number];

/** What the live part counts, by event. They only grow. */
export class LiveCounters {
  readonly frames = { readings: 0, status: 0, tick: 0, snapshot: 0, rows: 0 };
  readonly gaps: Record<GapReason, number> = { epoch: 0, trimmed: 0, 'too-much': 0, ahead: 0, unavailable: 0, feed: 0 };
  readonly resumes = { memory: 0, log: 0 };
  /** Reading the log back for viewers that resume. */
  readonly catchUp = { passes: 0, entries: 0, bytes: 0 };
  readonly slow = { slowed: 0, recovered: 0, 'closed-dead': 0 };
  readonly refused = {
    'cross-origin': 0,
    'no-subprotocol': 0,
    'not-signed-in': 0,
    'too-many-sockets': 0,
    'too-many-of-address': 0,
    'bad-message': 0,
    'too-many-messages': 0,
    'too-many-subscriptions': 0,
    'unknown-subscription': 0,
    forbidden: 0,
  };
  readonly ended = { session: 0, rights: 0 };
}
