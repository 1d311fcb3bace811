import type { Device } from './profile/devices.ts';
import type { Sending } from './profile/stream.ts';

/** What is known of one sensor's readings, by sequence number. Times are ms of `clock.passed()`. */
export interface SensorAccount {
  readonly farm: string;
  readonly sensor: string;
  readonly qos: 0 | 1;
  /** When each reading was due to be published. */
  readonly due: Map<number, number>;
  /** When it was acknowledged. */
  readonly acknowledged: Map<number, number>;
  /** When a viewer saw it. */
  readonly seen: Map<number, number>;
  /** Acknowledged messages that nobody can read. */
  unreadable: number;
}

/** Most readings that are kept, over all sensors: about 200 bytes each. `overflow` counts further ones. */
const MOST_READINGS = 5_000_000;

/** Keeps when each reading of a run was due, acknowledged and seen. */
export class Ledger {
  /** By `sensorKey`. */
  readonly accounts = new Map<string, SensorAccount>();
  /** Readings beyond the limit, which are not kept. */
  overflow = 0;
  private kept = 0;

  published({ id, group }: Device, { kind, seqs }: Sending, due: number): void {
    const account = this.accountOf(id, group.farm, group.qos);
    if (kind !== 'reading') return;
    for (const seq of seqs) {
      if (this.kept >= MOST_READINGS) this.overflow += 1;
      else account.due.set(seq, due);
      this.kept += 1;
    }
  }

  acknowledged({ id, group }: Device, { kind, seqs }: Sending, at: number): void {
    const account = this.accountOf(id, group.farm, group.qos);
    if (kind === 'malformed') account.unreadable += 1;
    for (const seq of seqs)
      if (account.due.has(seq) && !account.acknowledged.has(seq)) account.acknowledged.set(seq, at);
  }

  /** A viewer was shown numbers `from` to `to` of a sensor. */
  seen(farm: string, sensor: string, from: number, to: number, at: number): void {
    const account = this.accounts.get(sensorKey(farm, sensor));
    for (let seq = from; account && seq <= to; seq++) {
      if (account.due.has(seq) && !account.seen.has(seq)) account.seen.set(seq, at);
    }
  }

  private accountOf(sensor: string, farm: string, qos: 0 | 1): SensorAccount {
    const key = sensorKey(farm, sensor);
    const known = this.accounts.get(key);
    if (known) return known;
    const fresh: SensorAccount = {
      farm,
      sensor,
      qos,
      due: new Map(),
      acknowledged: new Map(),
      seen: new Map(),
      unreadable: 0,
    };
    this.accounts.set(key, fresh);
    return fresh;
  }
}

/** The key of a sensor in maps: two farms may have the same id. Neither a farm's id nor a sensor's has a "/". */
export function sensorKey(farm: string, sensor: string): string {
  return `${farm}/${sensor}`;
}
