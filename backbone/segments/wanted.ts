import type { Damage } from '../files/damage.ts';
import type { SegmentFiles } from './files.ts';
import type { SegmentRecord } from './format.ts';

/** Where segments are, and who is told of damage in them. */
export interface Place {
  readonly files: SegmentFiles;
  readonly folder: string;
  readonly report: { damaged(damage: Damage): void; torn(file: string, at: number, bytes: number): void };
}

/** Records with a number `from` one `to` another, both included, for which `wanted` is true. */
export interface WantedRecords {
  readonly from: number;
  readonly to: number;
  readonly limit: number;
  /** None come after the one with which they reach so many bytes. */
  readonly mostBytes: number;
  readonly wanted: (number: number) => boolean;
}

/** The records of a segment that were asked for, and those that were to be among them and cannot be read. */
export interface ReadRecords {
  readonly records: readonly SegmentRecord[];
  readonly lost: readonly LostRecord[];
}

export interface LostRecord {
  readonly number: number;
  readonly at: number;
  /** How long its body was, as far as the index tells. */
  readonly bytes: number;
  /** Undefined: the bytes are wrong. Otherwise the error of the file system, and they may be right another time. */
  readonly cause?: unknown;
}

export const EVERYTHING: WantedRecords = {
  from: 0,
  to: Number.POSITIVE_INFINITY,
  limit: Number.POSITIVE_INFINITY,
  mostBytes: Number.POSITIVE_INFINITY,
  wanted: () => true,
};
