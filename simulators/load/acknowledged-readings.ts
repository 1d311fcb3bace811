import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** One reading that was acknowledged, so that the receiver must have it. `ts` is Unix ms. */
export interface Promised {
  readonly farm: string;
  readonly sensor: string;
  readonly seq: number;
  readonly ts: number;
}

/** Readings of one sensor with consecutive numbers and times `step` ms apart: one line of a promise file. */
interface Run {
  readonly farm: string;
  readonly sensor: string;
  readonly seq: number;
  readonly ts: number;
  count: number;
  step: number;
}

/** Makes the lines of a promise file of acknowledged readings. Most come in order, so there are few lines. */
export class PromiseLines {
  private readonly open = new Map<string, Run>();
  private lines: string[] = [];

  add({ farm, sensor, seq, ts }: Promised): void {
    const key = `${farm}/${sensor}`;
    const run = this.open.get(key);
    if (run && seq === run.seq + run.count) {
      if (run.count === 1) run.step = ts - run.ts;
      if (ts === run.ts + run.count * run.step) {
        run.count += 1;
        return;
      }
    }
    if (run) this.lines.push(JSON.stringify(run));
    this.open.set(key, { farm, sensor, seq, ts, count: 1, step: 0 });
  }

  /** Everything since the last call, as text of whole lines. */
  take(): string {
    const lines = [...this.lines, ...[...this.open.values()].map((run) => JSON.stringify(run))];
    this.lines = [];
    this.open.clear();
    return lines.map((line) => `${line}\n`).join('');
  }
}

/**
 * The acknowledged readings of a promise file, in no particular order. The file is NDJSON, one line for consecutive
 * readings: `{"farm","sensor","seq","ts","count","step"}` stands for numbers `seq` to `seq + count - 1` of times `ts`,
 * `ts + step`, …
 * Rejects with an Error that names the first line that cannot be read; a last line that was cut off is left out.
 */
export async function* readPromises(path: string): AsyncGenerator<Promised> {
  let at = 0;
  let broken: Error | undefined;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (broken) throw broken;
    at += 1;
    if (line === '') continue;
    const run = parseRun(line);
    if (!run) {
      broken = new Error(`${path}:${at} is not a line of a promise file`);
      continue;
    }
    const { farm, sensor, seq, ts, count, step } = run;
    for (let i = 0; i < count; i++) yield { farm, sensor, seq: seq + i, ts: ts + i * step };
  }
}

function parseRun(line: string): Run | undefined {
  try {
    const { farm, sensor, seq, ts, count = 1, step = 0 }: Record<string, unknown> = JSON.parse(line);
    if (typeof farm !== 'string' || typeof sensor !== 'string') return undefined;
    if (typeof seq !== 'number' || typeof ts !== 'number') return undefined;
    if (typeof count !== 'number' || typeof step !== 'number') return undefined;
    return { farm, sensor, seq, ts, count, step };
  } catch {
    return undefined;
  }
}
