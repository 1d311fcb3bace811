/** Most that may be at work at once. Both are checked before a message enters, so one message may exceed them. */
export interface WorkLimits {
  readonly readings: number;
  /** Bytes of queue messages before they are unpacked. */
  readonly bytes: number;
}

/** One queue message's place among those at work. */
export interface WorkSlot {
  /** Says how many readings the message has. Until then no other message is let in. */
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
 * Bounds what a worker holds in memory, and lets messages in by order of arrival. The queue's prefetch bounds how many
 * messages wait for room; those are not unpacked yet.
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

  /**
   * Resolves when there is room. With `alone`, resolves when nothing else is at work, and nothing else is let in until
   * the message leaves.
   */
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
