/** Most that may be at work at once. A bound is overstepped by one queue message at most. */
export interface WorkLimits {
  readonly readings: number;
  /** Of queue messages, as they came. */
  readonly bytes: number;
}

/** One queue message's place among those at work. */
export interface WorkSlot {
  /** Says how many readings were in it; until then nobody else is let in. */
  counted(readings: number): void;
  /** Gives the place back. */
  leave(): void;
}

interface WaitingMessage {
  readonly bytes: number;
  readonly alone: boolean;
  readonly letIn: () => void;
}

/**
 * Bounds what a worker holds in memory, and lets messages in by their order. How many messages may wait in front of it is the
 * queue's prefetch; those have not been unpacked.
 */
export class WorkBudget {
  private readonly limits: WorkLimits;
  private readonly line: WaitingMessage[] = [];
  private counting = false;
  private alone = false;
  private inside = 0;
  private readings = 0;
  private bytes = 0;

  constructor(limits: WorkLimits) {
    this.limits = limits;
  }

  /** How many messages are at work. */
  get size(): number {
    return this.inside;
  }

  /** How many readings are at work. */
  get held(): number {
    return this.readings;
  }

  /** Resolves when there is room; `alone`: when nothing else is at work, and nothing else is let in until it leaves. */
  enter(bytes: number, alone = false): Promise<WorkSlot> {
    return new Promise((resolve) => {
      this.line.push({ bytes, alone, letIn: () => resolve(this.place(bytes, alone)) });
      this.pump();
    });
  }

  private place(bytes: number, alone: boolean): WorkSlot {
    let readings = 0;
    let counted = false;
    let left = false;
    const place: WorkSlot = {
      counted: (count) => {
        if (counted || left) return;
        counted = true;
        readings = count;
        this.readings += count;
        this.counting = false;
        this.pump();
      },
      leave: () => {
        if (left) return;
        place.counted(0);
        left = true;
        this.inside -= 1;
        this.bytes -= bytes;
        this.readings -= readings;
        if (alone) this.alone = false;
        this.pump();
      },
    };
    return place;
  }

  private pump(): void {
    for (let next = this.line[0]; next && this.hasRoomFor(next); next = this.line[0]) {
      this.line.shift();
      this.counting = true;
      this.alone = next.alone;
      this.inside += 1;
      this.bytes += next.bytes;
      next.letIn();
    }
  }

  private hasRoomFor(next: WaitingMessage): boolean {
    if (this.counting || this.alone) return false;
    if (next.alone) return this.inside === 0;
    return this.readings < this.limits.readings && this.bytes < this.limits.bytes;
  }
}
