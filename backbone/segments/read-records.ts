import type { ReadFile } from './files.ts';
import { decodeRecord, type FoundRecord, RECORD_BYTES, type SegmentRecord, type SegmentSummary } from './format.ts';
import type { LostRecord, ReadRecords, WantedRecords } from './wanted.ts';

/** Most bytes that are read at once, unless one record is longer. */
const SPAN_BYTES = 2 ** 20;

interface ReadSpan {
  readonly at: number;
  readonly bytes: Buffer;
}

/** A segment's file, where the records in it begin, and what else is known of them. */
export interface Indexed {
  readonly file: ReadFile;
  readonly places: ArrayLike<number>;
  readonly summary: SegmentSummary;
  readonly marker: number;
}

/** The records that are wanted. Those that lie one behind the other are read at once. */
export function readRecords(
  { file, places, summary, marker }: Indexed,
  { from, to, limit, mostBytes, wanted }: WantedRecords,
): ReadRecords {
  const { first, last, end } = summary;
  const behind = Math.min(last, to) - first + 1;
  const endOf = (index: number): number => {
    for (let next = index + 1; next < places.length; next++) if (places[next] !== 0) return places[next] ?? end;
    return end;
  };
  const isWanted = (index: number) => (places[index] ?? 0) > 0 && wanted(first + index);
  const records: SegmentRecord[] = [];
  const lost: LostRecord[] = [];
  let bytes = 0;
  let span: ReadSpan = { at: 0, bytes: Buffer.alloc(0) };

  /** As many of the wanted records as lie together from `index` on. */
  const spanFrom = (index: number): ReadSpan => {
    const at = places[index] ?? 0;
    let spanEnd = endOf(index);
    for (let next = index + 1, count = records.length + 1; next < behind && count < limit; next++, count++) {
      if (!isWanted(next) || endOf(next) - at > Math.min(SPAN_BYTES, mostBytes - bytes)) break;
      spanEnd = endOf(next);
    }
    return { at, bytes: file.read(at, spanEnd - at) };
  };
  const readOne = (index: number): FoundRecord | undefined => {
    const at = places[index] ?? 0;
    if (at < span.at || endOf(index) > span.at + span.bytes.length) {
      try {
        span = spanFrom(index);
      } catch {
        // One bad place on the disk must not take the records before it along.
        span = { at, bytes: file.read(at, endOf(index) - at) };
      }
    }
    return decodeRecord(span.bytes, at - span.at, marker);
  };

  for (let i = Math.max(0, from - first); i < behind && records.length < limit && bytes < mostBytes; i++) {
    if (!isWanted(i)) continue;
    const number = first + i;
    const place = { number, at: places[i] ?? 0, bytes: endOf(i) - (places[i] ?? 0) - RECORD_BYTES };
    try {
      const record = readOne(i);
      if (record?.number !== number) lost.push(place);
      else {
        records.push(record);
        bytes += record.size;
      }
    } catch (cause) {
      lost.push({ ...place, cause });
    }
  }
  return { records, lost };
}
