/** Which batch of which run one is. */
export interface BatchPlace {
  readonly run: string;
  /** The first batch of a run has 1. */
  readonly number: number;
  /** All batches of the run up to this number were confirmed by the queue when this one was sent, but for those that a beat has said to be given up. */
  readonly confirmed: number;
}

/** The id of the batch at a place. */
export function placeId({ run, number }: BatchPlace): string {
  return `${run}:${number}`;
}

/** The id of a run begins with it while nobody believes the clock that its times of receipt are by. */
const DOUBTED = '?';

/** The id of a new run. `doubted`: nobody believes its clock. */
export function runId(random: string, doubted: boolean): string {
  return doubted ? `${DOUBTED}${random}` : random;
}

/** A run by its bare id, as the log of clocks names it. */
export function bareRun(run: string): string {
  return run.startsWith(DOUBTED) ? run.slice(DOUBTED.length) : run;
}

/** By the id of a batch: the bare id of the run by whose clock its times of receipt are; `''` when it does not say. */
export function clockRunOf(batchId: string): string {
  const end = batchId.indexOf(':');
  return end < 0 ? '' : bareRun(batchId.slice(0, end));
}

/** By the id of a batch: whether its times of receipt are by a clock that nobody believes. */
export function isDoubted(batchId: string): boolean {
  return batchId.startsWith(DOUBTED);
}

/** The first version of batches that have a place. */
const FIRST_VERSION = 3;

/**
 * The place that a queue message says, read from its first bytes; undefined when it says none. Batches of a newer version begin in the same
 * way: they have to be accounted for while they wait for a worker that can read them.
 */
export function placeOf(message: Uint8Array): BatchPlace | undefined {
  const [head = 0, version = 0, inner = 0] = message;
  if (head < 0x93 || head > 0x9f || version < FIRST_VERSION || version > 31 || inner !== LIST_OF_3) return undefined;
  const run = textAt(message, 3);
  const number = run && wholeAt(message, run.next);
  const confirmed = number && wholeAt(message, number.next);
  if (!run || !number || !confirmed) return undefined;
  return { run: run.value, number: number.value, confirmed: confirmed.value };
}

const LIST_OF_3 = 0x93;
const decoder = new TextDecoder();

function textAt(bytes: Uint8Array, at: number): { value: string; next: number } | undefined {
  const head = bytes[at] ?? 0;
  const end = at + 1 + (head & 0x1f);
  if (head < 0xa1 || head > 0xbf || end > bytes.length) return undefined;
  return { value: decoder.decode(bytes.subarray(at + 1, end)), next: end };
}

function wholeAt(bytes: Uint8Array, at: number): { value: number; next: number } | undefined {
  const head = bytes[at] ?? 0xc0;
  if (head <= 0x7f) return { value: head, next: at + 1 };
  const size = WHOLE_BYTES[head];
  if (size === undefined || at + 1 + size > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at + 1, size);
  const value = size === 8 ? view.getFloat64(0) : sum(view);
  return Number.isSafeInteger(value) && value >= 0 ? { value, next: at + 1 + size } : undefined;
}

/** By the byte in front: how many bytes a whole number has. From 2^32 on it is a float. */
const WHOLE_BYTES: Readonly<Record<number, number>> = { 204: 1, 205: 2, 206: 4, 203: 8 };

function sum(view: DataView): number {
  let value = 0;
  for (let i = 0; i < view.byteLength; i++) value = value * 256 + view.getUint8(i);
  return value;
}
