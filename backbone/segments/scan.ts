import { BLOCK_BYTES, decodeRecord, FILLER, type FoundRecord } from './format.ts';

/** Bytes in which records were. `records` of them are missing, as far as the numbers before and behind tell. */
export interface Hole {
  readonly at: number;
  readonly bytes: number;
  readonly records: number;
}

interface KnownRecords {
  readonly end?: number | undefined;
  readonly first?: number | undefined;
  readonly last?: number | undefined;
}

/** What is in a segment without a footer. */
export interface Scanned {
  readonly records: readonly FoundRecord[];
  readonly holes: readonly Hole[];
  /** Where the records end. */
  readonly end: number;
  /** How many bytes behind that were a write that never ended. */
  readonly torn: number;
}

/**
 * Reads the records of a segment, from its header on. `end` is where its confirmed records end, `first` and
 * `last` are the numbers that they had, where that is known.
 *
 * Where a record is not whole, the next whole one is looked for by the segment's marker. What lies between is damage if
 * it was synced: if it is before `end`, or before the place where the last write began. Otherwise it is what a write
 * left that never ended (its pages may reach the disk in any order), and nothing from there on was confirmed.
 */
export function scan(bytes: Buffer, marker: number, { end, first, last }: KnownRecords = {}): Scanned {
  const limited = end === undefined ? bytes : bytes.subarray(0, end);
  const used = end === undefined ? withoutFiller(bytes) : limited.length;
  const records: FoundRecord[] = [];
  const gaps: { readonly at: number; readonly bytes: number }[] = [];
  let at = BLOCK_BYTES;
  while (at < used) {
    const record = decodeRecord(limited, at, marker) ?? nextRecord(limited, at + 1, marker);
    const found = record?.at ?? used;
    if (found > at) gaps.push({ at, bytes: found - at });
    if (record === undefined) break;
    records.push(record);
    at = record.at + record.size;
  }
  if (end !== undefined && limited.length < end)
    gaps.push({ at: Math.max(at, limited.length), bytes: end - limited.length });
  const synced = end ?? Math.max(BLOCK_BYTES, ...records.slice(-1).map(({ group }) => group));
  const torn = gaps.find((gap) => gap.at >= synced);
  const kept = torn === undefined ? records : records.filter((record) => record.at < torn.at);
  return {
    records: kept,
    holes: gaps
      .filter((gap) => gap.at < synced)
      .map((gap) => ({ ...gap, records: missing(kept, gap.at, { first, last }) })),
    end: torn?.at ?? Math.min(at, limited.length),
    torn: torn === undefined ? 0 : used - torn.at,
  };
}

/** How many bytes there are before the filler. The last record may end in such bytes, too: it is longer then. */
function withoutFiller(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === FILLER) end -= 1;
  return end;
}

/** Each place is looked at once, and a record that is there by chance would need a right marker and a right CRC. */
function nextRecord(bytes: Buffer, from: number, marker: number): FoundRecord | undefined {
  const wanted = Buffer.alloc(4);
  wanted.writeUInt32LE(marker);
  for (let at = bytes.indexOf(wanted, from); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
    const record = decodeRecord(bytes, at, marker);
    if (record !== undefined) return record;
  }
  return undefined;
}

function missing(records: readonly FoundRecord[], at: number, { first, last }: KnownRecords): number {
  const next = records.find((record) => record.at > at && record.number >= 0)?.number ?? (last ?? -1) + 1;
  const before = records.findLast((record) => record.at < at && record.number >= 0)?.number ?? (first ?? next - 1) - 1;
  return Math.max(1, next - before - 1);
}
