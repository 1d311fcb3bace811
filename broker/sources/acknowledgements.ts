interface PendingSourcePublish {
  readonly bytes: number;
  readonly acknowledge: () => void;
  done: boolean;
}

/**
 * The publishes of one connection that are not acknowledged yet. Acknowledgements leave in the order in which the publishes came [MQTT-4.6.0-2],
 * and none after `close`.
 */
export class SourceAcknowledgements {
  private readonly turns: PendingSourcePublish[] = [];
  private readonly most: { readonly publishes: number; readonly bytes: number };
  private bytes = 0;
  private waiting: (() => void) | undefined;
  private closed = false;

  constructor(most: { readonly publishes: number; readonly bytes: number }) {
    this.most = most;
  }

  /** Whether anybody waits for these: the owner of what is on its way to the queue. */
  get waits(): boolean {
    return !this.closed;
  }

  /** Takes the next turn, for a publish of so many bytes. Calling the returned function lets `acknowledge` be called when its turn has come. */
  begin(bytes: number, acknowledge: () => void): () => void {
    const turn: PendingSourcePublish = { bytes, acknowledge, done: false };
    this.bytes += bytes;
    this.turns.push(turn);
    return () => {
      turn.done = true;
      this.go();
    };
  }

  /** Calls `go` when one more publish may be taken: at once, or when one is acknowledged. Never after `close`. */
  whenRoom(go: () => void): void {
    if (this.hasRoom) go();
    else this.waiting = go;
  }

  private get hasRoom(): boolean {
    return this.turns.length < this.most.publishes && this.bytes < this.most.bytes;
  }

  close(): void {
    this.closed = true;
    this.turns.length = 0;
    this.waiting = undefined;
  }

  private go(): void {
    for (let turn = this.turns[0]; turn?.done; turn = this.turns[0]) {
      this.turns.shift();
      this.bytes -= turn.bytes;
      turn.acknowledge();
    }
    if (!this.hasRoom) return;
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.();
  }
}
