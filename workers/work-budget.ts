/** Most that may be at work at once. Both are checked before a message enters, so one message may exceed them. */
export interface WorkLimits {
  readonly readings: number;
  /** Bytes of queue messages before they are unpacked. */
  readonly bytes: number;
}

/** One queue message's place among those at work. */
export interface WorkSlot {
  /** Says how many readings the message has. Until then it is reckoned by its bytes. */
  counted(readings: number): void;
  /** Gives the place back. */
  leave(): void;
}

/** The budgets of one process. A message that is tried alone must be alone in the process, or it is blamed for another's fault. */
export type BudgetGroup = Set<WorkBudget>;

/**
 * No reading takes fewer bytes of a message than this. Messages are decoded in a thread, several at once: until one is counted, it counts as many
 * readings as it could have.
 */
const LEAST_BYTES = 8;

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
  private readonly group: BudgetGroup;
  private readonly line: WaitingMessage[] = [];
  private alone = false;
  private inside = 0;
  private readings = 0;
  private bytes = 0;

  constructor(limits: WorkLimits, group: BudgetGroup = new Set()) {
    this.limits = limits;
    this.group = group.add(this);
  }

  /** For a budget whose messages were given up: its group waits for them no longer. */
  leaveGroup(): void {
    this.group.delete(this);
    for (const budget of this.group) budget.pump();
  }

  /** How many messages are at work. */
  get size(): number {
    return this.inside;
  }

  /** How many readings are at work, those of messages that are not counted yet reckoned by their bytes. */
  get held(): number {
    return this.readings;
  }

  /**
   * Resolves when there is room. With `alone`, resolves when nothing else is at work in the group, and nothing else is let in until
   * the message leaves.
   */
  enter(bytes: number, alone = false): Promise<WorkSlot> {
    return new Promise((resolve) => {
      this.line.push({ bytes, alone, letIn: () => resolve(this.place(bytes, alone)) });
      this.pump();
    });
  }

  private place(bytes: number, alone: boolean): WorkSlot {
    let readings = mostReadings(bytes);
    let counted = false;
    let left = false;
    const place: WorkSlot = {
      counted: (count) => {
        if (counted || left) return;
        counted = true;
        this.readings += count - readings;
        readings = count;
        this.pump();
      },
      leave: () => {
        if (left) return;
        left = true;
        this.inside -= 1;
        this.bytes -= bytes;
        this.readings -= readings;
        if (alone) this.alone = false;
        this.pump();
        for (const other of this.group) other.pump();
      },
    };
    return place;
  }

  private pump(): void {
    for (let next = this.line[0]; next && this.hasRoomFor(next); next = this.line[0]) {
      this.line.shift();
      this.alone = next.alone;
      this.inside += 1;
      this.bytes += next.bytes;
      this.readings += mostReadings(next.bytes);
      next.letIn();
    }
  }

  private hasRoomFor(next: WaitingMessage): boolean {
    if (this.alone) return false;
    const others = [...this.group].filter((budget) => budget !== this);
    if (next.alone) return this.inside === 0 && others.every((budget) => budget.inside === 0);
    // One that waits to be alone would wait for ever if others were let in.
    if (others.some((budget) => budget.alone || budget.line[0]?.alone)) return false;
    return this.readings < this.limits.readings && this.bytes < this.limits.bytes;
  }
}

function mostReadings(bytes: number): number {
  return Math.ceil(bytes / LEAST_BYTES);
}
