/** Numbered messages and entries, so that a test can tell which it got. */

/** What a promise rejects with; undefined when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** The whole numbers from `from` up to, but not including, `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** A message or entry that holds a number, `size` bytes long. */
export function body(n: number, size = 10): Buffer {
  return Buffer.from(String(n).padEnd(size));
}

/** The number in a body made by `body`. */
export function numberOf(entry: { readonly body: Uint8Array }): number {
  return Number(Buffer.from(entry.body).toString());
}
