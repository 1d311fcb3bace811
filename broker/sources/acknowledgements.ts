interface PendingSourcePublish {
  readonly bytes: number;
  readonly acknowledge: () => void;
  done: boolean;
}

/**
 * The publishes of one connection that are not acknowledged yet. Acknowledgements are sent in the order in which the
 * publishes came [MQTT-4.6.0-2], and none after `close`.
 */
export class SourceAcknowledgements {
  private readonly pending: PendingSourcePublish[] = [];
  private readonly most: { readonly publishes: number; readonly bytes: number };
  private bytes = 0;
  private waiting: (() => void) | undefined;
  private closed = false;

  constructor(most: { readonly publishes: number; readonly bytes: number }) {
    this.most = most;
  }

  /** Whether acknowledgements can still be sent. The batcher asks this of the owner of a publish. */
  get waits(): boolean {
    return !this.closed;
  }

  /** Adds a publish to the order. `acknowledge` is called when the returned function was, for it and for all before it. */
  begin(bytes: number, acknowledge: () => void): () => void {
    const turn: PendingSourcePublish = { bytes, acknowledge, done: false };
    this.bytes += bytes;
    this.pending.push(turn);
    return () => {
      turn.done = true;
      this.go();
    };
  }

  /** Calls `go` when one more publish may be taken: at once, or after an acknowledgement. Never after `close`. */
  whenRoom(go: () => void): void {
    if (this.hasRoom) go();
    else this.waiting = go;
  }

  private get hasRoom(): boolean {
    return this.pending.length < this.most.publishes && this.bytes < this.most.bytes;
  }

  close(): void {
    this.closed = true;
    this.pending.length = 0;
    this.waiting = undefined;
  }

  private go(): void {
    for (let turn = this.pending[0]; turn?.done; turn = this.pending[0]) {
      this.pending.shift();
      this.bytes -= turn.bytes;
      turn.acknowledge();
    }
    if (!this.hasRoom) return;
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.();
  }
}
