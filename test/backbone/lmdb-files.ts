import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';

/** LMDB files as earlier versions wrote them. */

export interface OldQueue {
  readonly messages: readonly (readonly [number, string | Uint8Array])[];
  readonly attempts: readonly (readonly [number, number])[];
  readonly handedOut: number;
}

export interface OldLog {
  readonly epoch: string;
  readonly first: number;
  readonly next: number;
  /** How long it has been open, ms, when it is the only copy. */
  readonly lived?: number;
  /** When the entries were written, Unix ms. */
  readonly written: number;
  readonly entries: readonly (readonly [number, string | Uint8Array])[];
  readonly marks: readonly (readonly [number, number])[];
}

export async function writeOldQueue(folder: string, { messages, attempts, handedOut }: OldQueue): Promise<void> {
  const bytes = messages.reduce((sum, [, { length }]) => sum + length, 0);
  await write(folder, async (root) => {
    const table = root.openDB<Buffer, number>({ name: 'messages', encoding: 'binary' });
    for (const [sequence, body] of messages) void table.put(sequence, Buffer.from(body));
    const counts = root.openDB<unknown, number>({ name: 'attempts', encoding: 'json' });
    for (const [sequence, count] of attempts) void counts.put(sequence, count);
    const state = root.openDB<unknown, string>({ name: 'state', encoding: 'json' });
    await state.put('queue', { format: 1, messages: messages.length, bytes, handedOut });
  });
}

export async function writeOldLog(folder: string, old: OldLog): Promise<void> {
  const { epoch, first, next, lived, written, entries, marks } = old;
  await write(folder, async (root) => {
    const table = root.openDB<Buffer, number>({ name: 'entries', encoding: 'binary' });
    let bytes = 0;
    for (const [offset, body] of entries) {
      const value = Buffer.alloc(8 + body.length);
      value.writeDoubleBE(written, 0);
      Buffer.from(body).copy(value, 8);
      bytes += value.length;
      void table.put(offset, value);
    }
    const times = root.openDB<unknown, number>({ name: 'marks', encoding: 'json' });
    for (const [offset, time] of marks) void times.put(offset, time);
    const state = root.openDB<unknown, string>({ name: 'state', encoding: 'json' });
    await state.put('log', { format: 1, epoch, first, next, bytes, ...(lived === undefined ? {} : { lived }) });
  });
}

/** Opens the folder's file as an earlier version does at its start. Rejects when that version would refuse. */
export async function openAsOldLoam(folder: string): Promise<void> {
  await write(folder, async () => {});
}

async function write(folder: string, change: (root: RootDatabase<Buffer, number>) => Promise<void>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const root = open<Buffer, number>({
    path: join(folder, 'data.mdb'),
    noSubdir: true,
    encoding: 'binary',
    overlappingSync: false,
    eventTurnBatching: false,
  });
  try {
    await change(root);
    await root.flushed;
  } finally {
    await root.close();
  }
}
