import type { NamedSensor } from '../../telemetry/salvage.ts';

/** Keeps a file, or a folder, as it is, before something else takes its place or it is taken away. Rejects with the file system's error. */
export type Keep = (path: string) => Promise<void>;

/** What has to be done about a finding. */
export interface MendStep {
  /** The folder in which it writes, and how much. */
  readonly folder: string;
  readonly bytes: number;
  /** What is kept as it was. */
  readonly keeps: readonly string[];
  /** Resolves with what was done, in words. Rejects, and leaves everything that counts as it was, when it cannot be done. */
  run(keep: Keep): Promise<string>;
}

/** What is known of records that are lost. */
export interface LossFigures {
  readonly whole: number;
  readonly lost: number;
  readonly places: number;
  readonly bytes: number;
  /** The times between which they were written, Unix ms. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly sensors: readonly NamedSensor[];
}

/**
 * What a look at one thing found: `whole`; `note`, what a person should know and what needs nothing; or `damaged`, which
 * `mend` mends, where it can be mended.
 */
export interface RepairFinding {
  /** As the settings call it: queue, live log, store, … */
  readonly part: string;
  readonly path: string;
  readonly is: 'whole' | 'note' | 'damaged';
  readonly text: string;
  readonly figures?: LossFigures;
  readonly mend?: MendStep;
}

/** Whether the registry has a sensor. Undefined: nobody can tell. */
export type KnownSensor = (sensor: NamedSensor) => boolean | undefined;

/** Called now and then while a look or a mend takes long: what it is at. */
export type OnRepair = (at: string) => void;

/** Most sensors that a line names. */
const MOST_IN_WORDS = 8;

/** The sensors in words: "north/probe-1, north/probe-2 and 3 more"; empty for none. */
export function sensorsInWords(sensors: readonly NamedSensor[], isKnown: KnownSensor): string {
  const named = sensors
    .slice(0, MOST_IN_WORDS)
    .map((one) => `${one.farm}/${one.sensor}${isKnown(one) === false ? ' (not in the registry)' : ''}`);
  const more = sensors.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Each sensor once. */
export function eachOnce(sensors: readonly NamedSensor[]): NamedSensor[] {
  return [...new Map(sensors.map((one) => [`${one.farm}/${one.sensor}`, one])).values()];
}

/** "between A and B", "after A", "before B", or "at times that nobody can tell". */
export function timesInWords(from: number | undefined, to: number | undefined): string {
  if (from !== undefined && to !== undefined) return `between ${timeInWords(from)} and ${timeInWords(to)}`;
  if (from !== undefined) return `after ${timeInWords(from)}`;
  return to === undefined ? 'at a time that nobody can tell' : `before ${timeInWords(to)}`;
}

/** An ISO 8601 time, to the second. */
export function timeInWords(ms: number): string {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? 'an unknown time' : `${time.toISOString().slice(0, 19)}Z`;
}

/** "1 message", "3 messages". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

export function bytesInWords(bytes: number): string {
  if (bytes < 10_000) return counted(bytes, 'byte');
  return bytes < 10e6 ? `${Math.round(bytes / 1e3)} kB` : `${Math.round(bytes / 1e6)} MB`;
}
