import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';

/** Bytes of a file that are not what was written there. */
export interface Damage {
  readonly file: string;
  /** Where in the file they begin. */
  readonly at: number;
  readonly bytes: number;
  /** How many records are lost with them, as far as that can be told. */
  readonly records: number;
  /** What is wrong there, in words for a person. */
  readonly what: string;
}

/** Most damages that are named; further ones are counted. */
const MOST_NAMED = 5;
/** Most that are logged in one run of the process: a disk that decays would fill the log with them. */
const MOST_LOGGED = 100;

/** What was found damaged in the files of this process since it started. Each is logged, counted and in `/readyz`. */
export class Damages {
  private readonly log: Logger | undefined;
  private readonly named: string[] = [];
  private readonly sums = { damages: 0, records: 0, bytes: 0, torn_writes: 0 };

  constructor(log?: Logger) {
    this.log = log;
  }

  damaged({ file, at, bytes, records, what }: Damage): void {
    this.sums.damages += 1;
    this.sums.records += records;
    this.sums.bytes += bytes;
    const text = `${file}: ${what}: ${bytes} bytes from byte ${at} on, ${records} records are lost`;
    if (this.named.length < MOST_NAMED) this.named.push(text);
    if (this.sums.damages > MOST_LOGGED) return;
    this.log?.error({ event: 'file_damaged', file, at, bytes, records }, text);
  }

  /** The end of a file is a write that never ended, as a power cut leaves it. What was in it was never confirmed. */
  torn(file: string, at: number, bytes: number): void {
    this.sums.torn_writes += 1;
    this.log?.warn(
      { event: 'write_torn', file, at, bytes },
      `${file}: the last write never ended, ${bytes} bytes from byte ${at} on are left out; none of it was confirmed`,
    );
  }

  /** A line of `/readyz` when there is damage. The process goes on with what is whole: it is optional. */
  health(): Health[] {
    if (this.sums.damages === 0) return [];
    const more = this.sums.damages - this.named.length;
    const why = [...this.named, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
    return [{ name: 'files', ok: false, why, optional: true }];
  }

  /** Registers the metrics. */
  count(metrics: Metrics): void {
    metrics.counts(
      'loam_file_damage_total',
      'Damage found in files: places, records and bytes lost; torn writes',
      () => ({
        ...this.sums,
      }),
    );
  }
}
