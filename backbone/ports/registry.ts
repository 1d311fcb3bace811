import type { ConnectionState, Health } from '../../core/lifecycle.ts';
import type { ChangeOf, RegistryEditor, RegistryView } from '../../telemetry/registry/registry.ts';
import type { Kind } from '../../telemetry/registry/things.ts';

/** An edit of one thing that was made. */
export type RegistryChange = {
  readonly [K in Kind]: ChangeOf<K> & {
    /** Grows by one with every change. */
    readonly seq: number;
    /** Unix ms. */
    readonly when: number;
    /** The user, or who else: the command line, or who edits the file by hand. */
    readonly who: string;
  };
}[Kind];

/**
 * Where the registry is kept. Every process reads it from memory, and follows what others change: an edit is in force in
 * every process within a second. While it cannot be reached, everybody works on with what they know.
 */
export interface RegistryPort extends RegistryView, RegistryEditor {
  /** Whether `changes` reaches back to the beginning. When it does not, a gateway writes each change into the event log. */
  readonly keepsChanges: boolean;
  /**
   * The changes after the one numbered `from`, at most `limit`, oldest first. How far they reach back depends on where
   * the registry is kept. Rejects with RegistryUnavailable.
   */
  changes(from: number, limit: number): Promise<readonly RegistryChange[]>;
  /** The newest changes before the one numbered `before`, or of all, at most `limit`, newest first. Otherwise as `changes`. */
  newestChanges(before: number | undefined, limit: number): Promise<readonly RegistryChange[]>;
  /** `up` while edits can be made, and what others change is followed. */
  readonly state: ConnectionState;
  health(): Health[];
  /** Ends the following. Closing twice is allowed. */
  close(): Promise<void>;
}
