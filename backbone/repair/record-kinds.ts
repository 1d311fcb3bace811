import { EncodingInvalid } from '../../core/errors.ts';
import { decodeDead } from '../../telemetry/batch.ts';
import { decodeClockEntry } from '../../telemetry/clock-entry.ts';
import { decodeCommandEntry } from '../../telemetry/command.ts';
import { decodeMark } from '../../telemetry/dead-letter-mark.ts';
import { decodeEvent } from '../../telemetry/event.ts';
import { decodeSessionEntry } from '../../telemetry/session-entry.ts';
import type { RecordKind } from '../segments/examine.ts';
import type { FoundRecord } from '../segments/format.ts';
import { ENTRIES } from '../segments/log-file.ts';
import { MESSAGES } from '../segments/queue-file.ts';

/** The parts that keep records in segments. */
export type RecordPart = 'queue' | 'slow queue' | 'undated queue' | 'spool' | LogPart;
export type LogPart =
  | 'live log'
  | 'dead-letter log'
  | 'event log'
  | 'log of refusals'
  | 'commands log'
  | 'log of clocks'
  | 'log of sessions'
  | 'log of sources'
  | 'log of trials';

/** What a person is told of the records of a part. */
interface PartWords {
  readonly one: string;
  readonly many: string;
  /** What it means that some of them are lost. */
  readonly ifLost: string;
}

const MESSAGE = { one: 'message', many: 'messages' };
const ENTRY = { one: 'entry', many: 'entries' };
const ACKNOWLEDGED =
  'their sensors were told "received", and they were not worked off yet (readings of them that the live log has are stored all the same)';

export const PART_WORDS: Readonly<Record<RecordPart, PartWords>> = {
  queue: { ...MESSAGE, ifLost: ACKNOWLEDGED },
  'slow queue': { ...MESSAGE, ifLost: ACKNOWLEDGED },
  'undated queue': { ...MESSAGE, ifLost: ACKNOWLEDGED },
  spool: { ...MESSAGE, ifLost: 'their sensors were told "received", and they were not forwarded yet' },
  'live log': { ...ENTRY, ifLost: 'their readings are stored all the same; pages that were open have to load anew' },
  'dead-letter log': { ...ENTRY, ifLost: 'a dead letter is the only copy of what was sent' },
  'event log': { ...ENTRY, ifLost: 'nobody can ask any more what was done and overwritten there' },
  'log of refusals': { ...ENTRY, ifLost: 'nobody can ask any more who was refused then' },
  'commands log': { ...ENTRY, ifLost: 'commands among them are not delivered, or are delivered again' },
  'log of clocks': { ...ENTRY, ifLost: 'receipts by a clock that was wrong then cannot be corrected any more' },
  'log of sessions': { ...ENTRY, ifLost: 'whose sign-ins they are sign in again; who was signed out stays out' },
  'log of sources': { ...ENTRY, ifLost: 'a retained message of a source may be stored once more' },
  'log of trials': { ...ENTRY, ifLost: 'what was tried alone is tried alone again' },
};

/** How a log's records tell when they were written. Times of logs that are the only copy count how long the log was open. */
const TIMES: Readonly<Record<LogPart, (record: FoundRecord) => number | undefined>> = {
  'live log': ({ time }) => time,
  'dead-letter log': ({ body }) => either(() => decodeDead(body).at) ?? either(() => decodeMark(body).at),
  'event log': ({ body }) => either(() => decodeEvent(body)?.at),
  'log of refusals': ({ body }) => either(() => decodeEvent(body)?.at),
  'commands log': ({ body }) => either(() => commandTime(body)),
  'log of clocks': ({ body }) => either(() => decodeClockEntry(body).at),
  'log of sessions': ({ body }) => either(() => decodeSessionEntry(body).at),
  'log of sources': () => undefined,
  'log of trials': () => undefined,
};

export function kindOfLog(part: LogPart): RecordKind {
  return { name: ENTRIES, isGapless: true, timeOf: TIMES[part], isDone: () => false };
}

/** `isDone`: as the queue's marks say. */
export function kindOfQueue(isDone: (message: number) => boolean): RecordKind {
  return { name: MESSAGES, isGapless: false, timeOf: ({ time }) => time, isDone };
}

function commandTime(body: Uint8Array): number | undefined {
  const entry = decodeCommandEntry(body);
  if (entry.kind === 'queued') return entry.command.at;
  return entry.kind === 'delivered' ? entry.at : undefined;
}

function either(read: () => number | undefined): number | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof EncodingInvalid) return undefined;
    throw error;
  }
}
