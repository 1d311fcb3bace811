/** One metric's newest value. Times are Unix ms. */
export interface Newest {
  readonly ts: number;
  readonly value: number;
  readonly received: number;
}

export interface SensorLatest {
  /** When the last reading was received, whatever it was measured. */
  lastSeen: number;
  readonly values: Map<string, Newest>;
}

/** How many values may be held in memory, over all farms. */
export interface ValueBudget {
  left: number;
}

/**
 * What is newest of every sensor and metric of one farm, whichever way and in whichever order it came:
 * the later `ts` wins, and of two with the same `ts` the one received later.
 */
export class FarmLatest {
  readonly sensors = new Map<string, SensorLatest>();
  private readonly budget: ValueBudget;
  private held = 0;

  constructor(budget: ValueBudget) {
    this.budget = budget;
  }

  /** Takes a value in. When the budget is spent, a metric that is not held yet is left out; false then. */
  put(sensor: string, metric: string, ts: number, value: number, received: number): boolean {
    let known = this.sensors.get(sensor);
    if (!known) {
      if (this.budget.left <= 0) return false;
      known = { lastSeen: received, values: new Map() };
      this.sensors.set(sensor, known);
    }
    if (received > known.lastSeen) known.lastSeen = received;
    const newest = known.values.get(metric);
    if (newest === undefined) {
      if (this.budget.left <= 0) return false;
      this.budget.left--;
      this.held++;
    } else if (ts < newest.ts || (ts === newest.ts && received < newest.received)) return true;
    known.values.set(metric, { ts, value, received });
    return true;
  }

  /** Gives back what it holds of the budget. Not to be used afterwards. */
  release(): void {
    this.budget.left += this.held;
    this.held = 0;
    this.sensors.clear();
  }
}
